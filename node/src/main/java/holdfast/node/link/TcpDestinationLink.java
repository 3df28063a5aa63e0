package holdfast.node.link;

import holdfast.engine.ReplicationException;
import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.memory.PageReceiver;
import holdfast.engine.migrate.Cookies;
import holdfast.engine.migrate.DestinationEvent;
import holdfast.engine.migrate.DestinationLink;
import holdfast.engine.migrate.IncomingPages;
import holdfast.engine.port.DiskWrites;
import holdfast.engine.port.GuestMemory;
import holdfast.qemu.linux.PauseThreads;
import holdfast.wire.ProtocolException;
import holdfast.wire.link.LinkMessage;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.function.Consumer;

/** A destination's end of a migration's connections. BULK and DISK ones join as they come in. */
public final class TcpDestinationLink implements DestinationLink {
    private static final Logger LOG = LoggerFactory.getLogger(TcpDestinationLink.class);
    private static final long JOIN_NANOS = TimeUnit.SECONDS.toNanos(10);

    private final String peer;
    private final Consumer<DestinationEvent> post;
    private final Runnable closed;
    private final ControlConnection control;
    private final List<BulkInput> inputs = new ArrayList<>();
    private final List<PageReceiver> receivers = new ArrayList<>();
    private final List<Thread> readers = new ArrayList<>();
    private final AtomicInteger attached = new AtomicInteger();

    /** Parts that came before other connections' pages. Guards {@link #left}, too. */
    private final List<MemorySegment> early = new ArrayList<>();

    private int left;
    private final AtomicReferenceArray<CheckpointDigest> digests;
    private final Optional<DiskWrites> disks;
    private Optional<SocketChannel> disk = Optional.empty();
    private Optional<Thread> writer = Optional.empty();
    private volatile boolean stopped;
    private boolean freed;
    private volatile String goodbye = "the migration is over";

    /**
     * @param memory where pages go
     * @param disks where what DISK brings goes; present where the source is to open one
     * @param closed called when the link is closed, so that nothing can join it any more
     */
    TcpDestinationLink(
            SocketChannel control,
            String peer,
            LinkMessage.OpenMigration migration,
            GuestMemory memory,
            Optional<DiskWrites> disks,
            Consumer<DestinationEvent> post,
            Runnable closed)
            throws IOException {
        this.peer = peer;
        this.post = post;
        this.closed = closed;
        this.disks = disks;
        this.left = migration.connections();
        this.digests = new AtomicReferenceArray<>(migration.connections());
        for (int i = 0; i < migration.connections(); i++) {
            int connection = i;
            BulkInput input = new BulkInput(this::bulkBroken);
            PageReceiver receiver = new PageReceiver(memory, input);
            inputs.add(input);
            receivers.add(receiver);
            readers.add(
                    Thread.ofPlatform()
                            .name("link-bulk-" + peer + "-" + i)
                            .daemon()
                            .unstarted(PauseThreads.body(() -> receive(connection, receiver))));
        }
        this.control =
                new ControlConnection(
                        control,
                        peer,
                        migration.heartbeatMillis(),
                        migration.deadlineMillis(),
                        new Listener());
    }

    /** Those that a guest's pause goes through. */
    public synchronized List<Thread> threads() {
        List<Thread> all = new ArrayList<>(readers);
        all.add(control.thread());
        writer.ifPresent(all::add);
        return all;
    }

    void start() {
        control.start();
        readers.forEach(Thread::start);
    }

    /** The source opens them one after another: their order is that of its senders. */
    boolean attachBulk(SocketChannel channel, int version) {
        int index = attached.getAndIncrement();
        return index < inputs.size() && inputs.get(index).attach(channel, version);
    }

    synchronized boolean attachDisk(SocketChannel channel) {
        if (stopped || freed || disk.isPresent() || disks.isEmpty()) {
            return false;
        }
        disk = Optional.of(channel);
        DiskWrites images = disks.get();
        writer =
                Optional.of(
                        Thread.ofPlatform()
                                .name("link-disk-" + peer)
                                .daemon()
                                .start(PauseThreads.body(() -> receiveDisk(channel, images))));
        return true;
    }

    private void receiveDisk(SocketChannel channel, DiskWrites images) {
        AtomicInteger boundaries = new AtomicInteger();
        try {
            new DiskReceiver(
                            channel,
                            images,
                            _ ->
                                    post.accept(
                                            new DestinationEvent.DisksForced(
                                                    boundaries.incrementAndGet())))
                    .run();
        } catch (ProtocolException e) {
            post.accept(
                    new DestinationEvent.SourceViolated("node " + peer + ": " + e.getMessage()));
        } catch (IOException e) {
            if (!stopped) {
                bulkBroken("the disk connection ended: " + e.getMessage());
            }
        } catch (RuntimeException | Error e) {
            if (!stopped) {
                post.accept(
                        new DestinationEvent.Failed(
                                e instanceof ReplicationException
                                        ? e.getMessage()
                                        : "this node could not take in disk writes: " + e));
            }
        }
    }

