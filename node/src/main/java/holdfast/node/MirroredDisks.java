package holdfast.node;

import holdfast.engine.HypervisorException;
import holdfast.engine.ReplicationException;
import holdfast.node.link.DiskStream;
import holdfast.node.nbd.NbdLimits;
import holdfast.node.nbd.NbdServer;
import holdfast.node.session.MigrationSource;
import holdfast.node.session.ProtectedGuest;
import holdfast.qemu.disk.DiskMirror;
import holdfast.qemu.disk.RescueMonitor;
import holdfast.qemu.launch.ReachableFiles;
import holdfast.qemu.linux.SocketBuffers;
import holdfast.qemu.linux.SystemCallException;
import holdfast.qemu.net.GuestStop;
import holdfast.qemu.qmp.QmpClient;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;

/**
 * The disks of a running QEMU, mirrored to an NBD server of this process that sends what comes in
 * to the secondary, or to a migration's destination.
 *
 * <pre>
 *  guest ─► QEMU's mirror ─► NbdServer, one export a disk ─► ForwardedExport ─► DiskStream ─► secondary
 *                └► own image
 * </pre>
 */
final class MirroredDisks implements ProtectedGuest.Forwarding, MigrationSource.Disks {
    private static final Logger LOG = LoggerFactory.getLogger(MirroredDisks.class);

    private static final String SOCKET = "disks.sock";
    private static final long LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(200);

    /** A long write of the guest crosses the socket in one piece. */
    private static final int SEND_BUFFER_BYTES = 2 << 20;

    /** Attaching takes two monitor commands a disk; this is for a starved host. */
    private static final Duration ATTACH_LIMIT = Duration.ofSeconds(40);

    /**
     * A disk to be replicated.
     *
     * @param index of the domain's disk
     * @param node its block node
     */
    record Source(int index, String node, long bytes) {}

    /** One disk on its way; fields are guarded by the lock of the whole. */
    private final class Copy implements DiskMirror.Listener {
        private final Source source;
        private final ForwardedExport export;
        private ProtectedGuest.DiskState state = ProtectedGuest.DiskState.WAITING;
        private DiskMirror.Progress progress;
        private Optional<DiskMirror> mirror = Optional.empty();

        Copy(Source source, int disk) {
            this.source = source;
            this.export =
                    new ForwardedExport("disk" + source.index(), disk, source.bytes(), stream);
            this.progress = new DiskMirror.Progress(0, source.bytes());
        }

        @Override
        public void ready() {
            become(ProtectedGuest.DiskState.IN_SYNC);
        }

        @Override
        public void failed(String reason) {
            become(ProtectedGuest.DiskState.FAILED);
            fail(reason);
        }

        private void become(ProtectedGuest.DiskState next) {
            lock.lock();
            try {
                state = next;
                changed.signalAll();
            } finally {
                lock.unlock();
            }
        }
    }

    /** What QEMU writes to, as the watch sees it. */
    private final class Exports implements MirrorWatch.Watched {
        private final NbdServer served;
        private final RescueMonitor monitor;

        Exports(NbdServer served, RescueMonitor monitor) {
            this.served = served;
            this.monitor = monitor;
        }

        @Override
        public HangWatch.Look look() {
            return new HangWatch.Look(
                    System.nanoTime(),
                    served.longestRequestNanos(),
                    copies.stream().mapToLong(this::requests).sum(),
                    qmp.unansweredNanos(),
                    stream.isDiscarding());
        }

        private long requests(Copy copy) {
            return served.statistics(copy.export.name()).requests();
        }

        @Override
        public void forget(String reason) {
            stream.discard();
            fail(reason);
        }

        @Override
        public void cut() {
            for (Copy copy : copies) {
                try {
                    DiskMirror.cut(monitor, copy.source.index());
                } catch (HypervisorException e) {
                    // Some may not be attached; where a hang lasts, this comes again.
                    LOG.warn(
                            "event=not-cut disk={} reason=\"{}\"",
                            copy.source.index(),
                            e.getMessage());
                }
            }
            // A QEMU that waits until it can send more does not notice that its own end was shut.
            served.cut("QEMU waits for its mirrored disk writes to be taken");
        }
    }

