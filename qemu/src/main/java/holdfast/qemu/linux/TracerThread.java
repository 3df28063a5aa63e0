package holdfast.qemu.linux;

import holdfast.engine.HypervisorException;

import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Runs one piece of tracing on a platform thread of its own and ends that thread: ptrace belongs to
 * a thread, and a tracer that ends lets all its tracees go. That is the last safety net for a
 * tracee that would not stop in time.
 */
final class TracerThread {
    /** On top of the work's own deadline: the work ends itself, this only bounds a fault in it. */
    private static final long SLACK_MILLIS = 5_000;

    private TracerThread() {}

    static <T> T run(long pid, Duration limit, Callable<T> work) {
        FutureTask<T> task = new FutureTask<>(work);
        Thread thread = Thread.ofPlatform().name("holdfast-tracer-" + pid).daemon().start(task);
        boolean interrupted = false;
        try {
            long deadlineNanos =
                    System.nanoTime() + limit.plus(Duration.ofMillis(SLACK_MILLIS)).toNanos();
            while (true) {
                try {
                    T result = task.get(deadlineNanos - System.nanoTime(), TimeUnit.NANOSECONDS);
                    // Only its end makes sure that nothing is traced any more.
                    thread.join(SLACK_MILLIS);
                    return result;
                } catch (InterruptedException _) {
                    // The tracee must not be left half way: finish first, then pass the interrupt
                    // on.
                    interrupted = true;
                } catch (TimeoutException e) {
                    throw new HypervisorException(
                            "trace", "tracing process " + pid + " did not end in time", e);
                } catch (ExecutionException e) {
                    if (e.getCause() instanceof HypervisorException h) {
                        throw h;
                    }
                    throw new HypervisorException(
                            "trace",
                            "tracing process " + pid + " failed: " + e.getCause().getMessage(),
                            e.getCause());
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }
}
