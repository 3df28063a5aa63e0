package holdfast.qemu.linux;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Stream;

/**
 * The threads that a guest's pause goes through, one after another: this daemon's and QEMU's. While
 * the pause lasts they run before all others, for each of them would wait for a processor on a host
 * with few of them or much to do (sched(7), SCHED_RR). It takes the right to do so, CAP_SYS_NICE;
 * without it nothing is changed.
 */
public final class PauseThreads {
    private static final Logger LOG = LoggerFactory.getLogger(PauseThreads.class);

    /** A pause that takes longer waits for something else, and others must get on, too. */
    private static final long MILLIS_MAX = 500;

    private static final int PRIORITY_OWN = 1;

    /** It does most of the work of a pause, and what it has done is what the others wait for. */
    private static final int PRIORITY_QEMU = 2;

    private static final ConcurrentHashMap<Thread, Integer> NUMBERS = new ConcurrentHashMap<>();

    /** A time in which threads are scheduled otherwise. */
    public interface Held extends AutoCloseable {
        /** Ends it; any thread, any number of times. */
        @Override
        void close();
    }

    /**
     * Whether the kernel was heard to allow this daemon's group no real time, for all its rights.
     */
    private static final AtomicBoolean REFUSED = new AtomicBoolean();

    private record Changed(int thread, Syscalls.Policy before) {}

    private PauseThreads() {}

    /** What a platform thread is to run that may be given to {@link #first(Collection)}. */
    public static Runnable body(Runnable body) {
        return () -> {
            NUMBERS.put(Thread.currentThread(), Syscalls.threadNumber());
            try {
                body.run();
            } finally {
                NUMBERS.remove(Thread.currentThread());
            }
        };
    }

    /**
     * Lets threads run first, and compilers last, until the result is closed, for half a second at
     * most.
     *
     * @param threads those that do not run a {@link #body} stay as they are
     */
    public static Held first(Collection<Thread> threads) {
        Held compilers = CompilerThreads.holdBack();
        List<Integer> numbers = new ArrayList<>();
        threads.forEach(thread -> Optional.ofNullable(NUMBERS.get(thread)).ifPresent(numbers::add));
        Held first = first(numbers, PRIORITY_OWN, MILLIS_MAX);
        return () -> {
            first.close();
            compilers.close();
        };
    }

    /**
     * As {@link #first(Collection)}, for a QEMU.
     *
     * @param without the numbers of threads of it that stay as they are
     */
    public static Held first(long pid, Set<Integer> without) {
        return first(pid, without, MILLIS_MAX);
    }

    static Held first(long pid, Set<Integer> without, long millisMax) {
        if (!SchedulingRight.HELD) {
            return () -> {};
        }
        List<Integer> numbers = threads(pid);
        numbers.removeAll(without);
        return first(numbers, PRIORITY_QEMU, millisMax);
    }

    private static Held first(List<Integer> numbers, int priority, long millisMax) {
        if (!SchedulingRight.HELD || REFUSED.get()) {
            return () -> {};
        }
        List<Changed> changed = new ArrayList<>();
        for (int number : numbers) {
            try {
                Optional<Syscalls.Policy> before = ordinary(number);
                if (before.isPresent()) {
                    Syscalls.scheduleRealtime(number, priority);
                    changed.add(new Changed(number, before.get()));
                }
            } catch (SystemCallException e) {
                trouble(number, e);
            }
        }
        AtomicBoolean ended = new AtomicBoolean();
        Held held =
                () -> {
                    if (!ended.getAndSet(true)) {
                        changed.forEach(each -> takeBack(each.thread(), each.before()));
                    }
                };
        CompletableFuture.delayedExecutor(millisMax, TimeUnit.MILLISECONDS, Runnable::run)
                .execute(held::close);
        return held;
    }

    /** Who was given another policy by somebody else keeps it. */
    private static Optional<Syscalls.Policy> ordinary(int thread) {
        Syscalls.Scheduling now = Syscalls.scheduling(thread);
        return Stream.of(Syscalls.Policy.OTHER, Syscalls.Policy.BATCH)
                .filter(policy -> now.is(policy) && !now.resetOnFork())
                .findFirst();
    }

    /** Takes back what a daemon that died in a pause has left of it in a QEMU. */
    public static void calm(long pid) {
        if (SchedulingRight.HELD) {
            threads(pid).forEach(thread -> takeBack(thread, Syscalls.Policy.OTHER));
        }
    }

    /** Its number may be another's by now, whose scheduling is not ours. */
    private static void takeBack(int thread, Syscalls.Policy before) {
        try {
            Syscalls.Scheduling now = Syscalls.scheduling(thread);
            // Nobody else asks for both.
            if (now.is(Syscalls.Policy.ROUND_ROBIN) && now.resetOnFork()) {
                Syscalls.schedule(thread, before);
            }
        } catch (SystemCallException e) {
            trouble(thread, e);
        }
    }

    private static List<Integer> threads(long pid) {
        List<Integer> numbers = new ArrayList<>();
        try (Stream<Path> tasks = Files.list(Path.of("/proc", Long.toString(pid), "task"))) {
            tasks.forEach(task -> numbers.add(Integer.parseInt(task.getFileName().toString())));
        } catch (IOException | UncheckedIOException e) {
            // It has ended: whoever drives it hears so from its monitor.
            LOG.debug("event=threads-unknown process={}", pid, e);
        }
        return numbers;
    }

    private static void trouble(int thread, SystemCallException e) {
        if (e.errno() == Errno.EPERM) {
            if (!REFUSED.getAndSet(true)) {
                LOG.info("event=pauses-not-first reason=\"{}\"", e.getMessage());
            }
        } else if (e.errno() != Errno.ESRCH) {
            LOG.warn(
                    "event=thread-not-rescheduled thread={} reason=\"{}\"", thread, e.getMessage());
        }
    }
}