    private final QmpClient qmp;
    private final long pid;
    private final GuestStop stop;
    private final Path outOfBand;
    private final Path socket;
    private final DiskStream stream;
    private final List<Copy> copies = new ArrayList<>();
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final Mirroring mirroring;
    private Optional<NbdServer> server = Optional.empty();
    private Optional<RescueMonitor> rescue = Optional.empty();
    private Optional<MirrorWatch> watch = Optional.empty();
    private Optional<Thread> copying = Optional.empty();
    private Consumer<String> whenFailed = _ -> {};
    private boolean failed;
    private boolean closing;
    private boolean removed;

    /**
     * @param qmp the monitor that also suspends the domain: see {@link DiskMirror#failure}
     * @param pid of that QEMU
     * @param stop how the guest is stopped when the mirrors are taken out
     * @param outOfBand for a QEMU that hangs; free for a client
     * @param directory for the server's socket; short, accessible to QEMU
     * @param sources in the order of OPEN_SESSION
     */
    MirroredDisks(
            QmpClient qmp,
            long pid,
            GuestStop stop,
            Path outOfBand,
            Path directory,
            List<Source> sources,
            DiskStream stream,
            Mirroring mirroring) {
        this.qmp = qmp;
        this.pid = pid;
        this.stop = stop;
        this.outOfBand = outOfBand;
        this.socket = directory.resolve(SOCKET);
        this.stream = stream;
        this.mirroring = mirroring;
        for (Source source : sources) {
            copies.add(new Copy(source, copies.size()));
        }
    }

    @Override
    public void synchronise(Runnable synchronised, Consumer<String> whenItFails) {
        whenFailed = whenItFails;
        copying = Optional.of(Thread.ofVirtual().name("disks").start(() -> copy(synchronised)));
    }

    private void copy(Runnable synchronised) {
        try {
            Files.deleteIfExists(socket);
            NbdServer opened =
                    NbdServer.open(
                            UnixDomainSocketAddress.of(socket),
                            NbdLimits.DEFAULT,
                            Optional.empty());
            server = Optional.of(opened);
            ReachableFiles.openTo(socket);
            for (Copy copy : copies) {
                opened.add(mirroring.served().apply(copy.export));
            }
            rescue = Optional.of(RescueMonitor.open(qmp, outOfBand));
            watch =
                    Optional.of(
                            MirrorWatch.begin(mirroring.hang(), new Exports(opened, rescue.get())));
            for (Copy copy : copies) {
                if (isClosing()) {
                    return;
                }
                start(copy);
            }
            if (awaitSync()) {
                LOG.info("event=disks-in-sync disks={}", copies.size());
                synchronised.run();
            }
        } catch (IOException | ReplicationException e) {
            fail("the disks cannot be copied: " + e.getMessage());
        } catch (InterruptedException e) {
            // Only close() interrupts.
            Thread.currentThread().interrupt();
        } catch (RuntimeException | Error e) {
            // Whatever it was: without a word the session would wait for ever.
            fail("the disks cannot be copied: " + e);
        }
    }

    private void start(Copy copy) {
        lock.lock();
        try {
            copy.state = ProtectedGuest.DiskState.COPYING;
        } finally {
            lock.unlock();
        }
        DiskMirror started =
                DiskMirror.start(
                        qmp,
                        stop,
                        rescue.orElseThrow(),
                        copy.source.index(),
                        copy.source.node(),
                        socket,
                        copy.export.name(),
                        copy);
        widenSendBuffers();
        lock.lock();
        try {
            copy.mirror = Optional.of(started);
        } finally {
            lock.unlock();
        }
    }

    /** Without it long writes cost the guest more, and nothing else. */
    private void widenSendBuffers() {
        try {
            SocketBuffers.widen(pid, socket, SEND_BUFFER_BYTES);
        } catch (IOException | SystemCallException e) {
            LOG.info("event=narrow-send-buffers pid={} reason=\"{}\"", pid, e.getMessage());
        }
    }

    /** Whether all are; false where one failed or nobody wants to know any more. */
    private boolean awaitSync() throws InterruptedException {
        long moved = System.nanoTime();
        long least = Long.MAX_VALUE;
        while (true) {
            lock.lock();
            try {
                long left = LOOK_NANOS;
                while (!closing && !failed && !inSync() && left > 0) {
                    left = changed.awaitNanos(left);
                }
                if (closing || failed) {
                    return false;
                }
                if (inSync()) {
                    return true;
                }
            } finally {
                lock.unlock();
            }
            long leftBytes = lookAtProgress();
            if (leftBytes < least) {
                least = leftBytes;
                moved = System.nanoTime();
            } else if (System.nanoTime() - moved > mirroring.stall().toNanos()) {
                fail(
                        "the copy of the disks stands still since "
                                + mirroring.stall().toSeconds()
                                + " s with "
                                + leftBytes
                                + " bytes left");
                return false;
            }
        }
    }

