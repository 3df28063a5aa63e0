package holdfast.wire.xen;

import java.lang.foreign.MemorySegment;

/** Gives page bytes that do not lie back to back. */
@FunctionalInterface
public interface PageGather {
    /**
     * Copies the 4096 bytes of one page to {@code target}, from {@code targetOffset} on.
     *
     * @param pfn one of the PFNs that were passed along; each is asked for once, in order
     */
    void copyPage(long pfn, MemorySegment target, long targetOffset);
}
