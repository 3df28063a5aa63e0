package holdfast.qemu.memory;

import holdfast.engine.HypervisorException;
import holdfast.engine.memory.PfnSet;
import holdfast.engine.port.DirtyTracker;
import holdfast.qemu.linux.FrozenProcess;
import holdfast.qemu.linux.SoftDirtyBits;
import holdfast.qemu.linux.Syscalls;
import holdfast.qemu.linux.SystemCallException;

import java.io.EOFException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/**
 * Reads the soft-dirty bits of QEMU's page tables, then clears them all.
 *
 * <p>Reading and clearing are two steps, and a write between them would be lost. So while the guest
 * runs, all threads of QEMU are stopped for the time of a collect; while it is suspended, there is
 * nothing to stop.
 *
 * <p>The kernel drops a bit without a word where it drops the page table entry: when a page is
 * swapped out, or when it gathers pages into a huge one. {@link #open} therefore refuses a file on
 * a mount with huge pages, and a collect that finds swap space in use reports all pages. The first
 * collect reports what was written since {@code open} cleared the bits; pages of a mapping that the
 * kernel counts as new are reported too.
 */
public final class SoftDirtyTracker implements DirtyTracker {
    private final long pid;
    private final long pages;
    private final List<RamMapping> mappings;
    private final GuestActivity activity;
    private final Duration limit;
    private final int pidfd;
    private final SoftDirtyBits bits;

    // The visitor is one object made once; these are its arguments for the collect under way.
    private final SoftDirtyBits.Visitor visitor = this::found;
    private PfnSet into;
    private RamMapping current;

    private SoftDirtyTracker(
            long pid,
            long pages,
            List<RamMapping> mappings,
            GuestActivity activity,
            Duration limit,
            int pidfd,
            SoftDirtyBits bits) {
        this.pid = pid;
        this.pages = pages;
        this.mappings = mappings;
        this.activity = activity;
        this.limit = limit;
        this.pidfd = pidfd;
        this.bits = bits;
    }

    /**
     * Begins tracking.
     *
     * @param pid a QEMU that maps {@code memory}; not a child of this JVM
     * @param limit for QEMU to stop in, at each collect of a running guest
     * @throws HypervisorException with what is missing; QEMU runs on unharmed
     */
    public static SoftDirtyTracker open(
            long pid, MappedMemory memory, GuestActivity activity, Duration limit) {
        Resources opened = new Resources();
        try {
            if (!SoftDirtyBits.kept()) {
                throw refused(
                        "kernel %s is built without CONFIG_MEM_SOFT_DIRTY"
                                .formatted(System.getProperty("os.version")),
                        null);
            }
            String mount = Files.getFileStore(memory.path()).type();
            refuseHugePages(memory.path(), mount);
            if (swapInUse()) {
                throw refused(
                        "swap space is on (/proc/swaps), and a page swapped out loses its bit; try:"
                                + " swapoff -a",
                        null);
            }
            List<RamMapping> mappings = RamMapping.find(pid, memory);
            int pidfd = Syscalls.pidfdOpen(pid);
            opened.add(() -> Syscalls.close(pidfd));
            SoftDirtyBits bits = opened.add(SoftDirtyBits.open(pid));
            // Shows now, and not in the first epoch, whether QEMU can be stopped.
            FrozenProcess.during(pid, limit, bits::clear);
            return new SoftDirtyTracker(
                    pid, memory.pages(), mappings, activity, limit, pidfd, bits);
        } catch (SystemCallException | IOException e) {
            opened.closeAfter(e);
            throw refused("process " + pid + ": " + e.getMessage(), e);
        } catch (RuntimeException | Error e) {
            opened.closeAfter(e);
            throw e;
        }
    }

    private static HypervisorException refused(String why, Throwable cause) {
        return new HypervisorException("open soft-dirty tracker", why, cause);
    }

    private static void refuseHugePages(Path path, String fileSystem) throws IOException {
        Path enabled = Path.of("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
        boolean forced = Files.exists(enabled) && Files.readString(enabled).contains("[force]");
        // Mount options of every memory file system: a mount with huge pages anywhere is reason
        // enough for caution.
        boolean mounted =
                Files.readAllLines(Path.of("/proc/self/mounts")).stream()
                        .map(line -> line.split(" "))
                        .filter(fields -> path.startsWith(fields[1]) && !fields[1].equals("/"))
                        .anyMatch(
                                fields ->
                                        fields[3].contains("huge=")
                                                && !fields[3].contains("huge=never"));
        if (forced || mounted || fileSystem.equals("hugetlbfs")) {
            throw refused(
                    "%s lies on %s with huge pages, where the bit gets lost; mount it with huge=never"
                            .formatted(path, fileSystem),
                    null);
        }
    }

    private static boolean swapInUse() throws IOException {
        Path swaps = Path.of("/proc/swaps");
        // One line of heading, then one a swap space; no file: a kernel without swapping.
        return Files.exists(swaps) && Files.readAllLines(swaps).size() > 1;
    }

    @Override
    public String kind() {
        return TrackerKind.SOFT_DIRTY.label();
    }

    /**
     * {@inheritDoc}
     *
     * @throws HypervisorException if the process has ended or could not be stopped; {@code into}
     *     may then hold a part, and whoever catches this treats every page as dirty
     */
    @Override
    public void collect(PfnSet into) {
        if (into.endPfn() != pages) {
            throw new IllegalArgumentException(
                    "a set for " + into.endPfn() + " pages, memory has " + pages);
        }
        this.into = into;
        try {
            switch (activity.now()) {
                case RUNNING -> FrozenProcess.during(pid, limit, this::readAndClear);
                case SUSPENDED -> readAndClear();
            }
            if (Syscalls.readable(pidfd)) {
                throw new HypervisorException(
                        "read soft-dirty bits", "process " + pid + " has ended");
            }
            if (swapInUse()) {
                into.fill();
            }
        } catch (SystemCallException | IOException e) {
            throw failed(e);
        } finally {
            this.into = null;
            current = null;
        }
    }

    private void readAndClear() {
        try {
            for (RamMapping mapping : mappings) {
                current = mapping;
                bits.written(mapping.start(), mapping.end(), visitor);
            }
            bits.clear();
        } catch (EOFException e) {
            throw failed(e);
        }
    }

    private HypervisorException failed(Exception cause) {
        return new HypervisorException(
                "read soft-dirty bits", "process " + pid + ": " + cause.getMessage(), cause);
    }

    private void found(long start, long end) {
        into.addRun(current.pfn(start), current.pfn(end));
    }

    @Override
    public void close() {
        Resources opened = new Resources();
        opened.add(() -> Syscalls.close(pidfd));
        opened.add(bits);
        opened.close();
    }
}
