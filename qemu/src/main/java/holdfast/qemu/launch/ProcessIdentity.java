package holdfast.qemu.launch;

import holdfast.engine.HypervisorException;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/**
 * One process of this host since its boot: a process number alone is given to another process after
 * the first is gone.
 *
 * @param pid process number
 * @param startTicks when it started, in clock ticks since boot
 */
public record ProcessIdentity(long pid, long startTicks) {
    private static final long LOOK_NANOS = 500_000;

    /**
     * The process that has this number now; empty if none does, or only a dead one. One whose first
     * thread has ended is dead only when the others have, too: until then it has its memory, its
     * files and their locks, and its network interfaces.
     */
    public static Optional<ProcessIdentity> of(long pid) {
        String stat;
        try {
            stat = Files.readString(Path.of("/proc", Long.toString(pid), "stat"));
        } catch (NoSuchFileException e) {
            return Optional.empty();
        } catch (IOException e) {
            // Reading the entry of a process that is just going fails with ESRCH.
            if (!Files.exists(Path.of("/proc", Long.toString(pid)))) {
                return Optional.empty();
            }
            throw new HypervisorException("find process", "cannot read /proc/" + pid + "/stat", e);
        }
        // proc(5): the command name may hold spaces and parentheses; state is field 3, the number
        // of threads 20, start time 22
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
        char state = fields[0].charAt(0);
        boolean threadsLeft = Integer.parseInt(fields[17]) > 1;
        return (state == 'Z' || state == 'X') && !threadsLeft
                ? Optional.empty()
                : Optional.of(new ProcessIdentity(pid, Long.parseLong(fields[19])));
    }

    /** Whether this very process still runs. */
    public boolean alive() {
        return of(pid).filter(this::equals).isPresent();
    }

    /**
     * Ends it at once and waits until it is gone. Another process that has got its number meanwhile
     * is left alone.
     *
     * @throws HypervisorException if it may not be ended, or still runs after the limit
     */
    public void kill(Duration limit) {
        long until = System.nanoTime() + limit.toNanos();
        Optional<ProcessHandle> handle = ProcessHandle.of(pid);
        if (handle.isEmpty() || !alive()) {
            return;
        }
        // The handle was taken before the check, and compares the start time once more.
        if (!handle.get().destroyForcibly() && alive()) {
            throw new HypervisorException(
                    "kill", "process " + pid + " may not be ended by this user: run as its owner");
        }
        while (alive()) {
            if (System.nanoTime() - until > 0) {
                throw new HypervisorException(
                        "kill",
                        "process " + pid + " still runs " + limit.toMillis() + " ms after SIGKILL");
            }
            LockSupport.parkNanos(LOOK_NANOS);
        }
    }
}
