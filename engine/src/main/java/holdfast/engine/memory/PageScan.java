package holdfast.engine.memory;

import holdfast.engine.port.GuestMemory;

import java.lang.foreign.MemorySegment;

/** Whole-page questions, at the speed of {@link MemorySegment#mismatch}. */
public final class PageScan {
    private static final MemorySegment ZERO_PAGE =
            MemorySegment.ofArray(new byte[GuestMemory.PAGE_BYTES]).asReadOnly();

    private PageScan() {}

    /** Whether the page at {@code offset} is all zero. */
    public static boolean isZero(MemorySegment memory, long offset) {
        return same(memory, offset, ZERO_PAGE, 0);
    }

    /** Whether two pages are equal. */
    public static boolean same(
            MemorySegment left, long leftOffset, MemorySegment right, long rightOffset) {
        return MemorySegment.mismatch(
                        left,
                        leftOffset,
                        leftOffset + GuestMemory.PAGE_BYTES,
                        right,
                        rightOffset,
                        rightOffset + GuestMemory.PAGE_BYTES)
                < 0;
    }
}
