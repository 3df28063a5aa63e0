package holdfast.qemu.linux;

import holdfast.engine.HypervisorException;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Stops all threads of another process for the time of one action, with ptrace and not with
 * SIGSTOP: if this JVM dies in between, the kernel lets the process go on.
 */
public final class FrozenProcess {
    private FrozenProcess() {}

    /**
     * Runs {@code action}, on a thread of its own, while no thread of the process executes.
     *
     * @param pid not a child of this JVM
     * @param limit for the process to stop in
     * @throws HypervisorException if it did not stop, or {@code action} threw it; the process runs
     *     on in every case
     */
    public static void during(long pid, Duration limit, Runnable action) {
        Syscalls.prepare();
        TracerThread.run(
                pid,
                limit,
                () -> {
                    freeze(pid, System.nanoTime() + limit.toNanos(), action);
                    return null;
                });
    }

    private static void freeze(long pid, long deadlineNanos, Runnable action) throws IOException {
        List<TracedThread> traced = new ArrayList<>();
        try {
            Set<Long> known = new HashSet<>();
            // A thread that still runs may start another: all are stopped only when a look finds
            // nobody new.
            while (true) {
                List<Long> added = threads(pid);
                added.removeAll(known);
                if (added.isEmpty()) {
                    break;
                }
                known.addAll(added);
                for (long tid : added) {
                    stop(pid, tid, deadlineNanos, traced);
                }
            }
            action.run();
        } finally {
            release(traced);
        }
    }

    private static void stop(long pid, long tid, long deadlineNanos, List<TracedThread> traced) {
        try {
            TracedThread thread = TracedThread.seize(tid);
            traced.add(thread);
            thread.interrupt();
            thread.awaitInterrupted(deadlineNanos);
        } catch (HypervisorException | SystemCallException e) {
            // A thread that ended meanwhile executes nothing either.
            if (Files.exists(Path.of("/proc/" + pid + "/task/" + tid))) {
                throw e;
            }
        }
    }

    private static List<Long> threads(long pid) throws IOException {
        List<Long> tids = new ArrayList<>();
        try (DirectoryStream<Path> tasks =
                Files.newDirectoryStream(Path.of("/proc/" + pid + "/task"))) {
            for (Path task : tasks) {
                tids.add(Long.parseLong(task.getFileName().toString()));
            }
        }
        return tids;
    }

    private static void release(List<TracedThread> traced) {
        SystemCallException failure = null;
        for (TracedThread thread : traced) {
            try {
                thread.close();
            } catch (SystemCallException e) {
                // A thread that was killed while it stood still is gone, which is as good as let
                // go.
                if (e.errno() != Errno.ESRCH) {
                    failure = e;
                }
            }
        }
        if (failure != null) {
            throw failure;
        }
    }
}
