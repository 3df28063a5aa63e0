package holdfast.node.link;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Bounded waits that an interrupt does not cut short: it is kept for the caller. */
final class Joining {
    private Joining() {}

    /**
     * @throws IllegalStateException if the thread still runs after {@code limitNanos}
     */
    static void join(Thread thread, long limitNanos) {
        boolean interrupted = false;
        long until = System.nanoTime() + limitNanos;
        try {
            while (thread.isAlive()) {
                long left = TimeUnit.NANOSECONDS.toMillis(until - System.nanoTime());
                if (left <= 0) {
                    throw new IllegalStateException(
                            "thread "
                                    + thread.getName()
                                    + " did not end within "
                                    + TimeUnit.NANOSECONDS.toMillis(limitNanos)
                                    + " ms");
                }
                try {
                    thread.join(left);
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

    /** Whether the latch opened within {@code limitNanos}. */
    static boolean await(CountDownLatch latch, long limitNanos) {
        boolean interrupted = false;
        long until = System.nanoTime() + limitNanos;
        try {
            while (true) {
                try {
                    return latch.await(until - System.nanoTime(), TimeUnit.NANOSECONDS);
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
}
