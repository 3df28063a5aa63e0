package holdfast.qemu.memory;

import holdfast.engine.HypervisorException;
import holdfast.engine.memory.PfnSet;
import holdfast.engine.port.DirtyTracker;
import holdfast.qemu.linux.Errno;
import holdfast.qemu.linux.PagemapScan;
import holdfast.qemu.linux.ProcessStatus;
import holdfast.qemu.linux.Syscalls;
import holdfast.qemu.linux.SystemCallException;
import holdfast.qemu.linux.Userfaultfd;

import java.io.IOException;
import java.time.Duration;
import java.util.List;

/**
 * Asks the kernel which pages QEMU wrote: a userfaultfd planted in QEMU keeps its RAM
 * write-protected, the kernel lifts the protection of a page at its first write and lets the guest
 * go on, and a scan of the page tables finds the lifted ones.
 *
 * <p>{@link #open} protects all of memory before it returns, pages that do not exist yet included.
 * So the first {@link #collect} reports exactly the pages written since {@code open} began to
 * protect; a page written while it did may be reported although it was written before {@code open}
 * returned. Later collects report exactly what was written since. Where the kernel uses huge pages,
 * a neighbourhood is reported for one write.
 */
public final class WriteProtectTracker implements DirtyTracker {
    /** How a collect begins anew. */
    enum Strategy {
        /**
         * One pass reports and protects, each page in one step under the lock of its page table.
         */
        PROTECT_WHILE_SCANNING,

        /**
         * A pass that only looks, then protection for the regions it found. For KVM: to protect,
         * the kernel must invalidate the guest's second-level page tables, and in one pass it does
         * so for the whole range scanned, not only for the pages found.
         *
         * <p>Nothing is lost while the guest runs. A page written before the look is reported. A
         * page written only after the look passed it is in no region found, so its mark stays for
         * the next collect. A page found and written again before its protection loses that second
         * mark, but it <em>is</em> reported, and its content is read after this collect returned,
         * hence after that write: protection takes effect (translation caches flushed) before the
         * call returns. A write after the protection is marked anew. Protecting first and looking
         * then would be wrong: it clears the marks unread.
         */
        PROTECT_AFTER_SCANNING
    }

    /**
     * The kernel holds the address space's lock for one protection call: this many bytes take some
     * milliseconds at most.
     */
    private static final long PROTECT_BYTES = 1L << 30;

    private final long pid;
    private final long pages;
    private final Strategy strategy;
    private final List<RamMapping> mappings;
    private final int pidfd;
    private final Userfaultfd userfaultfd;
    private final PagemapScan scan;

    // The region visitor is one object made once; these are its arguments for the collect under
    // way.
    private final PagemapScan.Visitor visitor = this::found;
    private PfnSet into;
    private RamMapping current;

    private WriteProtectTracker(
            long pid,
            long pages,
            Strategy strategy,
            List<RamMapping> mappings,
            int pidfd,
            Userfaultfd userfaultfd,
            PagemapScan scan) {
        this.pid = pid;
        this.pages = pages;
        this.strategy = strategy;
        this.mappings = mappings;
        this.pidfd = pidfd;
        this.userfaultfd = userfaultfd;
        this.scan = scan;
    }

    /**
     * Begins tracking.
     *
     * @param pid a QEMU that maps {@code memory}; not a child of this JVM
     * @param limit for QEMU to stop in, once; it stands still well below a millisecond
     * @throws HypervisorException with what is missing; QEMU runs on unharmed
     */
    public static WriteProtectTracker open(long pid, MappedMemory memory, Duration limit) {
        Strategy strategy;
        try {
            strategy =
                    ProcessStatus.usesKvm(pid)
                            ? Strategy.PROTECT_AFTER_SCANNING
                            : Strategy.PROTECT_WHILE_SCANNING;
        } catch (IOException e) {
            throw new HypervisorException(
                    "open write-protect tracker",
                    "process %d is gone or hides its descriptors (run as its user or as root): %s"
                            .formatted(pid, e),
                    e);
        }
        return open(pid, memory, limit, strategy, PagemapScan.REGIONS);
    }

