package holdfast.node.link;

import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.port.PrimaryLink;
import holdfast.engine.remus.PrimaryEvent;
import holdfast.wire.Bytes;
import holdfast.wire.ProtocolException;
import holdfast.wire.colo.ColoCodec;
import holdfast.wire.colo.ToPrimary;
import holdfast.wire.colo.ToSecondary;
import holdfast.wire.link.ConnectionKind;
import holdfast.wire.link.LinkMessage;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.GatheringByteChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * A primary's connections to its secondary: three, and one more where disks are replicated.
 * Heartbeats run from {@link #open} on.
 */
public final class TcpPrimaryLink implements PrimaryLink {
    private static final Logger LOG = LoggerFactory.getLogger(TcpPrimaryLink.class);
    private static final long JOIN_NANOS = TimeUnit.SECONDS.toNanos(5);

    /**
     * A secondary that lives but takes in no disk writes for so long has a disk that hangs. Shorter
     * than the monitor's own limit, which a guest that waits for its disk would run into.
     */
    private static final long DISK_STALL_NANOS = TimeUnit.SECONDS.toNanos(5);

    private final LinkMessage.Welcome peer;
    private final Consumer<PrimaryEvent> post;
    private final ControlConnection control;
    private final CountedChannel bulk;
    private final Optional<BulkTee> tee;
    private final BulkSender sender;
    private final InboundSender inbound;
    private final Optional<DiskStream> disks;
    private final Optional<PackedOutput> packing;
    private final LinkDrain drain = new LinkDrain();

    /** What was written up to the newest checkpoint's end. The session's thread alone. */
    private long checkpointed;

    private volatile boolean dismissed;
    private volatile String closing = "the session is over";

    /**
     * Connects, asks for the session and starts the threads.
     *
     * @param post hears what the secondary says and what becomes of it; must not block; may be
     *     called before this method returns
     * @param staying told ahead of the session
     * @param compression of the bulk stream; {@link BulkCompression#NONE} with a {@code tee}
     * @param tee a file that gets a copy of the bulk stream
     * @throws LinkRefusedException if the other node says no
     * @throws java.io.UncheckedIOException if {@code tee} cannot be written
     * @throws IOException if it cannot be reached
     * @throws ProtocolException if what answers is no node
     */
    public static TcpPrimaryLink open(
            NodeAddress address,
            NodeIdentity self,
            LinkMessage.OpenSession session,
            Optional<LinkMessage.StayProtected> staying,
            Consumer<PrimaryEvent> post,
            BulkCompression compression,
            Optional<Path> tee)
            throws IOException {
        // Before the other node is asked: it would have a replica to discard.
        tee.ifPresent(BulkTee::requireWritable);
        Handshake.Opened control =
                Handshake.open(address, self, ConnectionKind.CONTROL, session.session());
        try {
            ClosingDeadline.within(
                    Handshake.ANSWER_LIMIT,
                    control.channel(),
                    address + " does not answer OPEN_SESSION",
                    () -> ask(address, control.channel(), staying, session));
            Handshake.Opened bulk =
                    TcpSourceLink.openBulk(address, self, session.session(), compression);
            try {
                SocketChannel inbound =
                        Handshake.open(address, self, ConnectionKind.INBOUND, session.session())
                                .channel();
                try {
                    Optional<SocketChannel> disk =
                            session.disks().isEmpty()
                                    ? Optional.empty()
                                    : Optional.of(
                                            Handshake.open(
                                                            address,
                                                            self,
                                                            ConnectionKind.DISK,
                                                            session.session())
                                                    .channel());
                    try {
                        TcpPrimaryLink link =
                                new TcpPrimaryLink(
                                        control,
                                        bulk,
                                        inbound,
                                        disk,
                                        session,
                                        post,
                                        compression,
                                        tee);
                        link.control.start();
                        link.sender.start();
                        link.inbound.start();
                        link.disks.ifPresent(DiskStream::start);
                        return link;
                    } catch (IOException | RuntimeException | OutOfMemoryError e) {
                        if (disk.isPresent()) {
                            disk.get().close();
                        }
                        throw e;
                    }
                } catch (IOException | RuntimeException | OutOfMemoryError e) {
                    inbound.close();
                    throw e;
                }
            } catch (IOException | RuntimeException e) {
                bulk.channel().close();
                throw e;
            }
        } catch (IOException | RuntimeException e) {
            control.channel().close();
            throw e;
        }
    }

    private static LinkMessage ask(
            NodeAddress address,
            SocketChannel channel,
            Optional<LinkMessage.StayProtected> staying,
            LinkMessage.OpenSession session)
            throws IOException {
        if (staying.isPresent()) {
            Handshake.write(channel, staying.get());
        }
        Handshake.write(channel, session);
        return switch (Handshake.read(channel)) {
            case LinkMessage.SessionAccepted accepted -> accepted;
            case LinkMessage.SessionRefused(String text) ->
                    throw new LinkRefusedException(address + " refuses the session: " + text);
            case LinkMessage other ->
                    throw new ProtocolException(
                            "link to " + address,
                            ProtocolException.OFFSET_UNKNOWN,
                            "answer to OPEN_SESSION",
                            "SESSION_ACCEPTED or SESSION_REFUSED",
                            Handshake.name(other));
        };
    }

    private TcpPrimaryLink(
            Handshake.Opened control,
            Handshake.Opened connection,
            SocketChannel inbound,
            Optional<SocketChannel> disk,
            LinkMessage.OpenSession session,
            Consumer<PrimaryEvent> post,
            BulkCompression compression,
            Optional<Path> teePath)
            throws IOException {
        this.peer = control.peer();
        this.post = post;
        SocketChannel bulk = connection.channel();
        this.tee =
                teePath.isPresent()
                        ? Optional.of(new BulkTee(bulk, teePath.get()))
                        : Optional.empty();
        this.bulk = new CountedChannel(tee.isPresent() ? tee.get() : bulk);
        this.packing =
                connection.peer().version() == LinkMessage.FRAMED_BULK_VERSION
                        ? Optional.of(new PackedOutput(this.bulk, compression))
                        : Optional.empty();
        this.control =
                new ControlConnection(
                        control.channel(),
                        peer.nodeName(),
                        session.heartbeatMillis(),
                        session.deadlineMillis(),
                        new Listener());
        this.sender = new BulkSender(peer.nodeName(), this::bulkBroken);
        this.inbound = new InboundSender(inbound, peer.nodeName());
        this.disks =
                disk.map(
                        channel ->
                                new DiskStream(
                                        channel,
                                        peer.nodeName(),
                                        DISK_STALL_NANOS,
                                        this::diskBroken));
    }

    /** Who answered. */
    public LinkMessage.Welcome peer() {
        return peer;
    }

    /** Bytes on the bulk stream so far, as they travel, also of a piece that is being written. */
    public long bulkBytes() {
        return bulk.bytes();
    }

    /** Where {@link BulkPiece}s write; in blocking mode. */
    public GatheringByteChannel bulk() {
        return packing.isPresent() ? packing.get() : bulk;
    }

    /** Whether checkpoints may be compressed on this connection. */
    public boolean packs() {
        return packing.isPresent();
    }

    /**
     * Sends a copy of a frame toward the guest; drops it where the connection is slow.
     *
     * @param epoch what the guest runs now
     * @param frame borrowed for the call
     */
    public void sendInbound(long epoch, int nic, int vnetHeaderBytes, ByteBuffer frame) {
        inbound.send(epoch, nic, vnetHeaderBytes, frame);
    }

    /** Where disk writes go; present where the session has disks. */
    public Optional<DiskStream> disks() {
        return disks;
    }

    /** Inbound frames that were not sent for want of room. */
    public long inboundDropped() {
        return inbound.dropped();
    }

    @Override
    public void send(long epoch, ToSecondary message) {
        ByteBuffer bytes = ByteBuffer.allocate(ColoCodec.MESSAGE_BYTES_MAX);
        ColoCodec.encode(message, bytes);
        if (message instanceof ToSecondary.CheckpointRequest) {
            drain.asked(System.nanoTime());
        }
        control.send(
                new LinkMessage.CheckpointMessage(
                        epoch, Bytes.copyOf(MemorySegment.ofBuffer(bytes.flip()))));
    }

    @Override
    public void sendDigest(long epoch, CheckpointDigest digest) {
        tee.ifPresent(copy -> copy.checkpointWritten(digest.streamBytes()));
        long all = bulk.bytes();
        drain.wrote(all - checkpointed, System.nanoTime());
        checkpointed = all;
        control.send(
                new LinkMessage.CheckpointDigest(epoch, digest.streamBytes(), digest.crc32c()));
    }

    @Override
    public void transmit(BulkPiece piece) {
        sender.transmit(piece);
    }

    @Override
    public void dismiss(String reason) {
        dismissed = true;
        closing = reason;
        disks.ifPresent(DiskStream::discard);
        control.send(new LinkMessage.Dismiss(LinkMessage.clip(reason)));
    }

    @Override
    public void domainDied(String reason) {
        closing = reason;
        control.send(new LinkMessage.DomainDied(LinkMessage.clip(reason)));
    }

    @Override
    public void stoodDown() {
        control.send(new LinkMessage.StoodDown());
    }

    /**
     * CONTROL goes first and says goodbye: the end of BULK must not reach a secondary that does not
     * yet know why.
     */
    @Override
    public void close() {
        sender.expectEnd();
        disks.ifPresent(DiskStream::discard);
        try {
            control.close(closing);
        } finally {
            closeData();
        }
    }

    private void closeData() {
        try {
            // Closing the socket ends a write that blocks; the tee is cut only after its writer.
            if (tee.isPresent()) {
                tee.get().closeSocket();
            } else {
                bulk.close();
            }
            sender.join(JOIN_NANOS);
            packing.ifPresent(PackedOutput::free);
            bulk.close();
            inbound.close(JOIN_NANOS);
            if (disks.isPresent()) {
                disks.get().close(JOIN_NANOS);
            }
        } catch (IOException e) {
            LOG.debug("event=link-close peer={} reason=\"{}\"", peer.nodeName(), e.getMessage());
        }
    }

    /** Only CONTROL knows whether the peer lives. */
    private void bulkBroken(String reason) {
        if (!control.awaitDown()) {
            post.accept(
                    new PrimaryEvent.SessionFailed(
                            reason + " (node " + peer.nodeName() + " still answers)"));
        }
    }

    /** As {@link #bulkBroken}; the guest's write that found it out must not wait for the word. */
    private void diskBroken(String reason) {
        Thread.ofVirtual()
                .name("link-disk-ended-" + peer.nodeName())
                .start(() -> bulkBroken(reason));
    }

    private void measure(ToPrimary message) {
        switch (message) {
            case ToPrimary.CheckpointReply _ -> drain.answered(System.nanoTime());
            case ToPrimary.VmstateReceived _ -> {
                double nanosPerByte = drain.committed(System.nanoTime());
                packing.ifPresent(output -> output.drained(nanosPerByte));
            }
            case ToPrimary.CheckpointReady _, ToPrimary.VmstateLoaded _ -> {}
        }
    }

    private final class Listener implements ControlConnection.Listener {
        @Override
        public void message(LinkMessage message) {
            switch (message) {
                case LinkMessage.CheckpointMessage(long epoch, Bytes bytes) -> {
                    ByteBuffer source = ByteBuffer.wrap(bytes.toArray());
                    ToPrimary decoded = ColoCodec.decodeToPrimary(source);
                    if (source.hasRemaining()) {
                        violated("CHECKPOINT_MESSAGE has bytes after " + decoded);
                    } else {
                        measure(decoded);
                        post.accept(new PrimaryEvent.FromSecondary(epoch, decoded));
                    }
                }
                case LinkMessage.Discarded(String reason) ->
                        post.accept(
                                dismissed
                                        ? new PrimaryEvent.Dismissed()
                                        : new PrimaryEvent.PeerClosed(
                                                "node "
                                                        + peer.nodeName()
                                                        + " discarded the replica: "
                                                        + reason));
                case LinkMessage.Claim(String reason) -> {
                    disks.ifPresent(DiskStream::discard);
                    post.accept(
                            new PrimaryEvent.PeerTookOver(
                                    "node " + peer.nodeName() + " claims the domain: " + reason));
                }
                default ->
                        violated(
                                "CONTROL: expected what a secondary says, found "
                                        + Handshake.name(message));
            }
        }

        @Override
        public void lost(String reason) {
            // First of all: the guest may wait for a secondary that is not there any more.
            disks.ifPresent(DiskStream::discard);
            post.accept(new PrimaryEvent.PeerLost(reason));
        }

        @Override
        public void violated(String reason) {
            post.accept(new PrimaryEvent.PeerViolated("node " + peer.nodeName() + ": " + reason));
        }
    }
}
