package holdfast.node.link;

import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.migrate.Cookies;
import holdfast.engine.migrate.SourceEvent;
import holdfast.engine.migrate.SourceLink;
import holdfast.engine.port.PrimaryLink;
import holdfast.wire.ProtocolException;
import holdfast.wire.link.ConnectionKind;
import holdfast.wire.link.LinkMessage;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.channels.SocketChannel;
import java.nio.channels.WritableByteChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** A source's connections to its destination. Heartbeats run from {@link #open} on. */
public final class TcpSourceLink implements SourceLink {
    private static final Logger LOG = LoggerFactory.getLogger(TcpSourceLink.class);
    private static final long JOIN_NANOS = TimeUnit.SECONDS.toNanos(5);

    /** As a primary's: shorter than the monitor's limit, which a waiting guest would run into. */
    private static final long DISK_STALL_NANOS = TimeUnit.SECONDS.toNanos(5);

    /** What is in it when the guest is suspended travels in its pause. */
    private static final int DISK_RING_BYTES_MAX = 8 << 20;

    private static final int DISK_RING_BYTES_MIN = 1 << 20;

    /** Where the operator bounds the link it holds no more than leaves in a quarter second. */
    private static int ringBytes(long bytesPerSecond) {
        return bytesPerSecond == 0
                ? DISK_RING_BYTES_MAX
                : Math.clamp(bytesPerSecond / 4, DISK_RING_BYTES_MIN, DISK_RING_BYTES_MAX);
    }

    private final LinkMessage.Welcome peer;
    private final Consumer<SourceEvent> post;
    private final ControlConnection control;
    private final List<CountedChannel> bulk = new ArrayList<>();
    private final List<PackedOutput> packing = new ArrayList<>();
    private final List<BulkSender> senders = new ArrayList<>();
    private final List<AcceptCookie.Copy> copies;
    private final Optional<DiskStream> disks;
    private volatile String closing = "the migration is over";

    /**
     * Connects, asks and starts the threads.
     *
     * @param post hears what the destination says and what becomes of it; must not block; may be
     *     called before this method returns
     * @param bytesPerSecond the bound for pages and disks together, as they travel; 0: none
     * @param compression of pages, where the other node can unpack
     * @throws LinkRefusedException if the other node says no
     * @throws IOException if it cannot be reached
     * @throws ProtocolException if what answers is no node
     */
    public static TcpSourceLink open(
            NodeAddress address,
            NodeIdentity self,
            LinkMessage.OpenMigration migration,
            long bytesPerSecond,
            BulkCompression compression,
            Consumer<SourceEvent> post)
            throws IOException {
        requirePacking(compression);
        Handshake.Opened control =
                Handshake.open(address, self, ConnectionKind.MIGRATION, migration.migration());
        List<Handshake.Opened> bulk = new ArrayList<>();
        Optional<SocketChannel> disk = Optional.empty();
        Optional<AcceptCookie> answer = Optional.empty();
        try {
            AcceptCookie accepted =
                    ClosingDeadline.within(
                            ACCEPT_LIMIT,
                            control.channel(),
                            address + " does not answer OPEN_MIGRATION",
                            () -> ask(address, control.channel(), migration));
            answer = Optional.of(accepted);
            for (int i = 0; i < migration.connections(); i++) {
                bulk.add(openBulk(address, self, migration.migration(), compression));
            }
            if (!accepted.copies().isEmpty()) {
                disk =
                        Optional.of(
                                Handshake.open(
                                                address,
                                                self,
                                                ConnectionKind.DISK,
                                                migration.migration())
                                        .channel());
            }
            TcpSourceLink link =
                    new TcpSourceLink(
                            control,
                            bulk,
                            accepted.copies(),
                            disk,
                            migration,
                            bytesPerSecond,
                            compression,
                            post);
            link.control.start();
            link.senders.forEach(BulkSender::start);
            link.disks.ifPresent(DiskStream::start);
            return link;
        } catch (IOException | RuntimeException | Error e) {
            for (Handshake.Opened opened : bulk) {
                opened.channel().close();
            }
            if (disk.isPresent()) {
                disk.get().close();
            }
            Optional<LinkRefusedException> said =
                    answer.isPresent() && !(e instanceof UnwantedException)
                            ? saidInstead(address, control)
                            : Optional.empty();
            control.channel().close();
            if (said.isPresent()) {
                said.get().addSuppressed(e);
                throw said.get();
            }
            throw e;
        }
    }