    private boolean inSync() {
        return copies.stream().allMatch(copy -> copy.state == ProtectedGuest.DiskState.IN_SYNC);
    }

    /**
     * Asks without the lock: the answer comes on the thread that tells of events.
     *
     * @return bytes that are still to be copied. Not those that were: the guest's own writes count
     *     among them, and go on where the copy does not
     */
    private long lookAtProgress() {
        long leftBytes = 0;
        for (Copy copy : copies) {
            Optional<DiskMirror> mirror = copy.mirror;
            if (mirror.isPresent() && mirror.get().failure().isEmpty()) {
                DiskMirror.Progress progress = mirror.get().progress();
                lock.lock();
                try {
                    copy.progress = progress;
                } finally {
                    lock.unlock();
                }
                // A job that has just begun does not know yet how much it is.
                leftBytes +=
                        progress.totalBytes() == 0
                                ? copy.source.bytes()
                                : progress.totalBytes() - progress.doneBytes();
            }
        }
        return leftBytes;
    }

    private void fail(String reason) {
        lock.lock();
        try {
            if (failed || closing) {
                return;
            }
            failed = true;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        LOG.warn("event=disks-failed reason=\"{}\"", reason);
        whenFailed.accept(reason);
    }

    private boolean isClosing() {
        lock.lock();
        try {
            return closing;
        } finally {
            lock.unlock();
        }
    }

    /**
     * The reply to {@code stop} has come in over the monitor that tells of failures: what it has
     * not told of by now did not happen to any write of this epoch.
     */
    @Override
    public void closeEpoch(long epoch) {
        for (Copy copy : copies) {
            DiskMirror mirror =
                    copy.mirror.orElseThrow(
                            () -> new IllegalStateException("epoch " + epoch + " before the sync"));
            if (mirror.failure().isPresent()) {
                throw new HypervisorException("blockdev-mirror", mirror.failure().get());
            }
        }
        stream.boundary(epoch);
    }

    @Override
    public List<ProtectedGuest.DiskFigures> figures() {
        lock.lock();
        try {
            List<ProtectedGuest.DiskFigures> all = new ArrayList<>();
            for (Copy copy : copies) {
                long total = copy.progress.totalBytes();
                all.add(
                        new ProtectedGuest.DiskFigures(
                                copy.source.index(),
                                copy.state,
                                copy.state == ProtectedGuest.DiskState.IN_SYNC
                                        ? total
                                        : copy.progress.doneBytes(),
                                total,
                                copy.export.forwardedBytes()));
            }
            return all;
        } finally {
            lock.unlock();
        }
    }

    /** What is left of it in QEMU, which copies nothing, {@link #close} takes out. */
    @Override
    public void detach() {
        long begun = System.nanoTime();
        for (Copy copy : copies) {
            copy.mirror.ifPresent(DiskMirror::end);
        }
        LOG.info(
                "event=disks-detached disks={} queuedBytes={} micros={}",
                copies.size(),
                stream.figures().queuedBytes(),
                TimeUnit.NANOSECONDS.toMicros(System.nanoTime() - begun));
    }

    @Override
    public void close() {
        lock.lock();
        try {
            closing = true;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        // First of all: whatever QEMU still wants to get rid of is taken without asking anybody.
        stream.discard();
        copying.ifPresent(MirroredDisks::join);
        if (!removed) {
            DiskMirror.remove(copies.stream().flatMap(copy -> copy.mirror.stream()).toList(), stop);
            removed = true;
        }
        watch.ifPresent(MirrorWatch::close);
        rescue.ifPresent(RescueMonitor::close);
        server.ifPresent(MirroredDisks::close);
    }

    private static void join(Thread thread) {
        boolean interrupted = false;
        long until = System.nanoTime() + ATTACH_LIMIT.toNanos();
        try {
            while (thread.isAlive()) {
                long left = until - System.nanoTime();
                if (left <= 0) {
                    throw new HypervisorException(
                            "blockdev-mirror", "disks are still being attached; try again");
                }
                try {
                    thread.join(Duration.ofNanos(left));
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private static void close(NbdServer server) {
        try {
            server.close();
        } catch (IOException | IllegalStateException e) {
            LOG.warn("event=disk-server-close reason=\"{}\"", e.getMessage());
        }
    }
}