    static WriteProtectTracker open(
            long pid, MappedMemory memory, Duration limit, Strategy strategy, int regions) {
        Resources opened = new Resources();
        try {
            if (!PagemapScan.known()) {
                throw new HypervisorException(
                        "open write-protect tracker",
                        "kernel %s lacks PAGEMAP_SCAN (needs 6.7)"
                                .formatted(System.getProperty("os.version")));
            }
            List<RamMapping> mappings = RamMapping.find(pid, memory);
            int pidfd = Syscalls.pidfdOpen(pid);
            opened.add(() -> Syscalls.close(pidfd));
            Userfaultfd userfaultfd = opened.add(Userfaultfd.plant(pid, limit));
            PagemapScan scan = opened.add(PagemapScan.open(pid, regions));
            for (RamMapping mapping : mappings) {
                userfaultfd.register(mapping.start(), mapping.bytes());
            }
            for (RamMapping mapping : mappings) {
                for (long at = mapping.start(); at < mapping.end(); at += PROTECT_BYTES) {
                    userfaultfd.protect(at, Math.min(PROTECT_BYTES, mapping.end() - at));
                }
            }
            return new WriteProtectTracker(
                    pid, memory.pages(), strategy, mappings, pidfd, userfaultfd, scan);
        } catch (SystemCallException e) {
            opened.closeAfter(e);
            throw new HypervisorException(
                    "open write-protect tracker", "process " + pid + ": " + e.getMessage(), e);
        } catch (RuntimeException | Error e) {
            opened.closeAfter(e);
            throw e;
        }
    }

    @Override
    public String kind() {
        return TrackerKind.WRITE_PROTECT.label();
    }

    /** How long QEMU stood still when the tracker was opened. */
    public Duration stopped() {
        return userfaultfd.stopped();
    }

    Strategy strategy() {
        return strategy;
    }

    /**
     * {@inheritDoc}
     *
     * @throws HypervisorException if the process has ended or its memory is watched no more; {@code
     *     into} may then hold a part, and what was taken is lost with it: whoever catches this
     *     treats every page as dirty
     */
    @Override
    public void collect(PfnSet into) {
        if (into.endPfn() != pages) {
            throw new IllegalArgumentException(
                    "a set for " + into.endPfn() + " pages, memory has " + pages);
        }
        PagemapScan.Effect effect =
                strategy == Strategy.PROTECT_WHILE_SCANNING
                        ? PagemapScan.Effect.PROTECT
                        : PagemapScan.Effect.NONE;
        this.into = into;
        try {
            for (RamMapping mapping : mappings) {
                current = mapping;
                scan.written(mapping.start(), mapping.end(), effect, visitor);
            }
            // A process that dies meanwhile has no pages, and a scan of none can succeed: it must
            // not pass for "nothing
            // written".
            if (Syscalls.readable(pidfd)) {
                throw new HypervisorException("PAGEMAP_SCAN", "process " + pid + " has ended");
            }
        } catch (SystemCallException e) {
            if (e.errno() == Errno.ESRCH) {
                throw new HypervisorException("PAGEMAP_SCAN", "process " + pid + " has ended", e);
            }
            throw new HypervisorException(
                    "PAGEMAP_SCAN",
                    "memory of process %d: %s; did QEMU map its RAM anew?"
                            .formatted(pid, e.getMessage()),
                    e);
        } finally {
            this.into = null;
            current = null;
        }
    }

    private void found(long start, long end) {
        into.addRun(current.pfn(start), current.pfn(end));
        if (strategy == Strategy.PROTECT_AFTER_SCANNING) {
            userfaultfd.protect(start, end - start);
        }
    }

    @Override
    public void close() {
        Resources opened = new Resources();
        opened.add(() -> Syscalls.close(pidfd));
        opened.add(userfaultfd);
        opened.add(scan);
        opened.close();
    }
}
