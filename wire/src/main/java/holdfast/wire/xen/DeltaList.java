package holdfast.wire.xen;

import java.util.Arrays;

/**
 * The pages one PAGE_DELTA record lists, in order, with the length of each one's delta: immutable,
 * compares by content. Each entry is a word: kind in bits 63 to 60 (0 the page is all zero, 1 a
 * delta against its previous content follows), PFN in bits 51 to 0.
 */
public final class DeltaList {
    private static final int KIND_SHIFT = 60;
    private static final long KIND_DELTA = 1L << KIND_SHIFT;

    private final long[] entries;
    private final int[] lengths;
    private final int deltaBytes;

    private DeltaList(long[] entries, int[] lengths, int deltaBytes) {
        this.entries = entries;
        this.lengths = lengths;
        this.deltaBytes = deltaBytes;
    }

    /** The word for a page that is all zero. */
    public static long zeroPage(long pfn) {
        PageList.checkPfn(pfn);
        return pfn;
    }

    /** The word for a page that travels as a delta. */
    public static long delta(long pfn) {
        PageList.checkPfn(pfn);
        return KIND_DELTA | pfn;
    }

    /**
     * @param entries words from {@link #zeroPage} and {@link #delta}
     * @param deltaBytes for each entry the bytes of its delta: 0 for a zero page, else 1 to {@link
     *     XenLimits#DELTA_BYTES_MAX}
     */
    public static DeltaList of(long[] entries, int[] deltaBytes) {
        return of(entries, deltaBytes, entries.length);
    }

    /** Lists the first {@code count} elements of both arrays, which are copied. */
    public static DeltaList of(long[] entries, int[] deltaBytes, int count) {
        return ofOwned(Arrays.copyOf(entries, count), Arrays.copyOf(deltaBytes, count));
    }

    static DeltaList ofOwned(long[] entries, int[] lengths) {
        IllegalRecordException.checkRange(
                "PAGE_DELTA count", entries.length, 1, XenLimits.RECORD_PAGES_MAX);
        return new DeltaList(entries, lengths, check(entries, lengths, entries.length));
    }

    /** Checks the first {@code count} elements; returns the sum of the lengths. */
    static int check(long[] entries, int[] lengths, int count) {
        int sum = 0;
        for (int i = 0; i < count; i++) {
            long kindAndReserved = entries[i] & ~PageList.PFN_MASK;
            if (kindAndReserved == KIND_DELTA) {
                if (lengths[i] < 1 || lengths[i] > XenLimits.DELTA_BYTES_MAX) {
                    throw badLength(i, "1.." + XenLimits.DELTA_BYTES_MAX, lengths[i]);
                }
            } else if (kindAndReserved != 0) {
                throw new IllegalRecordException(
                        "PAGE_DELTA entry " + i + " bits 63..52",
                        "kind 0 or 1 and zero bits",
                        "0x" + Long.toHexString(entries[i] >>> 52));
            } else if (lengths[i] != 0) {
                throw badLength(i, "0 (a zero page)", lengths[i]);
            }
            sum += lengths[i];
        }
        return sum;
    }

    private static IllegalRecordException badLength(int index, String expected, int found) {
        return new IllegalRecordException(
                "PAGE_DELTA length " + index, expected, Integer.toUnsignedString(found));
    }

    public int count() {
        return entries.length;
    }

    /** Bytes of all deltas together. */
    public int deltaBytes() {
        return deltaBytes;
    }

    public long pfn(int index) {
        return entries[index] & PageList.PFN_MASK;
    }

    public boolean isZeroPage(int index) {
        return entries[index] >>> KIND_SHIFT == 0;
    }

    /** Bytes of this entry's delta; 0 for a zero page. Deltas lie back to back, in order. */
    public int deltaBytes(int index) {
        return lengths[index];
    }

    /** The array itself, for the codec. */
    long[] entries() {
        return entries;
    }

    /** The array itself, for the codec. */
    int[] lengths() {
        return lengths;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof DeltaList that
                && Arrays.equals(entries, that.entries)
                && Arrays.equals(lengths, that.lengths);
    }

    @Override
    public int hashCode() {
        return 31 * Arrays.hashCode(entries) + Arrays.hashCode(lengths);
    }

    @Override
    public String toString() {
        return entries.length + " pages, " + deltaBytes + " bytes of deltas";
    }
}