    /**
     * A destination may fail before all connections are open: why, it says on MIGRATION, and the
     * other ones only end.
     */
    private static Optional<LinkRefusedException> saidInstead(
            NodeAddress address, Handshake.Opened control) {
        try {
            return Optional.of(
                    new LinkRefusedException(
                            address
                                    + " gives the domain back: "
                                    + ClosingDeadline.within(
                                            SAID_LIMIT,
                                            control.channel(),
                                            "ROLLED_BACK",
                                            () -> rolledBack(control))));
        } catch (IOException | ProtocolException e) {
            LOG.debug("event=nothing-said peer={} reason=\"{}\"", address, e.getMessage());
            return Optional.empty();
        }
    }

    private static String rolledBack(Handshake.Opened control) throws IOException {
        while (true) {
            LinkMessage message = Handshake.read(control.channel());
            if (message instanceof LinkMessage.RolledBack
                    && MigrationFrames.ofDestination(message, control.peer().nodeName())
                            instanceof SourceEvent.PeerRolledBack(Cookies.RolledBack cookie)) {
                return cookie.reason();
            }
        }
    }

    private static final java.time.Duration SAID_LIMIT = java.time.Duration.ofSeconds(2);

    /** The destination looks at images and takes them into use before it answers. */
    private static final java.time.Duration ACCEPT_LIMIT = java.time.Duration.ofSeconds(30);

    /** What the other node is, this side does not want: what it says about that means nothing. */
    private static final class UnwantedException extends LinkRefusedException {
        private static final long serialVersionUID = 1;

        UnwantedException(String reason) {
            super(reason);
        }
    }

    private static void requirePacking(BulkCompression compression) throws IOException {
        if (compression == BulkCompression.ZSTD && !PackedInput.available()) {
            throw new LinkRefusedException(
                    "this node cannot compress: its library may not be run from Java's temporary"
                            + " directory (the log says more); say --compress auto or none");
        }
    }

    /** Opens a BULK connection that carries frames where both sides can. */
    static Handshake.Opened openBulk(
            NodeAddress address, NodeIdentity self, UUID session, BulkCompression compression)
            throws IOException {
        requirePacking(compression);
        boolean possible = compression != BulkCompression.NONE && PackedInput.available();
        List<Integer> versions =
                possible
                        ? List.of(LinkMessage.FRAMED_BULK_VERSION, LinkMessage.PROTOCOL_VERSION)
                        : List.of(LinkMessage.PROTOCOL_VERSION);
        Handshake.Opened opened =
                Handshake.open(address, self, ConnectionKind.BULK, session, versions);
        if (compression == BulkCompression.ZSTD
                && opened.peer().version() != LinkMessage.FRAMED_BULK_VERSION) {
            opened.channel().close();
            throw new UnwantedException(
                    address
                            + " (Holdfast "
                            + opened.peer().softwareVersion()
                            + ") cannot unpack compressed pages: it is of an older release, or its"
                            + " library may not be run there (its log says so); say --compress auto"
                            + " or none");
        }
        return opened;
    }

    /** OPEN_MIGRATION and its answer, on a connection past its handshake. */
    static AcceptCookie ask(
            NodeAddress address, SocketChannel channel, LinkMessage.OpenMigration migration)
            throws IOException {
        Handshake.write(channel, migration);
        return switch (Handshake.read(channel)) {
            case LinkMessage.MigrationAccepted(var cookie) ->
                    CookieJson.read("Begin", cookie, AcceptCookie.class);
            // A release that cannot take disks in: it has looked whether it shares them all.
            case LinkMessage.SessionAccepted _ -> new AcceptCookie(Cookies.VERSION, List.of());
            case LinkMessage.SessionRefused(String text) ->
                    throw new LinkRefusedException(address + " refuses the domain: " + text);
            case LinkMessage other ->
                    throw new ProtocolException(
                            "link to " + address,
                            ProtocolException.OFFSET_UNKNOWN,
                            "answer to OPEN_MIGRATION",
                            "MIGRATION_ACCEPTED or SESSION_REFUSED",
                            Handshake.name(other));
        };
    }

