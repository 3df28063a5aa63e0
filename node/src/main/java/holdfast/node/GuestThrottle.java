package holdfast.node;

import holdfast.engine.HypervisorException;
import holdfast.engine.migrate.ThrottledGuest;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Slows a guest down by stopping it for a part of each period, through its monitor: that needs no
 * right that the daemon has not, works with every accelerator, and stops all virtual CPUs alike.
 */
final class GuestThrottle implements ThrottledGuest {
    private static final Logger LOG = LoggerFactory.getLogger(GuestThrottle.class);

    /** A stop and a resume take about two milliseconds of it. */
    private static final long PERIOD_NANOS = TimeUnit.MILLISECONDS.toNanos(50);

    private final OperatedDomain domain;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private int percent;
    private boolean closed;
    private boolean stopped;
    private Optional<Thread> worker = Optional.empty();

    GuestThrottle(OperatedDomain domain) {
        this.domain = domain;
    }

    /** Returns with the guest running where {@code wanted} is 0. */
    @Override
    public void throttle(int wanted) {
        lock.lock();
        try {
            percent = wanted;
            if (wanted == 0) {
                release();
            } else if (worker.isEmpty() && !closed) {
                worker =
                        Optional.of(
                                Thread.ofPlatform()
                                        .name("throttle-" + domain.name())
                                        .daemon()
                                        .start(this::run));
            }
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    private void release() {
        if (stopped) {
            stopped = false;
            domain.release(OperatedDomain.Hold.THROTTLE);
        }
    }

    private void run() {
        lock.lock();
        try {
            while (!closed) {
                if (percent == 0) {
                    changed.await();
                    continue;
                }
                long still = PERIOD_NANOS * percent / 100;
                stopped = true;
                domain.hold(OperatedDomain.Hold.THROTTLE);
                changed.awaitNanos(still);
                release();
                changed.awaitNanos(PERIOD_NANOS - still);
            }
        } catch (HypervisorException e) {
            LOG.warn("event=throttle-ended domain={} reason=\"{}\"", domain.name(), e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void close() {
        lock.lock();
        try {
            closed = true;
            percent = 0;
            changed.signalAll();
            release();
        } finally {
            lock.unlock();
        }
    }
}
