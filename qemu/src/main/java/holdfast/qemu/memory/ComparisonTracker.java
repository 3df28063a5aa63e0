package holdfast.qemu.memory;

import holdfast.engine.HypervisorException;
import holdfast.engine.memory.PfnSet;
import holdfast.engine.port.DirtyTracker;
import holdfast.engine.port.GuestMemory;
import holdfast.qemu.linux.Syscalls;
import holdfast.qemu.linux.SystemCallException;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Compares all of memory with a copy of it. Needs no right and no kernel feature, but as much
 * memory again, and the time to read both. Sees every write that changed something, whoever made
 * it.
 *
 * <p>A page whose content differs from the copy is reported, and the copy is brought up to date
 * before the page's reader sees it. While the guest is suspended that is exact. While it runs, the
 * reader may see a later content C than the copy B; if the guest then writes B back (a lock word
 * does that all the time), no comparison can tell that the reader holds C. So every page that a
 * reader may have taken from a running guest stays <em>suspect</em>, and the first collect of the
 * suspended guest reports all suspects. Before the first collect every page is suspect: its reader
 * may have taken it any time since {@link #open}. In short: rounds of a running guest report the
 * pages that differ; the first collect of the suspended guest after {@code open} reports all of
 * memory, the first one after a running stretch all that the stretch reported, every other one the
 * pages that differ.
 */
public final class ComparisonTracker implements DirtyTracker {
    private static final int PAGE = GuestMemory.PAGE_BYTES;

    /**
     * What is compared with one call: so much takes a tenth of a millisecond, and a garbage
     * collection of this JVM waits no longer for it.
     */
    private static final long CHUNK_BYTES = 1 << 20;

    private final long pid;
    private final MemorySegment live;
    private final long pages;
    private final GuestActivity activity;
    private final int pidfd;
    private final Arena arena;
    private final MemorySegment copy;
    private final PfnSet suspects;

    private ComparisonTracker(
            long pid,
            MappedMemory memory,
            GuestActivity activity,
            int pidfd,
            Arena arena,
            MemorySegment copy) {
        this.pid = pid;
        this.live = memory.bytes();
        this.pages = memory.pages();
        this.activity = activity;
        this.pidfd = pidfd;
        this.arena = arena;
        this.copy = copy;
        this.suspects = new PfnSet(pages);
        suspects.fill();
    }

    /**
     * Copies all of memory and begins tracking.
     *
     * @param activity asked once at the beginning of each collect; an activity that never says
     *     {@code SUSPENDED} leaves the suspects unreported for ever
     */
    public static ComparisonTracker open(long pid, MappedMemory memory, GuestActivity activity) {
        Resources opened = new Resources();
        try {
            RamMapping.find(pid, memory);
            refuseLackOfMemory(memory.bytes().byteSize());
            int pidfd = Syscalls.pidfdOpen(pid);
            opened.add(() -> Syscalls.close(pidfd));
            Arena arena = opened.add(Arena.ofShared());
            MemorySegment copy = Syscalls.anonymousMemory(memory.bytes().byteSize(), arena);
            copy.copyFrom(memory.bytes());
            return new ComparisonTracker(pid, memory, activity, pidfd, arena, copy);
        } catch (SystemCallException | IOException e) {
            opened.closeAfter(e);
            throw new HypervisorException(
                    "open compare tracker", "process " + pid + ": " + e.getMessage(), e);
        } catch (RuntimeException | Error e) {
            opened.closeAfter(e);
            throw e;
        }
    }

    private static void refuseLackOfMemory(long bytes) throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/meminfo"))) {
            if (line.startsWith("MemAvailable:")) {
                long available = Long.parseLong(line.replaceAll("\\D", "")) << 10;
                if (available < bytes) {
                    throw new HypervisorException(
                            "open compare tracker",
                            "needs a copy of %d MiB, %d MiB of memory are available; free some, or grant the right to trace QEMU"
                                            .formatted(bytes >> 20, available >> 20)
                                    + " for a tracker without a copy");
                }
            }
        }
    }

    @Override
    public String kind() {
        return TrackerKind.COMPARE.label();
    }

    /**
     * {@inheritDoc}
     *
     * @throws HypervisorException if the process has ended; {@code into} holds what it wrote until
     *     then
     */
    @Override
    public void collect(PfnSet into) {
        if (into.endPfn() != pages) {
            throw new IllegalArgumentException(
                    "a set for " + into.endPfn() + " pages, memory has " + pages);
        }
        switch (activity.now()) {
            case RUNNING -> {
                compare(into);
                suspects.addAll(into);
            }
            case SUSPENDED -> {
                compare(into);
                into.addAll(suspects);
                suspects.clear();
            }
        }
        if (Syscalls.readable(pidfd)) {
            throw new HypervisorException("compare memory", "process " + pid + " has ended");
        }
    }

    private void compare(PfnSet into) {
        long end = live.byteSize();
        for (long at = 0; at < end; ) {
            long chunkEnd = Math.min(end, at + CHUNK_BYTES);
            long difference = MemorySegment.mismatch(live, at, chunkEnd, copy, at, chunkEnd);
            if (difference < 0) {
                at = chunkEnd;
                continue;
            }
            long pfn = (at + difference) / PAGE;
            into.add(pfn);
            // If the guest writes during this copy, whatever mixture it holds, the page stands in
            // the set, and any later content
            // is compared with this mixture.
            MemorySegment.copy(live, pfn * PAGE, copy, pfn * PAGE, PAGE);
            at = (pfn + 1) * PAGE;
        }
    }

    @Override
    public void close() {
        Resources opened = new Resources();
        opened.add(() -> Syscalls.close(pidfd));
        opened.add(arena);
        opened.close();
    }
}
