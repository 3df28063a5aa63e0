package holdfast.node.link;

import holdfast.engine.ReplicationException;
import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.port.ReplicaDisks;
import holdfast.engine.port.SecondaryLink;
import holdfast.engine.remus.CheckpointReceiver;
import holdfast.engine.remus.SecondaryEvent;
import holdfast.engine.remus.SecondarySession;
import holdfast.wire.Bytes;
import holdfast.wire.ProtocolException;
import holdfast.wire.colo.ColoCodec;
import holdfast.wire.colo.ToPrimary;
import holdfast.wire.colo.ToSecondary;
import holdfast.wire.link.LinkMessage;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.ReadableByteChannel;
import java.nio.channels.SocketChannel;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** A secondary's end of a link. BULK, INBOUND and DISK join it as they come in. */
public final class TcpSecondaryLink implements SecondaryLink, SecondarySession.Bulk {
    private static final Logger LOG = LoggerFactory.getLogger(TcpSecondaryLink.class);
    private static final long JOIN_NANOS = TimeUnit.SECONDS.toNanos(10);

    private final String peer;
    private final Consumer<SecondaryEvent> post;
    private final InboundSink sink;
    private final Optional<ReplicaDisks> disks;
    private final Runnable closed;
    private final ControlConnection control;
    private final BulkInput bulk = new BulkInput(this::bulkBroken);
    private Optional<Thread> receiving = Optional.empty();
    private Optional<SocketChannel> inbound = Optional.empty();
    private Optional<Thread> listening = Optional.empty();
    private Optional<SocketChannel> disk = Optional.empty();
    private Optional<Thread> writing = Optional.empty();
    private boolean closing;
    private volatile boolean claimed;
    private volatile String goodbye = "the session is over";

    /**
     * @param disks where disk writes go; empty where the session has no disks
     * @param closed called when the link is closed, so that nothing can join it any more
     */
    TcpSecondaryLink(
            SocketChannel control,
            String peer,
            LinkMessage.OpenSession session,
            Consumer<SecondaryEvent> post,
            InboundSink sink,
            Optional<ReplicaDisks> disks,
            Runnable closed)
            throws IOException {
        this.peer = peer;
        this.post = post;
        this.sink = sink;
        this.disks = disks;
        this.closed = closed;
        this.control =
                new ControlConnection(
                        control,
                        peer,
                        session.heartbeatMillis(),
                        session.deadlineMillis(),
                        new Listener());
    }

    void start() {
        control.start();
    }

    /**
     * @param version what is spoken on it
     */
    boolean attachBulk(SocketChannel channel, int version) {
        return bulk.attach(channel, version);
    }

    synchronized boolean attachInbound(SocketChannel channel) {
        if (closing || inbound.isPresent()) {
            return false;
        }
        inbound = Optional.of(channel);
        Thread thread =
                Thread.ofPlatform()
                        .name("link-inbound-" + peer)
                        .daemon()
                        .start(() -> receiveInbound(channel));
        listening = Optional.of(thread);
        return true;
    }

    synchronized boolean attachDisk(SocketChannel channel) {
        if (closing || disk.isPresent() || disks.isEmpty()) {
            return false;
        }
        disk = Optional.of(channel);
        ReplicaDisks replica = disks.get();
        writing =
                Optional.of(
                        Thread.ofPlatform()
                                .name("link-disk-" + peer)
                                .daemon()
                                .start(() -> receiveDisk(channel, replica)));
        return true;
    }

    @Override
    public ReadableByteChannel channel() {
        return bulk;
    }

    @Override
    public synchronized void start(CheckpointReceiver receiver) {
        receiving =
                Optional.of(
                        Thread.ofPlatform()
                                .name("link-bulk-" + peer)
                                .daemon()
                                .start(receiver::run));
    }

    @Override
    public void send(long epoch, ToPrimary message) {
        ByteBuffer bytes = ByteBuffer.allocate(ColoCodec.MESSAGE_BYTES_MAX);
        ColoCodec.encode(message, bytes);
        control.send(
                new LinkMessage.CheckpointMessage(
                        epoch, Bytes.copyOf(MemorySegment.ofBuffer(bytes.flip()))));
    }

    @Override
    public void claim(String reason) {
        claimed = true;
        goodbye = reason;
        control.send(new LinkMessage.Claim(LinkMessage.clip(reason)));
    }

    @Override
    public void discarded(String reason) {
        goodbye = reason;
        control.send(new LinkMessage.Discarded(LinkMessage.clip(reason)));
    }

    @Override
    public void close() {
        closed.run();
        try {
            control.close(goodbye);
        } finally {
            closeData();
        }
    }

