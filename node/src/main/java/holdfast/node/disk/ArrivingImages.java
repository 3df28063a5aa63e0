package holdfast.node.disk;

import holdfast.engine.DiskException;
import holdfast.engine.disk.DiskSizes;
import holdfast.engine.port.DiskWrites;
import holdfast.wire.disk.JournalHeader;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.stream.Collectors;

/**
 * The disks of a domain that moves here, as raw images that are written at once: until it is handed
 * over they are worth nothing, and whoever breaks off before throws them away. After the last
 * {@link #boundary} they are whole and on stable storage.
 *
 * <p>A thread of its own brings them there all the while, so that little is left for the guest's
 * pause. Whoever writes faster than that waits.
 */
public final class ArrivingImages implements DiskWrites, AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(ArrivingImages.class);

    /** What is written and not forced: from here on it is forced in the background. */
    static final long FORCED_FROM_BYTES = 16L << 20;

    /** And with so much the writer waits. */
    static final long UNFORCED_BYTES_MAX = 128L << 20;

    /** A hole costs its place in the file system's journal. */
    private static final long ZEROES_COST_BYTES = 4096;

    private static final long FORCE_LIMIT_NANOS = TimeUnit.SECONDS.toNanos(60);

    private final DiskSizes sizes;
    private final ImageOpening.Opened opened;
    private final Thread forcing;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();

    /**
     * Whose turn it is to force. Linux tells of a write that failed once for each open file:
     * whoever forces beside another could be told that all is well.
     */
    private final ReentrantLock turn = new ReentrantLock();

    /** Cost of all writes, and up to where they are on stable storage. */
    private long written;

    private long forced;
    private Optional<DiskException> failure = Optional.empty();
    private boolean closing;
    private boolean closed;

    private ArrivingImages(DiskSizes sizes, ImageOpening.Opened opened) {
        this.sizes = sizes;
        this.opened = opened;
        this.forcing =
                Thread.ofPlatform().name("images-force").daemon().unstarted(this::forceAlways);
    }

    /**
     * Makes images ready to be filled.
     *
     * @param journals of replicas on this node: those of older sessions about these images are
     *     removed
     * @throws DiskException if an image is refused
     */
    public static ArrivingImages open(Path journals, List<ReplicaImages.Image> images) {
        return open(new SystemFiles(ImageUse.ARRIVAL), journals, images);
    }

    /**
     * Looks whether they could be made ready; nothing is changed, and who uses them now does not
     * matter.
     *
     * @throws DiskException if an image would be refused
     */
    public static void look(List<ReplicaImages.Image> images) {
        ImageOpening.look(disks(images));
    }

    private static List<JournalHeader.Disk> disks(List<ReplicaImages.Image> images) {
        return images.stream()
                .map(i -> new JournalHeader.Disk(i.path().toString(), i.sizeBytes()))
                .toList();
    }

    static ArrivingImages open(DiskFiles files, Path journals, List<ReplicaImages.Image> images) {
        List<JournalHeader.Disk> disks = disks(images);
        ImageOpening.Opened opened = ImageOpening.openNoting(files, disks);
        ArrivingImages arriving = new ArrivingImages(new DiskSizes(disks), opened);
        try {
            ImageOpening.forgetOlder(files, journals, disks);
            arriving.forcing.start();
            return arriving;
        } catch (DiskException e) {
            arriving.closed = true;
            opened.images().forEach(ImageFile::close);
            arriving.removeMade().forEach(e::addSuppressed);
            throw e;
        }
    }

    @Override
    public void write(int disk, long offsetBytes, ByteBuffer data) {
        int bytes = data.remaining();
        sizes.require(disk, offsetBytes, bytes);
        awaitRoom();
        opened.images().get(disk).write(data, offsetBytes);
        wrote(bytes);
    }

    @Override
    public void writeZeroes(int disk, long offsetBytes, long lengthBytes) {
        sizes.require(disk, offsetBytes, lengthBytes);
        awaitRoom();
        opened.images().get(disk).zero(offsetBytes, lengthBytes);
        wrote(ZEROES_COST_BYTES);
    }

    private void wrote(long cost) {
        lock.lock();
        try {
            written += cost;
            if (written - forced >= FORCED_FROM_BYTES) {
                changed.signalAll();
            }
        } finally {
            lock.unlock();
        }
    }

    private void awaitRoom() {
        lock.lock();
        try {
            long left = FORCE_LIMIT_NANOS;
            while (written - forced > UNFORCED_BYTES_MAX && failure.isEmpty() && !closing) {
                if (left <= 0) {
                    throw new DiskException(
                            "image "
                                    + opened.images().getFirst().path()
                                    + ": its disk takes nothing in for "
                                    + TimeUnit.NANOSECONDS.toSeconds(FORCE_LIMIT_NANOS)
                                    + " s; look at the disk");
                }
                left = changed.awaitNanos(left);
            }
            if (failure.isPresent()) {
                throw failure.get();
            }
            if (closing) {
                throw new DiskException("the images are closed: the migration is over");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new DiskException("interrupted while waiting for the images' disk", e);
        } finally {
            lock.unlock();
        }
    }

    /** On the return all writes before it are on stable storage. */
    @Override
    public void boundary(long epoch) {
        awaitRoom();
        long begun = System.nanoTime();
        force();
        LOG.info(
                "event=images-forced images={} boundary={} micros={}",
                opened.images().size(),
                epoch,
                TimeUnit.NANOSECONDS.toMicros(System.nanoTime() - begun));
    }

    private void force() {
        turn.lock();
        try {
            long now;
            lock.lock();
            try {
                if (failure.isPresent()) {
                    throw failure.get();
                }
                now = written;
            } finally {
                lock.unlock();
            }
            forceAll();
            lock.lock();
            try {
                forced = now;
                changed.signalAll();
            } finally {
                lock.unlock();
            }
        } finally {
            turn.unlock();
        }
    }

    /** One that failed stays failed: the kernel tells of it once. */
    private void forceAll() {
        try {
            opened.images().forEach(ImageFile::force);
        } catch (DiskException e) {
            fail(e);
            throw e;
        } catch (RuntimeException | Error e) {
            DiskException failed = new DiskException("forcing the images failed: " + e, e);
            fail(failed);
            throw failed;
        }
    }

    private void fail(DiskException reason) {
        lock.lock();
        try {
            failure = Optional.of(reason);
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    private void forceAlways() {
        try {
            while (awaitWork()) {
                force();
            }
        } catch (DiskException e) {
            LOG.warn("event=images-not-forced reason=\"{}\"", e.getMessage());
        } catch (InterruptedException e) {
            // Nobody interrupts it; if somebody does, the writer forces at its boundaries.
            Thread.currentThread().interrupt();
        }
    }

    private boolean awaitWork() throws InterruptedException {
        lock.lock();
        try {
            while (!closing && written - forced < FORCED_FROM_BYTES) {
                changed.await();
            }
            return !closing;
        } finally {
            lock.unlock();
        }
    }

    /** Lets go of the images, which stay as they are. Idempotent. */
    @Override
    public void close() {
        lock.lock();
        try {
            closing = true;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        join();
        if (!closed) {
            closed = true;
            opened.images().forEach(ImageFile::close);
        }
    }

    private void join() {
        boolean interrupted = false;
        long until = System.nanoTime() + FORCE_LIMIT_NANOS;
        while (forcing.isAlive() && System.nanoTime() - until < 0) {
            try {
                forcing.join(TimeUnit.NANOSECONDS.toMillis(FORCE_LIMIT_NANOS));
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /**
     * The domain does not come: what was made for it goes.
     *
     * @throws DiskException if something is left; all was tried
     */
    public void discard() {
        List<DiskException> failures = new ArrayList<>();
        try {
            close();
        } catch (DiskException e) {
            failures.add(e);
        }
        failures.addAll(removeMade());
        if (!failures.isEmpty()) {
            throw new DiskException(
                    failures.stream()
                            .map(DiskException::getMessage)
                            .collect(Collectors.joining("; ")),
                    failures.getFirst());
        }
    }

    private List<DiskException> removeMade() {
        List<DiskException> failures = new ArrayList<>();
        for (Path path : opened.made()) {
            try {
                Files.deleteIfExists(path);
            } catch (IOException e) {
                LOG.warn("event=image-left image={} reason=\"{}\"", path, e.getMessage());
                failures.add(
                        new DiskException(
                                "image " + path + " is left half filled: " + e.getMessage(), e));
            }
        }
        return failures;
    }
}
