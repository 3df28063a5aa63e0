package holdfast.qemu.linux;

import holdfast.engine.HypervisorException;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.FutureTask;
import java.util.concurrent.locks.LockSupport;

/**
 * Runs one piece of tracing on a platform thread of its own and ends that thread: ptrace belongs to
 * a thread, and a tracer that ends lets all its tracees go. That is the last safety net for a
 * tracee that would not stop in time, so the end is waited for on every way out: whoever tries
 * again would else meet its own earlier tracer.
 */
final class TracerThread {
    /** On top of the work's own deadline: the work ends itself, this only bounds a fault in it. */
    private static final long SLACK_NANOS = 5_000_000_000L;

    /**
     * Between two looks whether the kernel has finished with a thread, which takes it some ten
     * microseconds and of which it tells nobody.
     */
    private static final long PAUSE_NANOS = 20_000;

    private TracerThread() {}

    /**
     * Runs {@code work}. Nothing is traced any more when this returns or throws, unless it throws
     * that the work did not end in time.
     *
     * @param limit the work's own
     */
    static <T> T run(long pid, Duration limit, Callable<T> work) {
        CompletableFuture<Path> kernelThread = new CompletableFuture<>();
        FutureTask<T> task =
                new FutureTask<>(
                        () -> {
                            kernelThread.complete(ownKernelThread());
                            return work.call();
                        });
        long deadlineNanos = System.nanoTime() + limit.toNanos() + SLACK_NANOS;
        Thread thread = Thread.ofPlatform().name("holdfast-tracer-" + pid).daemon().start(task);
        boolean interrupted = false;
        try {
            while (thread.isAlive()) {
                try {
                    if (!thread.join(Duration.ofNanos(deadlineNanos - System.nanoTime()))) {
                        throw late(pid);
                    }
                } catch (InterruptedException _) {
                    // The tracee must not be left half way: finish first, then pass it on.
                    interrupted = true;
                }
            }
            if (kernelThread.isDone()) {
                awaitEnd(pid, kernelThread.join(), deadlineNanos);
            }
            return result(pid, task);
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private static Path ownKernelThread() throws IOException {
        return Path.of("/proc").resolve(Files.readSymbolicLink(Path.of("/proc/thread-self")));
    }

    /** Java's end of a thread comes before the kernel's, and only that one lets tracees go. */
    private static void awaitEnd(long pid, Path kernelThread, long deadlineNanos) {
        while (Files.exists(kernelThread)) {
            if (System.nanoTime() - deadlineNanos > 0) {
                throw late(pid);
            }
            LockSupport.parkNanos(PAUSE_NANOS);
        }
    }

    private static HypervisorException late(long pid) {
        return new HypervisorException("trace", "tracing process " + pid + " did not end in time");
    }

    private static <T> T result(long pid, FutureTask<T> task) {
        if (task.state() == FutureTask.State.SUCCESS) {
            return task.resultNow();
        }
        Throwable failure = task.exceptionNow();
        if (failure instanceof HypervisorException h) {
            throw h;
        }
        throw new HypervisorException(
                "trace", "tracing process " + pid + " failed: " + failure.getMessage(), failure);
    }
}