    private void closeData() {
        Optional<SocketChannel> frames;
        Optional<Thread> reader;
        Optional<Thread> listener;
        Optional<SocketChannel> written;
        Optional<Thread> writer;
        synchronized (this) {
            closing = true;
            frames = inbound;
            reader = receiving;
            listener = listening;
            written = disk;
            writer = writing;
        }
        try {
            bulk.close();
            if (frames.isPresent()) {
                frames.get().close();
            }
            if (written.isPresent()) {
                written.get().close();
            }
        } catch (IOException e) {
            LOG.debug("event=link-close peer={} reason=\"{}\"", peer, e.getMessage());
        }
        reader.ifPresent(thread -> Joining.join(thread, JOIN_NANOS));
        listener.ifPresent(thread -> Joining.join(thread, JOIN_NANOS));
        writer.ifPresent(thread -> Joining.join(thread, JOIN_NANOS));
        bulk.free();
    }

    /**
     * Only CONTROL knows whether the peer lives; where it does, a broken BULK ends the session in
     * order and is no reason to fail over.
     */
    private void bulkBroken(String reason) {
        if (!control.awaitDown()) {
            post.accept(
                    new SecondaryEvent.PeerViolated(
                            "node " + peer + ": " + reason + " while CONTROL still answers"));
        }
    }

    /** Losing this connection ends the session as losing BULK does. */
    private void receiveDisk(SocketChannel channel, ReplicaDisks replica) {
        try {
            new DiskReceiver(
                            channel,
                            replica,
                            epoch -> post.accept(new SecondaryEvent.DiskWritesArrived(epoch)))
                    .run();
        } catch (ProtocolException e) {
            post.accept(new SecondaryEvent.PeerViolated("node " + peer + ": " + e.getMessage()));
        } catch (IOException e) {
            if (!isClosing()) {
                bulkBroken("the disk connection ended: " + e.getMessage());
            }
        } catch (RuntimeException | Error e) {
            // Whatever it was: without a word the primary would wait for a commit that never comes.
            if (!isClosing()) {
                post.accept(
                        new SecondaryEvent.DisksFailed(
                                e instanceof ReplicationException
                                        ? e.getMessage()
                                        : "disk writes could not be taken in: " + e));
            }
        }
    }

    private synchronized boolean isClosing() {
        return closing;
    }

    /** Losing this connection costs a retransmission after a fail-over, nothing more. */
    private void receiveInbound(SocketChannel channel) {
        long newest = 0;
        try {
            while (true) {
                long oldest = newest;
                switch (Handshake.read(channel)) {
                    case LinkMessage.InboundFrame frame when frame.epoch() >= oldest -> {
                        newest = frame.epoch();
                        sink.frame(
                                frame.epoch(),
                                frame.nic(),
                                frame.vnetHeaderBytes(),
                                frame.bytes().asSegment().asByteBuffer());
                    }
                    case LinkMessage other ->
                            throw new ProtocolException(
                                    "INBOUND",
                                    ProtocolException.OFFSET_UNKNOWN,
                                    "frame",
                                    "INBOUND_FRAME of epoch " + newest + " or later",
                                    Handshake.name(other));
                }
            }
        } catch (EOFException e) {
            LOG.debug("event=inbound-ended peer={}", peer);
        } catch (IOException | ProtocolException e) {
            if (!isClosing()) {
                LOG.warn(
                        "event=inbound-ended peer={} reason=\"{}\" effect=\"a fail-over waits for"
                                + " retransmissions\"",
                        peer,
                        e.getMessage());
            }
        }
    }

    private final class Listener implements ControlConnection.Listener {
        @Override
        public void message(LinkMessage message) {
            switch (message) {
                case LinkMessage.CheckpointMessage(long epoch, Bytes bytes) -> {
                    ByteBuffer source = ByteBuffer.wrap(bytes.toArray());
                    ToSecondary decoded = ColoCodec.decodeToSecondary(source);
                    if (source.hasRemaining()) {
                        violated("CHECKPOINT_MESSAGE has bytes after " + decoded);
                    } else {
                        post.accept(new SecondaryEvent.FromPrimary(epoch, decoded));
                    }
                }
                case LinkMessage.CheckpointDigest(long epoch, long streamBytes, int crc32c) ->
                        post.accept(
                                new SecondaryEvent.DigestReceived(
                                        epoch, new CheckpointDigest(streamBytes, crc32c)));
                case LinkMessage.Dismiss(String reason) ->
                        post.accept(new SecondaryEvent.Dismiss(reason));
                case LinkMessage.DomainDied(String reason) ->
                        post.accept(
                                new SecondaryEvent.PeerLost(
                                        "the domain died on node " + peer + ": " + reason));
                case LinkMessage.StoodDown _ when claimed ->
                        post.accept(new SecondaryEvent.PrimaryStoodDown());
                default ->
                        violated(
                                "CONTROL: expected what a primary says here, found "
                                        + Handshake.name(message));
            }
        }

        @Override
        public void lost(String reason) {
            post.accept(new SecondaryEvent.PeerLost(reason));
        }

        @Override
        public void violated(String reason) {
            post.accept(new SecondaryEvent.PeerViolated("node " + peer + ": " + reason));
        }
    }
}