    private TcpSourceLink(
            Handshake.Opened control,
            List<Handshake.Opened> connections,
            List<AcceptCookie.Copy> copies,
            Optional<SocketChannel> disk,
            LinkMessage.OpenMigration migration,
            long bytesPerSecond,
            BulkCompression compression,
            Consumer<SourceEvent> post)
            throws IOException {
        this.peer = control.peer();
        this.post = post;
        this.copies = copies;
        Pace pace = new Pace(bytesPerSecond);
        this.disks =
                disk.map(
                        channel ->
                                new DiskStream(
                                        pace.over(channel),
                                        peer.nodeName(),
                                        DISK_STALL_NANOS,
                                        this::diskBroken,
                                        ringBytes(bytesPerSecond)));
        for (Handshake.Opened connection : connections) {
            CountedChannel counted = new CountedChannel(pace.over(connection.channel()));
            bulk.add(counted);
            if (connection.peer().version() == LinkMessage.FRAMED_BULK_VERSION) {
                packing.add(new PackedOutput(counted, compression));
            }
            senders.add(new BulkSender(peer.nodeName(), this::bulkBroken));
        }
        this.control =
                new ControlConnection(
                        control.channel(),
                        peer.nodeName(),
                        migration.heartbeatMillis(),
                        migration.deadlineMillis(),
                        new Listener());
    }

    /** Who answered. */
    public LinkMessage.Welcome peer() {
        return peer;
    }

    /** What a connection's sender writes to. */
    public WritableByteChannel bulk(int connection) {
        return packing.isEmpty() ? bulk.get(connection) : packing.get(connection);
    }

    /** Disks that the destination does not share, in the order of their numbers on DISK. */
    public List<AcceptCookie.Copy> copies() {
        return copies;
    }

    /** Where their writes go; present where there are any. */
    public Optional<DiskStream> disks() {
        return disks;
    }

    /** Those that a guest's pause goes through. */
    public List<Thread> threads() {
        List<Thread> all = new ArrayList<>();
        all.add(control.thread());
        senders.forEach(sender -> all.add(sender.thread()));
        disks.ifPresent(stream -> all.add(stream.thread()));
        return all;
    }

    /** Bytes on all connections by now. */
    public long bulkBytes() {
        return bulk.stream().mapToLong(CountedChannel::bytes).sum();
    }

    @Override
    public int connections() {
        return bulk.size();
    }

    @Override
    public void transmit(int connection, PrimaryLink.BulkPiece piece) {
        senders.get(connection).transmit(piece);
    }

    @Override
    public void performed(List<CheckpointDigest> streams, Cookies.Performed cookie) {
        control.send(MigrationFrames.performed(streams, cookie));
    }

    @Override
    public void handOver(long generation) {
        control.send(new LinkMessage.HandOver(generation));
    }

    @Override
    public void cancel(String reason) {
        closing = reason;
        disks.ifPresent(DiskStream::discard);
        control.send(new LinkMessage.CancelMigration(LinkMessage.clip(reason)));
    }

    @Override
    public void close() {
        senders.forEach(BulkSender::expectEnd);
        disks.ifPresent(DiskStream::discard);
        try {
            control.close(closing);
        } finally {
            try {
                for (CountedChannel channel : bulk) {
                    channel.close();
                }
                if (disks.isPresent()) {
                    disks.get().close(JOIN_NANOS);
                }
            } catch (IOException e) {
                LOG.debug(
                        "event=link-close peer={} reason=\"{}\"", peer.nodeName(), e.getMessage());
            }
            senders.forEach(sender -> sender.join(JOIN_NANOS));
            packing.forEach(PackedOutput::free);
        }
    }

    /** Only MIGRATION knows whether the peer lives. */
    private void bulkBroken(String reason) {
        if (!control.goesDownToo()) {
            post.accept(
                    new SourceEvent.SessionFailed(
                            reason + " (node " + peer.nodeName() + " still answers)"));
        }
    }

    /** As {@link #bulkBroken}; the guest's write that found it out must not wait for the word. */
    private void diskBroken(String reason) {
        Thread.ofVirtual()
                .name("link-disk-ended-" + peer.nodeName())
                .start(() -> bulkBroken(reason));
    }

    private final class Listener implements ControlConnection.Listener {
        @Override
        public void message(LinkMessage message) {
            try {
                post.accept(MigrationFrames.ofDestination(message, peer.nodeName()));
            } catch (ProtocolException e) {
                violated(e.getMessage());
            }
        }

        @Override
        public void lost(String reason) {
            // First of all: the guest may wait for a node that is not there any more.
            disks.ifPresent(DiskStream::discard);
            post.accept(new SourceEvent.PeerLost(reason));
        }

        @Override
        public void violated(String reason) {
            post.accept(
                    new SourceEvent.PeerViolated(
                            "node " + peer.nodeName() + " broke the protocol: " + reason));
        }
    }
}
