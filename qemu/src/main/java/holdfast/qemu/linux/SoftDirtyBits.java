package holdfast.qemu.linux;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.io.EOFException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;

/**
 * The soft-dirty bits in the page tables of a process. One thread at a time; nothing is allocated
 * while reading.
 *
 * @spec https://docs.kernel.org/admin-guide/mm/soft-dirty.html Soft-Dirty PTEs
 */
public final class SoftDirtyBits implements AutoCloseable {
    /** Receives half-open address ranges, ascending. */
    @FunctionalInterface
    public interface Visitor {
        void range(long start, long end);
    }

    private static final long PAGE_BYTES = 4096;
    private static final long SOFT_DIRTY = 1L << 55;
    private static final long ENTRIES = 65_536;

    private final int pagemap;
    private final int clearRefs;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment entries = arena.allocate(ENTRIES * 8, 8);
    private final MemorySegment clearSoftDirty = arena.allocateFrom(JAVA_BYTE, (byte) '4');

    private SoftDirtyBits(int pagemap, int clearRefs) {
        this.pagemap = pagemap;
        this.clearRefs = clearRefs;
    }

    /**
     * Whether this kernel keeps the bits: a page that we just wrote for the first time must carry
     * one. Where CONFIG_MEM_SOFT_DIRTY is not set the files exist all the same, and say nothing.
     */
    public static boolean kept() {
        int pagemap = Syscalls.open(Path.of("/proc/self/pagemap"), Syscalls.O_CLOEXEC);
        try (Arena own = Arena.ofConfined()) {
            MemorySegment page = Syscalls.anonymousMemory(PAGE_BYTES, own);
            page.set(JAVA_BYTE, 0, (byte) 1);
            MemorySegment entry = own.allocate(JAVA_LONG);
            return Syscalls.pread(pagemap, entry, 8, page.address() / PAGE_BYTES * 8) == 8
                    && (entry.get(JAVA_LONG, 0) & SOFT_DIRTY) != 0;
        } finally {
            Syscalls.close(pagemap);
        }
    }

    public static SoftDirtyBits open(long pid) {
        Path proc = Path.of("/proc/" + pid);
        int pagemap = Syscalls.open(proc.resolve("pagemap"), Syscalls.O_CLOEXEC);
        try {
            return new SoftDirtyBits(
                    pagemap,
                    Syscalls.open(
                            proc.resolve("clear_refs"), Syscalls.O_WRONLY | Syscalls.O_CLOEXEC));
        } catch (SystemCallException e) {
            Syscalls.close(pagemap);
            throw e;
        }
    }

    /**
     * Visits the pages in addresses {@code [start, end)} that were written since {@link #clear}.
     */
    public void written(long start, long end, Visitor visitor) throws EOFException {
        for (long at = start; at < end; ) {
            long wanted = Math.min(ENTRIES, (end - at) / PAGE_BYTES) * 8;
            long read = Syscalls.pread(pagemap, entries, wanted, at / PAGE_BYTES * 8);
            if (read < 8) {
                throw new EOFException(
                        "pagemap ends at address 0x%x, expected 0x%x; the process has ended"
                                .formatted(at, end));
            }
            visit(at, read / 8, visitor);
            at += read / 8 * PAGE_BYTES;
        }
    }

    private void visit(long base, long count, Visitor visitor) {
        for (long i = 0; i < count; ) {
            if ((entries.get(JAVA_LONG, i * 8) & SOFT_DIRTY) == 0) {
                i++;
                continue;
            }
            long first = i;
            while (i < count && (entries.get(JAVA_LONG, i * 8) & SOFT_DIRTY) != 0) {
                i++;
            }
            visitor.range(base + first * PAGE_BYTES, base + i * PAGE_BYTES);
        }
    }

    /** Forgets all writes of the process, in all its memory. */
    public void clear() {
        Syscalls.write(clearRefs, clearSoftDirty);
    }

    @Override
    public void close() {
        try {
            Syscalls.close(pagemap);
        } finally {
            try {
                Syscalls.close(clearRefs);
            } finally {
                arena.close();
            }
        }
    }
}
