package holdfast.qemu.linux;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;

/**
 * The {@code PAGEMAP_SCAN} request: which pages of a process were written. One thread at a time;
 * nothing is allocated while scanning.
 *
 * @spec https://docs.kernel.org/admin-guide/mm/pagemap.html Pagemap Scan IOCTL
 */
public final class PagemapScan implements AutoCloseable {
    /** Receives half-open address ranges, ascending. */
    @FunctionalInterface
    public interface Visitor {
        void range(long start, long end);
    }

    /** What a scan does to the pages it reports. */
    public enum Effect {
        /**
         * Protects each page in the same moment as it reports it. Fails where the range is not
         * registered.
         */
        PROTECT,
        /** Only looks. Fails where the range is not registered. */
        NONE
    }

    /**
     * Regions a scan can return at once, unless told otherwise: 1.5 MiB, enough for most epochs.
     */
    public static final int REGIONS = 65_536;

    private static final long PAGEMAP_SCAN = 0xC0606610L;
    private static final long ARGUMENT_BYTES = 96;
    private static final long REGION_BYTES = 24;
    private static final long FLAG_PROTECT_MATCHING = 1;

    /** Without it, a range that is not registered would silently have no written pages. */
    private static final long FLAG_REQUIRE_ASYNC = 2;

    private static final long WRITTEN = 2;

    private final int pagemap;
    private final int regions;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment vector;
    private final MemorySegment argument = arena.allocate(ARGUMENT_BYTES, 8);

    private PagemapScan(int pagemap, int regions) {
        this.pagemap = pagemap;
        this.regions = regions;
        this.vector = arena.allocate(regions * REGION_BYTES, 8);
    }

    /** Whether the kernel knows the request (Linux 6.7). */
    public static boolean known() {
        try (PagemapScan own = open(ProcessHandle.current().pid(), 1)) {
            own.request(0, 0, Effect.NONE);
            return true;
        } catch (SystemCallException e) {
            if (e.errno() == Errno.ENOTTY) {
                return false;
            }
            throw e;
        }
    }

    /**
     * @param regions how many the kernel may return at once
     */
    public static PagemapScan open(long pid, int regions) {
        return new PagemapScan(
                Syscalls.open(Path.of("/proc/" + pid + "/pagemap"), Syscalls.O_CLOEXEC), regions);
    }

    /** Visits what was written in addresses {@code [start, end)} since it was last protected. */
    public void written(long start, long end, Effect effect, Visitor visitor) {
        long at = start;
        while (at < end) {
            int count = request(at, end, effect);
            for (int i = 0; i < count; i++) {
                visitor.range(
                        vector.get(JAVA_LONG, i * REGION_BYTES),
                        vector.get(JAVA_LONG, i * REGION_BYTES + 8));
            }
            if (count < regions) {
                return;
            }
            // The vector is full: more may follow. All before the end of the last region was
            // reported; the field walk_end would
            // say the same or less (it is stale when the last region just fitted).
            at = vector.get(JAVA_LONG, (count - 1) * REGION_BYTES + 8);
        }
    }

    private int request(long start, long end, Effect effect) {
        argument.fill((byte) 0);
        argument.set(JAVA_LONG, 0, ARGUMENT_BYTES);
        argument.set(
                JAVA_LONG,
                8,
                effect == Effect.PROTECT
                        ? FLAG_PROTECT_MATCHING | FLAG_REQUIRE_ASYNC
                        : FLAG_REQUIRE_ASYNC);
        argument.set(JAVA_LONG, 16, start);
        argument.set(JAVA_LONG, 24, end);
        argument.set(JAVA_LONG, 40, vector.address());
        argument.set(JAVA_LONG, 48, regions);
        argument.set(JAVA_LONG, 72, WRITTEN);
        argument.set(JAVA_LONG, 88, WRITTEN);
        return Syscalls.ioctl("PAGEMAP_SCAN", pagemap, PAGEMAP_SCAN, argument);
    }

    @Override
    public void close() {
        try {
            Syscalls.close(pagemap);
        } finally {
            arena.close();
        }
    }
}
