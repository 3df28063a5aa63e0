package holdfast.qemu.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.VarHandle;
import java.nio.file.Path;

/**
 * One method a system call. Each throws {@link SystemCallException} where C would return -1, and
 * none allocates on its way. Blocking calls are not offered: whoever waits, polls with a deadline.
 * Any thread may call; a call holds its carrier thread.
 */
@SuppressWarnings("restricted")
public final class Syscalls {
    /** {@code open} flags. */
    public static final int O_RDONLY = 0;

    public static final int O_WRONLY = 1;
    public static final int O_RDWR = 2;

    /** On a block device: fails with EBUSY where it is mounted or part of another device. */
    public static final int O_EXCL = 0x80;

    public static final int O_CLOEXEC = 0x80000;

    private static final long PIDFD_OPEN = 434;
    private static final long PIDFD_GETFD = 438;
    private static final int POLLIN = 1;

    /** How a thread shares its processor, sched(7). */
    enum Policy {
        OTHER(0),
        /** It runs before all that are none of these, and takes turns with its equals. */
        ROUND_ROBIN(2),
        /** Its wake-up interrupts nobody. */
        BATCH(3),
        /** It runs where nobody else wants to. */
        IDLE(5);

        private final int number;

        Policy(int number) {
            this.number = number;
        }
    }

    /**
     * How a thread is scheduled.
     *
     * @param number a policy's, of which {@link Policy} has some
     * @param priority 0 where the policy has none
     * @param resetOnFork the threads that it makes are ordinary ones
     */
    record Scheduling(int number, int priority, boolean resetOnFork) {
        boolean is(Policy policy) {
            return number == policy.number;
        }
    }

    private static final int RESET_ON_FORK = 0x40000000;

    private static final int ENXIO = 6;

    private static final Linker LINKER = Linker.nativeLinker();
    private static final StructLayout STATE = Linker.Option.captureStateLayout();
    private static final VarHandle ERRNO =
            STATE.varHandle(MemoryLayout.PathElement.groupElement("errno"));

    // The C library writes errno here after each call. One per thread, kept, so that no call
    // allocates; an automatic arena
    // because it is the thread's end, which nobody else sees, that frees it.
    private static final ThreadLocal<Scratch> SCRATCH = ThreadLocal.withInitial(Scratch::new);

