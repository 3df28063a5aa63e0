package holdfast.qemu.linux;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
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

    /**
     * The same for all of them, for each waits for the others; and one that nobody else is likely
     * to ask for together with the reset: it tells what is ours.
     */
    private static final int PRIORITY = 7;

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
        Held first = raise(numbers, MILLIS_MAX);
        return () -> {
            first.close();
            compilers.close();
        };
    }

    /** The threads that a process has now, by their numbers; none where it has ended. */
    public static Set<Integer> of(long pid) {
        Set<Integer> numbers = new HashSet<>();
        try (Stream<Path> tasks = Files.list(Path.of("/proc", Long.toString(pid), "task"))) {
            tasks.forEach(task -> numbers.add(Integer.parseInt(task.getFileName().toString())));
        } catch (IOException | UncheckedIOException e) {
            // It has ended: whoever drives it hears so from its monitor.
            LOG.debug("event=threads-unknown process={}", pid, e);
        }
        return numbers;
    }

    /**
     * As {@link #first(Collection)}, for another process.
     *
     * @param threads of {@link #of}, some time before; those that it has no more are left out. None
     *     that may have work for a whole processor, such as those that run a guest.
     */
    public static Held first(long pid, Set<Integer> threads) {
        return first(pid, threads, MILLIS_MAX);
    }

    static Held first(long pid, Set<Integer> threads, long millisMax) {
        if (!SchedulingRight.HELD) {
            return () -> {};
        }
        Set<Integer> numbers = of(pid);
        numbers.retainAll(threads);
        return raise(numbers, millisMax);
    }

    private static Held raise(Collection<Integer> numbers, long millisMax) {
        if (!SchedulingRight.HELD || REFUSED.get()) {
            return () -> {};
        }
        Raised raised = new Raised();
        // Before the first of them: whatever happens, it ends.
        CompletableFuture.delayedExecutor(millisMax, TimeUnit.MILLISECONDS, Runnable::run)
                .execute(raised::close);
        numbers.forEach(raised::add);
        return raised;
    }

    private static final class Raised implements Held {
        private final Map<Integer, Syscalls.Policy> before = new HashMap<>();
        private boolean ended;

        synchronized void add(int thread) {
            if (ended) {
                return;
            }
            try {
                ordinary(thread)
                        .ifPresent(
                                policy -> {
                                    before.put(thread, policy);
                                    Syscalls.scheduleRealtime(thread, PRIORITY);
                                });
            } catch (SystemCallException e) {
                trouble(thread, e);
            }
        }

        @Override
        public synchronized void close() {
            if (!ended) {
                ended = true;
                before.forEach(PauseThreads::takeBack);
            }
        }
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
            of(pid).forEach(thread -> takeBack(thread, Syscalls.Policy.OTHER));
        }
    }

    /** Its number may be another's by now, whose scheduling is not ours. */
    private static void takeBack(int thread, Syscalls.Policy before) {
        try {
            Syscalls.Scheduling now = Syscalls.scheduling(thread);
            if (now.is(Syscalls.Policy.ROUND_ROBIN)
                    && now.resetOnFork()
                    && now.priority() == PRIORITY) {
                Syscalls.schedule(thread, before);
            }
        } catch (SystemCallException e) {
            trouble(thread, e);
        }
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
