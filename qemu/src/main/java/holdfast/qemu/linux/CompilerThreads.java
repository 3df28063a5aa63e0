package holdfast.qemu.linux;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.ReentrantLock;

/**
 * The threads of this virtual machine that compile. They wake up whenever some method has run often
 * enough, which is just when something happens; on a host with few cores they would push aside the
 * thread that a guest's pause waits for.
 */
public final class CompilerThreads {
    private static final Logger LOG = LoggerFactory.getLogger(CompilerThreads.class);
    private static final Path TASKS = Path.of("/proc/self/task");

    private static final long HELD_MILLIS_MAX = 500;

    private static final ReentrantLock LOCK = new ReentrantLock();
    private static List<Integer> batch = List.of();
    private static int holding;

    private CompilerThreads() {}

    /**
     * Makes those that there are batch work: they get their share of the processor, but a wake-up
     * of theirs interrupts nobody (sched(7), SCHED_BATCH). To be called once, with the virtual
     * machine's number of them fixed. Where it is refused they stay as they are.
     *
     * @return how many there are
     */
    public static int makeBatch() {
        List<Integer> made = new ArrayList<>();
        LOCK.lock();
        try (DirectoryStream<Path> tasks = Files.newDirectoryStream(TASKS)) {
            for (Path task : tasks) {
                if (isCompiler(Files.readString(task.resolve("comm")))) {
                    int thread = Integer.parseInt(task.getFileName().toString());
                    Syscalls.schedule(thread, Syscalls.Policy.BATCH);
                    made.add(thread);
                }
            }
            // Without the privilege there is no way back from SCHED_IDLE.
            batch = SchedulingRight.HELD ? List.copyOf(made) : List.of();
        } catch (IOException | SystemCallException e) {
            LOG.info("event=compilers-not-batch reason=\"{}\"", e.getMessage());
        } finally {
            LOCK.unlock();
        }
        return made.size();
    }

    /**
     * Has those that are batch work run only where nobody else wants to (sched(7), SCHED_IDLE): a
     * processor on which one works counts as free then. For a guest's pause, and half a second at
     * most: for longer they would not be done on a busy host, nor give back what they have locked.
     * Any thread; may be nested. Without the right to take it back (CAP_SYS_NICE) nothing is
     * changed.
     */
    static PauseThreads.Held holdBack() {
        return holdBack(HELD_MILLIS_MAX);
    }

    static PauseThreads.Held holdBack(long millisMax) {
        count(1);
        AtomicBoolean ended = new AtomicBoolean();
        PauseThreads.Held held =
                () -> {
                    if (!ended.getAndSet(true)) {
                        count(-1);
                    }
                };
        CompletableFuture.delayedExecutor(millisMax, TimeUnit.MILLISECONDS, Runnable::run)
                .execute(held::close);
        return held;
    }

    private static void count(int change) {
        LOCK.lock();
        try {
            boolean before = holding > 0;
            holding += change;
            if (before != holding > 0) {
                batch.forEach(
                        thread ->
                                reschedule(
                                        thread,
                                        before ? Syscalls.Policy.BATCH : Syscalls.Policy.IDLE));
            }
        } finally {
            LOCK.unlock();
        }
    }

    private static void reschedule(int thread, Syscalls.Policy policy) {
        try {
            Syscalls.schedule(thread, policy);
        } catch (SystemCallException e) {
            LOG.warn(
                    "event=compiler-not-rescheduled thread={} policy={} reason=\"{}\"",
                    thread,
                    policy,
                    e.getMessage());
        }
    }

    private static boolean isCompiler(String comm) {
        return comm.startsWith("C1 Compiler") || comm.startsWith("C2 Compiler");
    }
}