    // SAFETY (all handles): each descriptor below is the C prototype of the function it is bound
    // to, on a 64-bit Linux
    // (int 32 bits, long and size_t and off_t 64 bits). The callers in this class uphold that
    // pointers stay valid for the call.
    private static final MethodHandle SYSCALL =
            function(
                    "syscall",
                    FunctionDescriptor.of(
                            JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG),
                    Linker.Option.firstVariadicArg(1));
    private static final MethodHandle IOCTL =
            function(
                    "ioctl",
                    FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, ADDRESS),
                    Linker.Option.firstVariadicArg(2));
    private static final MethodHandle OPEN =
            function(
                    "open",
                    FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT),
                    Linker.Option.firstVariadicArg(2));
    private static final MethodHandle CLOSE =
            function("close", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
    private static final MethodHandle PREAD =
            function(
                    "pread",
                    FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle READ =
            function("read", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG));
    private static final MethodHandle WRITE =
            function("write", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG));
    private static final MethodHandle POLL =
            function("poll", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT));
    private static final MethodHandle WAITPID =
            function("waitpid", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT));
    private static final MethodHandle FALLOCATE =
            function(
                    "fallocate",
                    FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle LSEEK =
            function("lseek", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_INT));
    private static final MethodHandle MMAP =
            function(
                    "mmap",
                    FunctionDescriptor.of(
                            JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT,
                            JAVA_LONG));
    private static final MethodHandle MUNMAP =
            function("munmap", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle MADVISE =
            function("madvise", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT));
    private static final MethodHandle SCHED_SETSCHEDULER =
            function(
                    "sched_setscheduler",
                    FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, ADDRESS));
    private static final MethodHandle SCHED_GETSCHEDULER =
            function("sched_getscheduler", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
    private static final MethodHandle SCHED_GETPARAM =
            function("sched_getparam", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS));
    private static final MethodHandle GETTID = function("gettid", FunctionDescriptor.of(JAVA_INT));
    private static final MethodHandle STRERROR =
            LINKER.downcallHandle(
                    LINKER.defaultLookup().findOrThrow("strerror"),
                    FunctionDescriptor.of(ADDRESS, JAVA_INT));

    private Syscalls() {}

    private static final class Scratch {
        private final MemorySegment state = Arena.ofAuto().allocate(STATE);
        private final MemorySegment words = Arena.ofAuto().allocate(16, 8);
    }

    /** Where the calling thread's calls leave their errno. */
    static MemorySegment errnoState() {
        return SCRATCH.get().state;
    }

    static MethodHandle function(
            String name, FunctionDescriptor prototype, Linker.Option... options) {
        Linker.Option[] all = new Linker.Option[options.length + 1];
        System.arraycopy(options, 0, all, 0, options.length);
        all[options.length] = Linker.Option.captureCallState("errno");
        return LINKER.downcallHandle(LINKER.defaultLookup().findOrThrow(name), prototype, all);
    }

    /** {@code sched_setscheduler}, for a policy without priorities. */
    static void schedule(int thread, Policy policy) {
        schedule(thread, policy.number, 0);
    }

    /**
     * {@code sched_setscheduler} to {@link Policy#ROUND_ROBIN}, which the threads that it makes do
     * not get.
     *
     * @param priority from 1; higher ones run first
     */
    static void scheduleRealtime(int thread, int priority) {
        schedule(thread, Policy.ROUND_ROBIN.number | RESET_ON_FORK, priority);
    }

    /** {@code sched_getscheduler} and {@code sched_getparam}. */
    static Scheduling scheduling(int thread) {
        Scratch scratch = SCRATCH.get();
        try {
            int policy = (int) SCHED_GETSCHEDULER.invokeExact(scratch.state, thread);
            if (policy == -1) {
                throw failure("sched_getscheduler", scratch.state);
            }
            if ((int) SCHED_GETPARAM.invokeExact(scratch.state, thread, scratch.words) == -1) {
                throw failure("sched_getparam", scratch.state);
            }
            return new Scheduling(
                    policy & ~RESET_ON_FORK,
                    scratch.words.get(JAVA_INT, 0),
                    (policy & RESET_ON_FORK) != 0);
        } catch (Throwable t) {
            throw unexpected(t);
        }
    }

    /** The calling platform thread's number at the kernel. */
    static int threadNumber() {
        try {
            return (int) GETTID.invokeExact(SCRATCH.get().state);
        } catch (Throwable t) {
            throw unexpected(t);
        }
    }

    private static void schedule(int thread, int policy, int priority) {
        Scratch scratch = SCRATCH.get();
        // struct sched_param: one int.
        scratch.words.set(JAVA_INT, 0, priority);
        try {
            int result =
                    (int)
                            SCHED_SETSCHEDULER.invokeExact(
                                    scratch.state, thread, policy, scratch.words);
            if (result == -1) {
                throw failure("sched_setscheduler", scratch.state);
            }
        } catch (Throwable t) {
            throw unexpected(t);
        }
    }

    /**
     * {@code ioctl} with a pointer.
     *
     * @param name what an error calls it, such as {@code UFFDIO_API}
     * @param argument a native segment of the size that the request encodes; the caller's duty
     */
    public static int ioctl(String name, int fd, long request, MemorySegment argument) {
        MemorySegment state = SCRATCH.get().state;
        try {
            int result = (int) IOCTL.invokeExact(state, fd, request, argument);
            if (result == -1) {
                throw failure("ioctl " + name, state);
            }
            return result;
        } catch (Throwable t) {
            throw unexpected(t);
        }
    }

    /** Opens a file; the caller closes the descriptor. */
    public static int open(Path path, int flags) {
        MemorySegment state = SCRATCH.get().state;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment name = arena.allocateFrom(path.toString());
            int fd = (int) OPEN.invokeExact(state, name, flags, 0);
            if (fd == -1) {
                throw failure("open " + path, state);
            }
            return fd;
        } catch (Throwable t) {
            throw unexpected(t);
        }
    }

    public static void close(int fd) {
        MemorySegment state = SCRATCH.get().state;
        try {
            if ((int) CLOSE.invokeExact(state, fd) == -1) {
                throw failure("close " + fd, state);
            }
        } catch (Throwable t) {
            throw unexpected(t);
        }
    }

    /**
     * Reads once at an offset.
     *
     * @return bytes read, 0 at the end; may be fewer than asked for
     */
    public static long pread(int fd, MemorySegment into, long bytes, long offset) {
        if (bytes < 0 || bytes > into.byteSize()) {
            throw new IllegalArgumentException(bytes + " bytes into " + into.byteSize());
        }
        MemorySegment state = SCRATCH.get().state;
        try {
            long count = (long) PREAD.invokeExact(state, fd, into, bytes, offset);
            if (count == -1) {
                throw failure("pread " + fd, state);
            }
            return count;
        } catch (Throwable t) {
            throw unexpected(t);
        }
    }

    /**
     * Writes a whole small native segment, as {@code /proc} files want it: in one piece.
     *
     * @return bytes written
     */
    public static long write(int fd, MemorySegment from) {
        MemorySegment state = SCRATCH.get().state;
        try {
            long count = (long) WRITE.invokeExact(state, fd, from, from.byteSize());
            if (count == -1) {
                throw failure("write " + fd, state);
            }
            return count;
        } catch (Throwable t) {
            throw unexpected(t);
        }
    }

    /** Whether a descriptor is readable now; for a pidfd: whether its process has ended. */
    public static boolean readable(int fd) {
        Scratch scratch = SCRATCH.get();
        scratch.words.set(JAVA_INT, 0, fd);
        scratch.words.set(JAVA_SHORT, 4, (short) POLLIN);
        scratch.words.set(JAVA_SHORT, 6, (short) 0);
        try {
            int ready = (int) POLL.invokeExact(scratch.state, scratch.words, 1L, 0);
            if (ready == -1) {
                throw failure("poll " + fd, scratch.state);
            }
            return ready > 0;
        } catch (Throwable t) {
            throw unexpected(t);
        }
    }

    /** Reads once; the caller knows that it does not block. Returns bytes read, 0 at the end. */
    public static long read(int fd, MemorySegment target) {
        MemorySegment state = SCRATCH.get().state;
        try {
            long read = (long) READ.invokeExact(state, fd, target, target.byteSize());
            if (read == -1) {
                throw failure("read " + fd, state);
            }
            return read;
        } catch (Throwable t) {
            throw unexpected(t);
        }
    }

    /** A descriptor for a process; it never names another process that got the number later. */
    public static int pidfdOpen(long pid) {
        return (int) syscall("pidfd_open", PIDFD_OPEN, pid, 0, 0, 0);
    }

    /** A duplicate, close-on-exec, of another process's descriptor. */
    public static int pidfdGetfd(int pidfd, long fdThere) {
        return (int) syscall("pidfd_getfd", PIDFD_GETFD, pidfd, fdThere, 0, 0);
    }

    /**
     * Gives the first {@code bytes} of a file its storage now, so that no later write through a
     * mapping can end in SIGBUS.
     */
    public static void fallocate(int fd, long bytes) {
        MemorySegment state = SCRATCH.get().state;
        try {
            if ((int) FALLOCATE.invokeExact(state, fd, 0, 0L, bytes) == -1) {
                throw failure("fallocate " + bytes + " bytes", state);
            }
        } catch (Throwable t) {
            throw unexpected(t);
        }
    }

    /** What {@link #seek} looks for. */
    public enum Seek {
        /** Something that was written. */
        DATA(3),
        /** Nothing: it reads as zeroes. */
        HOLE(4);

        private final int whence;

        Seek(int whence) {
            this.whence = whence;
        }
    }

    /**
     * Where the next of its kind begins, at or after {@code offset}; the file's end counts as a
     * hole.
     *
     * @return -1 where there is none
     */
    public static long seek(int fd, long offset, Seek what) {
        MemorySegment state = SCRATCH.get().state;
        try {
            long found = (long) LSEEK.invokeExact(state, fd, offset, what.whence);
            if (found == -1) {
                SystemCallException failure = failure("lseek to " + what, state);
                if (failure.errno() == ENXIO) {
                    return -1;
                }
                throw failure;
            }
            return found;
        } catch (Throwable t) {
            throw unexpected(t);
        }
    }

    /**
     * Makes a range of a file or block device read as zeroes and gives its storage back; the size
     * stays. Fails with EOPNOTSUPP where the file system cannot.
     */
    public static void punchHole(int fd, long offset, long bytes) {
        final int punchHoleKeepSize = 0x2 | 0x1;
        MemorySegment state = SCRATCH.get().state;
        try {
            if ((int) FALLOCATE.invokeExact(state, fd, punchHoleKeepSize, offset, bytes) == -1) {
                throw failure("fallocate: a hole of " + bytes + " bytes", state);
            }
        } catch (Throwable t) {
            throw unexpected(t);
        }
    }

    /**
     * Zeroed private memory outside the Java heap and outside the JVM's limit on direct memory, in
     * huge pages where the kernel has them. Freed when the arena closes.
     */
    public static MemorySegment anonymousMemory(long bytes, Arena arena) {
        final int readWrite = 3;
        final int privateAnonymousNoReserve = 0x2 | 0x20 | 0x4000;
        final int adviceHugePage = 14;
        MemorySegment state = SCRATCH.get().state;
        try {
            long address =
                    (long)
                            MMAP.invokeExact(
                                    state, 0L, bytes, readWrite, privateAnonymousNoReserve, -1, 0L);
            if (address == -1) {
                throw failure("mmap " + bytes + " bytes", state);
            }
            // Only advice: a kernel without huge pages refuses it, and the memory is as good.
            int _ = (int) MADVISE.invokeExact(state, address, bytes, adviceHugePage);
            // SAFETY: the kernel just gave us exactly [address, address + bytes); nobody else knows
            // it, and the arena's close
            // is the only thing that unmaps it, after which the segment is dead.
            return MemorySegment.ofAddress(address)
                    .reinterpret(bytes, arena, gone -> unmap(gone.address(), bytes));
        } catch (Throwable t) {
            throw unexpected(t);
        }
    }

    private static void unmap(long address, long bytes) {
        MemorySegment state = SCRATCH.get().state;
        try {
            if ((int) MUNMAP.invokeExact(state, address, bytes) == -1) {
                throw failure("munmap", state);
            }
        } catch (Throwable t) {
            throw unexpected(t);
        }
    }

    /**
     * Links what is used while another process stands still: a first call through a method handle
     * takes milliseconds, and a daemon's first one ever some hundred. Harmless, and cheap when
     * repeated.
     */
    public static void prepare() {
        long own = ProcessHandle.current().pid();
        close(pidfdOpen(own));
        try {
            waitStatus(own);
        } catch (SystemCallException e) {
            // Nobody is their own child: this is the expected end.
            if (e.errno() != Errno.ECHILD) {
                throw e;
            }
        }
    }

    /** {@code ptrace} with a plain number as data. */
    static void ptrace(String name, int request, long tid, long address, long data) {
        syscall("ptrace " + name, X86_64.PTRACE, request, tid, address, data);
    }

    /**
     * Asks, without blocking, whether a traced thread changed its state.
     *
     * @return its wait status, or -1 when there is none yet
     */
    static int waitStatus(long tid) {
        final int allThreadsWithoutBlocking = 0x40000000 | 1; // __WALL | WNOHANG
        Scratch scratch = SCRATCH.get();
        try {
            int result =
                    (int)
                            WAITPID.invokeExact(
                                    scratch.state,
                                    (int) tid,
                                    scratch.words,
                                    allThreadsWithoutBlocking);
            if (result == -1) {
                throw failure("waitpid " + tid, scratch.state);
            }
            return result == 0 ? -1 : scratch.words.get(JAVA_INT, 0);
        } catch (Throwable t) {
            throw unexpected(t);
        }
    }

    private static long syscall(String name, long number, long a, long b, long c, long d) {
        MemorySegment state = SCRATCH.get().state;
        try {
            long result = (long) SYSCALL.invokeExact(state, number, a, b, c, d);
            if (result == -1) {
                throw failure(name, state);
            }
            return result;
        } catch (Throwable t) {
            throw unexpected(t);
        }
    }

    static SystemCallException failure(String call, MemorySegment state) {
        int errno = (int) ERRNO.get(state, 0L);
        return new SystemCallException(call, errno, errorText(errno));
    }

    static String errorText(int errno) {
        try {
            MemorySegment text = (MemorySegment) STRERROR.invokeExact(errno);
            // SAFETY: strerror returns a NUL-terminated string of the C library, far shorter than
            // this bound, valid until the
            // same thread calls strerror again; it is copied at once.
            return text.reinterpret(1024).getString(0);
        } catch (Throwable t) {
            throw unexpected(t);
        }
    }

    /**
     * A method handle declares Throwable; a downcall itself throws nothing but what is unchecked.
     */
    static RuntimeException unexpected(Throwable t) {
        if (t instanceof Error error) {
            throw error;
        }
        return t instanceof RuntimeException e
                ? e
                : new IllegalStateException("a foreign function call threw", t);
    }
}
