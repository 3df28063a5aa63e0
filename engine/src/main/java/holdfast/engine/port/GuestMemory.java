package holdfast.engine.port;

import holdfast.engine.memory.PfnSet;

import java.lang.foreign.MemorySegment;

/**
 * The main memory of a guest, mapped into this process. The bytes change while the guest runs: they
 * are the truth only while it is suspended, and at any other time may be used only for pre-copy
 * together with a {@link DirtyTracker}.
 */
public interface GuestMemory {
    /** Bytes of one page. */
    int PAGE_BYTES = 4096;

    /**
     * Memory that is whole pages of bytes, and nothing more.
     *
     * @param bytes borrowed
     */
    static GuestMemory over(MemorySegment bytes) {
        return new GuestMemory() {
            @Override
            public long pages() {
                return bytes.byteSize() / PAGE_BYTES;
            }

            @Override
            public MemorySegment bytes() {
                return bytes;
            }
        };
    }

    /** Number of pages; PFNs are {@code 0 <= pfn < pages()}. */
    long pages();

    /**
     * All of main memory, {@code pages() * PAGE_BYTES} bytes; the segment lives as long as this
     * object is open.
     */
    MemorySegment bytes();

    /**
     * Adds every page that may hold something else than zeroes; one that is left out did not when
     * this was called. Cheaper than looking, and leaves pages that nobody used unused.
     */
    default void addPopulated(PfnSet into) {
        into.fill();
    }

    /** Writes {@code count} whole pages from {@code source} at {@code offset}. */
    default void write(long firstPfn, int count, MemorySegment source, long offset) {
        MemorySegment.copy(
                source, offset, bytes(), firstPfn * PAGE_BYTES, (long) count * PAGE_BYTES);
    }

    /** The bytes of one page. Allocates a view: not for loops over many pages. */
    default MemorySegment page(long pfn) {
        return bytes().asSlice(pfn * PAGE_BYTES, PAGE_BYTES);
    }
}
