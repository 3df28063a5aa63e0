package holdfast.qemu.linux;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import holdfast.engine.HypervisorException;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.locks.LockSupport;

/**
 * One thread of another process, seized with ptrace. All calls from the one platform thread that
 * seized it: the kernel ties the tracing to it, and lets the tracee go, resumed, when that thread
 * ends in whatever way. {@link #close} puts back the registers and the signal mask, whatever
 * happened in between, and detaches.
 *
 * @spec https://man7.org/linux/man-pages/man2/ptrace.2.html ptrace(2)
 */
final class TracedThread implements AutoCloseable {
    private static final int SINGLE_STEP = 9;
    private static final int CONT = 7;
    private static final int GET_REGISTERS = 12;
    private static final int SET_REGISTERS = 13;
    private static final int DETACH = 17;
    private static final int SEIZE = 0x4206;
    private static final int INTERRUPT = 0x4207;
    private static final int GET_SIGNAL_MASK = 0x420a;
    private static final int SET_SIGNAL_MASK = 0x420b;

    private static final int EVENT_STOP = 128;
    private static final int SIGTRAP = 5;
    private static final int SIGSYS = 31;

    /**
     * Signals the processor or the kernel raises in place; blocking one would make the kernel drop
     * its handler.
     */
    private static final long SYNCHRONOUS_SIGNALS =
            bit(4) | bit(SIGTRAP) | bit(7) | bit(8) | bit(11) | bit(SIGSYS);

    /** How long {@link #close} waits for a thread that is still inside a planted step. */
    private static final long CLOSE_NANOS = 1_000_000_000;

    private static final long SPIN_NANOS = 300_000;
    private static final long PAUSE_NANOS = 50_000;

    private final long tid;
    private final Arena arena = Arena.ofConfined();
    private final MemorySegment saved = arena.allocate(X86_64.REGISTERS_BYTES, 8);
    private final MemorySegment work = arena.allocate(X86_64.REGISTERS_BYTES, 8);
    private final MemorySegment signals = arena.allocate(16, 8);
    private Phase phase = Phase.RUNNING;
    private Borrowed borrowed = Borrowed.NOTHING;

    private enum Phase {
        RUNNING,
        STOPPED,
        ENDED
    }

    /** Which of the thread's own state is changed and must be put back. */
    private enum Borrowed {
        NOTHING,
        SIGNAL_MASK,
        REGISTERS_TOO
    }

    /** A stop as {@code waitpid} reports it: a signal about to be delivered, or a ptrace event. */
    private record Stop(int signal, int event) {}

    private TracedThread(long tid) {
        this.tid = tid;
    }

    /** Begins tracing; the thread runs on. */
    static TracedThread seize(long tid) {
        try {
            Syscalls.ptrace("SEIZE", SEIZE, tid, 0, 0);
        } catch (SystemCallException e) {
            throw new HypervisorException("trace", whyNot(tid, e), e);
        }
        return new TracedThread(tid);
    }

    private static String whyNot(long tid, SystemCallException e) {
        if (e.errno() == Errno.ESRCH) {
            return "process " + tid + " does not exist; is it still running?";
        }
        if (e.errno() == Errno.EPERM || e.errno() == Errno.EACCES) {
            try {
                long tracer = ProcessStatus.read(tid).tracerTid();
                if (tracer != 0) {
                    return "process %d is already traced by process %d (a debugger or strace?); end that one first"
                            .formatted(tid, ProcessStatus.read(tracer).processId());
                }
            } catch (IOException gone) {
                e.addSuppressed(gone);
            }
            return "no right to trace process "
                    + tid
                    + " (needs CAP_SYS_PTRACE, or the same user and kernel.yama.ptrace_scope=0;"
                    + " try: run as root, or: sysctl kernel.yama.ptrace_scope=0)";
        }
        return "process " + tid + " cannot be traced: " + e.getMessage();
    }

    /** Asks the thread to stop; {@link #awaitInterrupted} waits for it. */
    void interrupt() {
        Syscalls.ptrace("INTERRUPT", INTERRUPT, tid, 0, 0);
    }

    /**
     * Waits until the thread has stopped for {@link #interrupt}. Signals that reach it before are
     * delivered, not lost.
     *
     * @param deadlineNanos on the clock of {@link System#nanoTime}
     */
    void awaitInterrupted(long deadlineNanos) {
        Stop stop = awaitStop(deadlineNanos);
        while (stop.event() != EVENT_STOP) {
            Syscalls.ptrace("CONT", CONT, tid, 0, stop.signal() == SIGTRAP ? 0 : stop.signal());
            phase = Phase.RUNNING;
            stop = awaitStop(deadlineNanos);
        }
    }

    /**
     * Saves what {@link #call} will change. The thread must be stopped. Signals stay pending until
     * {@link #close}, so that no handler runs on registers that are not its thread's own.
     */
    void borrow() {
        Syscalls.ptrace("GETREGS", GET_REGISTERS, tid, 0, saved.address());
        if (saved.get(JAVA_LONG, X86_64.CS) != X86_64.CS_64_BIT) {
            throw new HypervisorException(
                    "trace",
                    "thread %d runs 32-bit code (cs 0x%x, expected 0x%x); use a 64-bit QEMU"
                            .formatted(tid, saved.get(JAVA_LONG, X86_64.CS), X86_64.CS_64_BIT));
        }
        Syscalls.ptrace("GETSIGMASK", GET_SIGNAL_MASK, tid, 8, signals.address());
        signals.set(JAVA_LONG, 8, ~SYNCHRONOUS_SIGNALS);
        Syscalls.ptrace("SETSIGMASK", SET_SIGNAL_MASK, tid, 8, signals.address() + 8);
        borrowed = Borrowed.SIGNAL_MASK;
    }