    private void receive(int connection, PageReceiver receiver) {
        try {
            while (!stopped) {
                switch (receiver.next()) {
                    case PageReceiver.Read.Base _ ->
                            post.accept(new DestinationEvent.BaseArrived());
                    case PageReceiver.Read.Sections(MemorySegment part) -> sections(part);
                    case PageReceiver.Read.Whole(CheckpointDigest digest) -> {
                        whole(connection, digest);
                        return;
                    }
                    // MIGRATION says what the end of a BULK means.
                    case PageReceiver.Read.Ended(String where) -> {
                        LOG.debug("event=bulk-ended peer={} where=\"{}\"", peer, where);
                        return;
                    }
                }
            }
        } catch (ProtocolException e) {
            post.accept(new DestinationEvent.SourceViolated(e.getMessage()));
        } catch (IOException e) {
            LOG.debug("event=bulk-broken peer={} reason=\"{}\"", peer, e.getMessage());
        } catch (RuntimeException | Error e) {
            if (!stopped) {
                post.accept(
                        new DestinationEvent.Failed(
                                e instanceof ReplicationException
                                        ? e.getMessage()
                                        : "this node could not take in pages: " + e));
            }
        }
    }

    /** Told of only when all the other connections have brought their last pages. */
    private void sections(MemorySegment part) {
        synchronized (early) {
            if (left > 1) {
                early.add(part);
            } else {
                post.accept(new DestinationEvent.SectionsArrived(part));
            }
        }
    }

    private void whole(int connection, CheckpointDigest digest) {
        digests.set(connection, digest);
        synchronized (early) {
            left--;
            if (left <= 1) {
                early.forEach(part -> post.accept(new DestinationEvent.SectionsArrived(part)));
                early.clear();
            }
            if (left == 0) {
                post.accept(new DestinationEvent.StreamsWhole(all()));
            }
        }
    }

    private List<CheckpointDigest> all() {
        List<CheckpointDigest> streams = new ArrayList<>();
        for (int i = 0; i < digests.length(); i++) {
            streams.add(digests.get(i));
        }
        return streams;
    }

    @Override
    public void prepared(Cookies.Prepared cookie) {
        control.send(new LinkMessage.MigrationPrepared(CookieJson.write(cookie)));
    }

    @Override
    public void finished(Cookies.Finished cookie) {
        control.send(new LinkMessage.MigrationFinished(CookieJson.write(cookie)));
    }

    @Override
    public void takenOver(Cookies.TakenOver cookie) {
        control.send(new LinkMessage.TakenOver(CookieJson.write(cookie)));
    }

    @Override
    public void rolledBack(Cookies.RolledBack cookie) {
        goodbye = cookie.reason();
        control.send(new LinkMessage.RolledBack(CookieJson.write(cookie)));
    }

    @Override
    public void stopReceiving() {
        stopped = true;
        for (BulkInput input : inputs) {
            try {
                input.close();
            } catch (IOException e) {
                LOG.debug("event=link-close peer={} reason=\"{}\"", peer, e.getMessage());
            }
        }
        closeDisk();
    }

    private synchronized void closeDisk() {
        try {
            if (disk.isPresent()) {
                disk.get().close();
            }
        } catch (IOException e) {
            LOG.debug("event=link-close peer={} reason=\"{}\"", peer, e.getMessage());
        }
    }

    /** Ends everything: as a link first, then what it carried. Idempotent. */
    @Override
    public void close() {
        if (control.isDown() && freed) {
            return;
        }
        closed.run();
        control.close(goodbye);
        freePages();
    }

    /** What arrived, without the connection that speaks. Idempotent. */
    public IncomingPages pages() {
        return new IncomingPages() {
            @Override
            public Optional<MemorySegment> base() {
                return receivers.getFirst().base();
            }

            @Override
            public void close() {
                freePages();
            }
        };
    }

    synchronized void freePages() {
        if (freed) {
            return;
        }
        freed = true;
        stopReceiving();
        readers.forEach(reader -> Joining.join(reader, JOIN_NANOS));
        writer.ifPresent(thread -> Joining.join(thread, JOIN_NANOS));
        receivers.forEach(PageReceiver::close);
        inputs.forEach(BulkInput::free);
    }

    /** Only MIGRATION knows whether the peer lives. */
    private void bulkBroken(String reason) {
        if (!control.goesDownToo()) {
            post.accept(
                    new DestinationEvent.SourceViolated(
                            "node " + peer + ": " + reason + " while MIGRATION still answers"));
        }
    }

    private final class Listener implements ControlConnection.Listener {
        @Override
        public void message(LinkMessage message) {
            try {
                post.accept(MigrationFrames.ofSource(message));
            } catch (ProtocolException e) {
                violated(e.getMessage());
            }
        }

        @Override
        public void lost(String reason) {
            post.accept(new DestinationEvent.SourceLost(reason));
        }

        @Override
        public void violated(String reason) {
            post.accept(
                    new DestinationEvent.SourceViolated(
                            "node " + peer + " broke the protocol: " + reason));
        }
    }
}
