package holdfast.qemu.linux;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import holdfast.engine.HypervisorException;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;

/**
 * A userfaultfd that watches the memory of <em>another</em> process in asynchronous write-protect
 * mode: the kernel itself notes the first write to each protected page, nobody is ever called.
 *
 * <p>A userfaultfd belongs to the address space that creates it, so the other process must create
 * it: one of its threads is stopped, made to perform {@code userfaultfd(2)}, we duplicate the
 * descriptor, it closes its own, its registers are put back. That happens once and takes about a
 * tenth of a millisecond.
 *
 * <p>What can go wrong on the way leaves the process as it was: each step is undone in reverse
 * order, a call it was waiting in is restarted by the kernel, and if our thread or our whole
 * process ends (even by SIGKILL), the kernel lets the process go. One window remains: SIGKILL to us
 * in the tens of microseconds in which a planted call is being stepped would leave that thread with
 * foreign registers. When the last descriptor closes, for whatever reason, the registration and all
 * marks vanish and the process runs on.
 *
 * @spec https://docs.kernel.org/admin-guide/mm/userfaultfd.html Userfaultfd, write protect
 *     notifications
 */
public final class Userfaultfd implements AutoCloseable {
    private static final long UFFDIO_API = 0xC018AA3FL;
    private static final long UFFDIO_REGISTER = 0xC020AA00L;
    private static final long UFFDIO_WRITEPROTECT = 0xC018AA06L;
    private static final long API_VERSION = 0xAA;
    private static final long FEATURES = 1L << 15 | 1L << 13 | 1L << 12;
    private static final long REGISTER_MODE_WP = 2;
    private static final long WRITEPROTECT_MODE_WP = 1;

    /**
     * O_CLOEXEC, O_NONBLOCK and UFFD_USER_MODE_ONLY. The last keeps an unprivileged process from
     * stalling the kernel on a fault that somebody must answer; asynchronous mode answers none, so
     * it costs nothing, tracks the kernel's own writes as well, and spares the process the
     * privilege.
     */
    private static final long FLAGS = 0x80000 | 0x800 | 1;

    /**
     * The kernel lets a mapping change meanwhile and asks for another try; this many are far more
     * than one change takes.
     */
    private static final int TRIES_MAX = 10_000;

    private final long pid;
    private final int fd;
    private final Duration stopped;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment argument = arena.allocate(32, 8);

    private Userfaultfd(long pid, int fd, Duration stopped) {
        this.pid = pid;
        this.fd = fd;
        this.stopped = stopped;
    }

    /**
     * Plants a userfaultfd in a running process.
     *
     * @param pid a process that is not a child of this JVM (the JDK reaps its children and would
     *     take the ptrace stop)
     * @param limit for the process to stop in; it stands still only for the time it takes, usually
     *     below 0.5 ms
     * @throws HypervisorException if the process cannot be traced or lacks what is needed; it runs
     *     on unchanged
     */
    public static Userfaultfd plant(long pid, Duration limit) {
        if (!X86_64.here()) {
            throw new HypervisorException(
                    "plant userfaultfd",
                    "implemented for x86-64 only, this is " + System.getProperty("os.arch"));
        }
        refuseChild(pid);
        Syscalls.prepare();
        Userfaultfd planted = TracerThread.run(pid, limit, () -> plantHere(pid, limit));
        try {
            planted.negotiate();
            return planted;
        } catch (RuntimeException | Error e) {
            planted.closeAfter(e);
            throw e;
        }
    }

    private static void refuseChild(long pid) {
        try {
            if (ProcessStatus.read(pid).parentPid() == ProcessHandle.current().pid()) {
                throw new HypervisorException(
                        "plant userfaultfd",
                        "process %d is a direct child of this JVM, whose reaper would steal its stop; start QEMU with -daemonize"
                                .formatted(pid));
            }
        } catch (IOException e) {
            throw new HypervisorException(
                    "plant userfaultfd",
                    "process " + pid + " does not exist or hides its status: " + e.getMessage(),
                    e);
        }
    }

    private static Userfaultfd plantHere(long pid, Duration limit) throws IOException {
        long instruction = findSyscallInstruction(pid);
        int pidfd = Syscalls.pidfdOpen(pid);
        try {
            int fd;
            long began;
            try (TracedThread thread = TracedThread.seize(pid)) {
                began = System.nanoTime();
                long deadlineNanos = began + limit.toNanos();
                thread.interrupt();
                thread.awaitInterrupted(deadlineNanos);
                thread.borrow();
                fd = createAndTake(pid, pidfd, thread, instruction, deadlineNanos);
            }
            return new Userfaultfd(pid, fd, Duration.ofNanos(System.nanoTime() - began));
        } finally {
            Syscalls.close(pidfd);
        }
    }

