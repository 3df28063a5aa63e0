package holdfast.engine.port;

import java.lang.foreign.MemorySegment;

/**
 * The main memory of a guest, mapped into this process. The bytes change while the guest runs: they
 * are the truth only while it is suspended, and at any other time may be used only for pre-copy
 * together with a {@link DirtyTracker}.
 */
public interface GuestMemory {
    /** Bytes of one page. */
    int PAGE_BYTES = 4096;

    /** Number of pages; PFNs are {@code 0 <= pfn < pages()}. */
    long pages();

    /**
     * All of main memory, {@code pages() * PAGE_BYTES} bytes; the segment lives as long as this
     * object is open.
     */
    MemorySegment bytes();

    /** The bytes of one page. Allocates a view: not for loops over many pages. */
    default MemorySegment page(long pfn) {
        return bytes().asSlice(pfn * PAGE_BYTES, PAGE_BYTES);
    }
}