    /**
     * Makes the thread perform one system call of at most two arguments.
     *
     * @param instruction the address of a {@code syscall} instruction in its process
     * @return what the kernel returned: a result, or a negated errno
     */
    long call(
            String name,
            long instruction,
            long number,
            long first,
            long second,
            long deadlineNanos) {
        work.copyFrom(saved);
        work.set(JAVA_LONG, X86_64.RIP, instruction);
        work.set(JAVA_LONG, X86_64.RAX, number);
        work.set(JAVA_LONG, X86_64.RDI, first);
        work.set(JAVA_LONG, X86_64.RSI, second);
        // "Not in a system call": otherwise the kernel would take the thread's interrupted call for
        // this one and restart it.
        work.set(JAVA_LONG, X86_64.ORIG_RAX, -1);
        borrowed = Borrowed.REGISTERS_TOO;
        Syscalls.ptrace("SETREGS", SET_REGISTERS, tid, 0, work.address());
        long signal = 0;
        while (true) {
            Syscalls.ptrace("SINGLESTEP", SINGLE_STEP, tid, 0, signal);
            phase = Phase.RUNNING;
            Stop stop = awaitStop(deadlineNanos);
            if (stop.event() == 0 && stop.signal() == SIGSYS) {
                throw new HypervisorException(
                        "trace",
                        "the seccomp filter of process %d refuses %s; start QEMU without -sandbox, or in a container"
                                        .formatted(tid, name)
                                + " whose profile allows it");
            }
            Syscalls.ptrace("GETREGS", GET_REGISTERS, tid, 0, work.address());
            long at = work.get(JAVA_LONG, X86_64.RIP);
            if (at == instruction + X86_64.SYSCALL_INSTRUCTION.length) {
                return work.get(JAVA_LONG, X86_64.RAX);
            }
            if (at != instruction) {
                throw new HypervisorException(
                        "trace",
                        "thread %d stopped at 0x%x (signal %d, event %d) in a planted %s, expected 0x%x"
                                .formatted(
                                        tid, at, stop.signal(), stop.event(), name, instruction));
            }
            // Stopped before the step: by a job-control stop of the process, or by SIGSTOP, the one
            // signal that the mask
            // cannot hold back and that must not be lost.
            signal = stop.event() == 0 && stop.signal() != SIGTRAP ? stop.signal() : 0;
        }
    }

    private Stop awaitStop(long deadlineNanos) {
        long started = System.nanoTime();
        for (long now = started; ; now = System.nanoTime()) {
            boolean late = now - deadlineNanos >= 0;
            if (late && now == started) {
                throw new HypervisorException("trace", late(started, now));
            }
            // Looked at once more after the deadline: on a busy machine it may be this thread that
            // came late.
            int status = Syscalls.waitStatus(tid);
            if (status != -1) {
                if ((status & 0xff) != 0x7f) {
                    phase = Phase.ENDED;
                    throw new HypervisorException(
                            "trace",
                            "thread %d ended (wait status 0x%x) while it was being stopped"
                                    .formatted(tid, status));
                }
                phase = Phase.STOPPED;
                return new Stop(status >>> 8 & 0xff, status >>> 16);
            }
            if (late) {
                throw new HypervisorException("trace", late(started, now));
            }
            // A thread that can stop does so within tens of microseconds; its guest stands still
            // until we notice.
            if (now - started < SPIN_NANOS) {
                Thread.onSpinWait();
            } else {
                LockSupport.parkNanos(PAUSE_NANOS);
            }
        }
    }

    private String late(long startedNanos, long nowNanos) {
        String state;
        try {
            state = ProcessStatus.read(tid).state();
        } catch (IOException e) {
            state = "unknown: " + e.getMessage();
        }
        return "thread %d did not stop within %d ms (state %s); D means that it waits for a disk or a network file system: repair that, then retry"
                .formatted(tid, (nowNanos - startedNanos) / 1_000_000, state);
    }

    /** Puts registers and signal mask back, and detaches; each is tried even if another fails. */
    @Override
    public void close() {
        int signal = 0;
        try {
            if (phase == Phase.RUNNING && borrowed == Borrowed.REGISTERS_TOO) {
                interrupt();
                // Any stop will do, and none may be passed: its registers are not its own.
                Stop stop = awaitStop(System.nanoTime() + CLOSE_NANOS);
                signal = stop.event() == 0 && stop.signal() != SIGTRAP ? stop.signal() : 0;
            }
        } finally {
            try {
                if (phase == Phase.STOPPED) {
                    putBack(signal);
                }
            } finally {
                arena.close();
            }
        }
    }

    private void putBack(int signal) {
        try {
            if (borrowed == Borrowed.REGISTERS_TOO) {
                // A system call the stop interrupted carries its restart code in these registers:
                // the kernel restarts it.
                Syscalls.ptrace("SETREGS", SET_REGISTERS, tid, 0, saved.address());
            }
        } finally {
            try {
                if (borrowed != Borrowed.NOTHING) {
                    Syscalls.ptrace("SETSIGMASK", SET_SIGNAL_MASK, tid, 8, signals.address());
                }
            } finally {
                Syscalls.ptrace("DETACH", DETACH, tid, 0, signal);
            }
        }
    }

    private static long bit(int signal) {
        return 1L << (signal - 1);
    }
}