    private static int createAndTake(
            long pid, int pidfd, TracedThread thread, long instruction, long deadlineNanos) {
        long there =
                thread.call(
                        "userfaultfd", instruction, X86_64.USERFAULTFD, FLAGS, 0, deadlineNanos);
        if (there < 0) {
            throw new HypervisorException("plant userfaultfd", whyNot(pid, (int) -there));
        }
        int here = -1;
        try {
            here = Syscalls.pidfdGetfd(pidfd, there);
        } finally {
            // Whatever happened: the process keeps no descriptor of ours.
            long closed = thread.call("close", instruction, X86_64.CLOSE, there, 0, deadlineNanos);
            if (closed < 0 && here >= 0) {
                Syscalls.close(here);
                throw new HypervisorException(
                        "plant userfaultfd",
                        "process %d could not close descriptor %d: %s"
                                .formatted(pid, there, Syscalls.errorText((int) -closed)));
            }
        }
        return here;
    }

    private static String whyNot(long pid, int errno) {
        String text =
                "process %d cannot create a userfaultfd: %s"
                        .formatted(pid, Syscalls.errorText(errno));
        return switch (errno) {
            case Errno.ENOSYS -> text + "; the kernel is built without CONFIG_USERFAULTFD";
            case Errno.EPERM ->
                    text
                            + "; a seccomp filter or a security module forbids it (container"
                            + " profile?)";
            default -> text;
        };
    }

    /**
     * Where the process could perform a system call: the vDSO, which the kernel maps into every
     * process, falls back to real calls. Only that one instruction is ever executed, so it does not
     * matter what stands around it.
     */
    private static long findSyscallInstruction(long pid) throws IOException {
        for (ProcessMaps.Mapping mapping : ProcessMaps.read(pid)) {
            if (mapping.name().equals("[vdso]")) {
                byte[] code = new byte[Math.toIntExact(Math.min(mapping.bytes(), 1 << 20))];
                try (RandomAccessFile memory = new RandomAccessFile("/proc/" + pid + "/mem", "r")) {
                    memory.seek(mapping.start());
                    memory.readFully(code);
                }
                for (int i = 0; i + 1 < code.length; i++) {
                    if (code[i] == X86_64.SYSCALL_INSTRUCTION[0]
                            && code[i + 1] == X86_64.SYSCALL_INSTRUCTION[1]) {
                        return mapping.start() + i;
                    }
                }
            }
        }
        throw new HypervisorException(
                "plant userfaultfd",
                "process "
                        + pid
                        + " has no vDSO with a syscall instruction (kernel started with vdso=0?)");
    }

    private void negotiate() {
        argument.fill((byte) 0);
        argument.set(JAVA_LONG, 0, API_VERSION);
        argument.set(JAVA_LONG, 8, FEATURES);
        try {
            Syscalls.ioctl("UFFDIO_API", fd, UFFDIO_API, argument);
        } catch (SystemCallException e) {
            throw new HypervisorException(
                    "plant userfaultfd",
                    "kernel %s lacks asynchronous write protection of shared memory (needs 6.7 and CONFIG_PTE_MARKER_UFFD_WP)"
                            .formatted(System.getProperty("os.version")),
                    e);
        }
    }

    /** How long the process was stopped for the planting. */
    public Duration stopped() {
        return stopped;
    }

    /**
     * Puts addresses {@code [start, start + bytes)} of the process under watch; nothing is
     * protected yet.
     */
    public void register(long start, long bytes) {
        argument.fill((byte) 0);
        argument.set(JAVA_LONG, 0, start);
        argument.set(JAVA_LONG, 8, bytes);
        argument.set(JAVA_LONG, 16, REGISTER_MODE_WP);
        try {
            Syscalls.ioctl("UFFDIO_REGISTER", fd, UFFDIO_REGISTER, argument);
        } catch (SystemCallException e) {
            throw new HypervisorException(
                    "UFFDIO_REGISTER",
                    "memory 0x%x..0x%x of process %d: ".formatted(start, start + bytes, pid)
                            + (e.errno() == Errno.EBUSY
                                    ? "another userfaultfd watches it already (a second tracker, or"
                                            + " QEMU's own post-copy or background snapshot); end"
                                            + " that first"
                                    : e.getMessage()),
                    e);
        }
    }

    /**
     * Protects addresses {@code [start, start + bytes)}: forgets their writes. A write that comes
     * after this call returned is noted.
     */
    public void protect(long start, long bytes) {
        argument.set(JAVA_LONG, 0, start);
        argument.set(JAVA_LONG, 8, bytes);
        argument.set(JAVA_LONG, 16, WRITEPROTECT_MODE_WP);
        for (int i = 1; ; i++) {
            try {
                Syscalls.ioctl("UFFDIO_WRITEPROTECT", fd, UFFDIO_WRITEPROTECT, argument);
                return;
            } catch (SystemCallException e) {
                if (e.errno() != Errno.EAGAIN || i == TRIES_MAX) {
                    throw new HypervisorException(
                            "UFFDIO_WRITEPROTECT",
                            "memory 0x%x..0x%x of process %d: %s"
                                    .formatted(start, start + bytes, pid, e.getMessage()),
                            e);
                }
                Thread.onSpinWait();
            }
        }
    }

    private void closeAfter(Throwable failure) {
        try {
            close();
        } catch (RuntimeException e) {
            failure.addSuppressed(e);
        }
    }

    /** Ends the watch: the kernel drops every registration and every mark. */
    @Override
    public void close() {
        try {
            Syscalls.close(fd);
        } finally {
            arena.close();
        }
    }
}
