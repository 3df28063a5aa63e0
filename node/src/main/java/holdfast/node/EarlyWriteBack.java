package holdfast.node;

import holdfast.qemu.linux.Syscalls;
import holdfast.qemu.linux.SystemCallException;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Has what the guest wrote leave the page cache while the guest runs. QEMU's {@code stop} forces
 * the domain's images, within the pause of every checkpoint: it is the shorter, the less is left.
 * That flush, and every one of the guest's own, stays as it is; this promises nothing to anybody.
 */
final class EarlyWriteBack implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(EarlyWriteBack.class);

    /** Written by the guest before the kernel is told again. */
    private static final long DUE_COST_BYTES = 1 << 20;

    /** What a write counts at least: its own request to the storage costs more than its bytes. */
    private static final long WRITE_COST_BYTES_MIN = 32 << 10;

    private static final Duration END_LIMIT = Duration.ofSeconds(10);

    private final Path image;
    private final AtomicLong costBytes = new AtomicLong();
    private final Semaphore due = new Semaphore(0);
    private final Thread thread;
    private volatile boolean closed;

    /**
     * @param image of a disk that is raw or not: all of the file is meant
     */
    EarlyWriteBack(Path image) {
        this.image = image;
        this.thread =
                Thread.ofPlatform()
                        .name("write-back-" + image.getFileName())
                        .daemon()
                        .unstarted(this::run);
    }

    void start() {
        thread.start();
    }

    /** The guest has written to the image. Any thread; does not wait. */
    void wrote(long bytes) {
        if (costBytes.addAndGet(Math.max(bytes, WRITE_COST_BYTES_MIN)) >= DUE_COST_BYTES) {
            costBytes.set(0);
            if (due.availablePermits() == 0) {
                due.release();
            }
        }
    }

    private void run() {
        try {
            int fd = Syscalls.open(image, Syscalls.O_CLOEXEC);
            try {
                due.acquire();
                while (!closed) {
                    Syscalls.startWriteBack(fd);
                    due.acquire();
                }
            } finally {
                Syscalls.close(fd);
            }
        } catch (SystemCallException e) {
            // Pauses are longer then, and nothing else.
            LOG.info("event=no-early-write-back image={} reason=\"{}\"", image, e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** May be called although it was not started. */
    @Override
    public void close() {
        closed = true;
        due.release();
        try {
            if (thread.isAlive() && !thread.join(END_LIMIT)) {
                LOG.warn(
                        "event=write-back-hangs image={} next=\"look at the storage it lies on\"",
                        image);
            }
        } catch (InterruptedException e) {
            // It ends by itself.
            Thread.currentThread().interrupt();
        }
    }
}
