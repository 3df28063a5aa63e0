package holdfast.wire.xen;

/** Sizes that bound what a peer can make a reader allocate, and the page size of the formats. */
public final class XenLimits {
    /** Bytes of a guest page; x86 knows no other in these streams. */
    public static final int PAGE_BYTES = 4096;

    /** Most pages our writer puts into one record; Xen's own writers use the same number. */
    public static final int WRITTEN_PAGES_MAX = 1024;

    /** Most pages a reader takes in one record. */
    public static final int RECORD_PAGES_MAX = 4096;

    /** Most bytes in the body of a PAGE_DATA record. */
    public static final int PAGE_DATA_BYTES_MAX = 8 + RECORD_PAGES_MAX * (8 + PAGE_BYTES);

    /** Longest encoding of one page in a PAGE_DELTA record; a longer one travels as a page. */
    public static final int DELTA_BYTES_MAX = PAGE_BYTES - 1;

    /** Most bytes in the body of a PAGE_DELTA record. */
    public static final int PAGE_DELTA_BYTES_MAX = 8 + RECORD_PAGES_MAX * (12 + DELTA_BYTES_MAX);

    /** Most bytes in the body of any other record; libxc refuses longer ones too. */
    public static final int RECORD_BYTES_MAX = 128 << 20;

    /** Most bytes of optional data (the configuration) after xl's file header. */
    public static final int XL_OPTIONAL_DATA_BYTES_MAX = 1 << 20;

    private XenLimits() {}
}
