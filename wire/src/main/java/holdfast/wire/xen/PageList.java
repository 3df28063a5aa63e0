package holdfast.wire.xen;

import java.util.Arrays;

/**
 * The pages one PAGE_DATA record lists, in order: immutable, compares by content, no object per
 * page. Each entry is a word of the format: page type in bits 63 to 60, PFN in bits 51 to 0.
 */
public final class PageList {
    /** Bits of a word that hold the PFN. */
    static final long PFN_MASK = (1L << 52) - 1;

    private static final int TYPE_SHIFT = 60;
    private static final long RESERVED_MASK = 0xFFL << 52;

    /** Bit n is set when pages of type code n carry data. */
    private static final int DATA_TYPES = 0b0001_1110_0001_1111;

    /** Bit n is set when n is a reserved type code. */
    private static final int RESERVED_TYPES = 0b0000_0001_1110_0000;

    private final long[] entries;
    private final int dataPages;

    private PageList(long[] entries, int dataPages) {
        this.entries = entries;
        this.dataPages = dataPages;
    }

    /** Lists {@code count} ordinary pages, {@code pfns[from]} and the following. */
    public static PageList ofPfns(long[] pfns, int from, int count) {
        long[] entries = Arrays.copyOfRange(pfns, from, Math.addExact(from, count));
        for (long pfn : entries) {
            checkPfn(pfn);
        }
        return ofOwnedEntries(entries);
    }

    /** Lists pages with the words of the format, see {@link #entry(PageType, long)}. */
    public static PageList ofEntries(long... entries) {
        return ofOwnedEntries(entries.clone());
    }

    /** The word for one page. */
    public static long entry(PageType type, long pfn) {
        checkPfn(pfn);
        return (long) type.code() << TYPE_SHIFT | pfn;
    }

    /** Takes over the array; reserved bits are cleared, as a reader must ignore them. */
    static PageList ofOwnedEntries(long[] entries) {
        IllegalRecordException.checkRange(
                "PAGE_DATA count", entries.length, 1, XenLimits.RECORD_PAGES_MAX);
        int dataPages = 0;
        for (int i = 0; i < entries.length; i++) {
            int code = (int) (entries[i] >>> TYPE_SHIFT);
            if ((RESERVED_TYPES >>> code & 1) != 0) {
                throw new IllegalRecordException(
                        "PAGE_DATA entry " + i + " type", "0..4 or 9..15", Integer.toString(code));
            }
            dataPages += DATA_TYPES >>> code & 1;
            entries[i] &= ~RESERVED_MASK;
        }
        return new PageList(entries, dataPages);
    }

    static void checkPfn(long pfn) {
        IllegalRecordException.checkRange("PFN", pfn, 0, PFN_MASK);
    }

    /** How many pages are listed, 1 to {@link XenLimits#RECORD_PAGES_MAX}. */
    public int count() {
        return entries.length;
    }

    /** How many of them carry data. */
    public int dataPages() {
        return dataPages;
    }

    /** Bytes of all pages that carry data. */
    public int dataBytes() {
        return dataPages * XenLimits.PAGE_BYTES;
    }

    public long entry(int index) {
        return entries[index];
    }

    public long pfn(int index) {
        return entries[index] & PFN_MASK;
    }

    public PageType type(int index) {
        return PageType.ofCode((int) (entries[index] >>> TYPE_SHIFT));
    }

    /** Whether this page's bytes follow; the bytes of such pages lie back to back, in order. */
    public boolean carriesData(int index) {
        return (DATA_TYPES >>> (int) (entries[index] >>> TYPE_SHIFT) & 1) != 0;
    }

    /** The array itself, for the codec. */
    long[] entries() {
        return entries;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof PageList that && Arrays.equals(entries, that.entries);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(entries);
    }

    @Override
    public String toString() {
        return entries.length + " pages, " + dataPages + " with data";
    }
}
