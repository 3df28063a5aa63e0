package holdfast.wire.xen;

/** What a page of a PAGE_DATA record is to the guest, and whether its bytes travel. */
public enum PageType {
    /** An ordinary page. */
    NOTAB(0),
    /** A level 1 page table of a PV guest. */
    L1TAB(1),
    /** A level 2 page table of a PV guest. */
    L2TAB(2),
    /** A level 3 page table of a PV guest. */
    L3TAB(3),
    /** A level 4 page table of a PV guest. */
    L4TAB(4),
    /** A pinned level 1 page table. */
    L1TAB_PINNED(9),
    /** A pinned level 2 page table. */
    L2TAB_PINNED(10),
    /** A pinned level 3 page table. */
    L3TAB_PINNED(11),
    /** A pinned level 4 page table. */
    L4TAB_PINNED(12),
    /** A page lost to a hardware error; no bytes travel. */
    BROKEN(13),
    /** To be allocated on the destination; no bytes travel. */
    XALLOC(14),
    /** Not a page of the guest; no bytes travel. */
    XTAB(15);

    private static final PageType[] BY_CODE = new PageType[16];

    static {
        for (PageType type : values()) {
            BY_CODE[type.code] = type;
        }
    }

    private final int code;

    PageType(int code) {
        this.code = code;
    }

    /** Whether the page's bytes follow in the record. */
    public boolean carriesData() {
        return code <= 12;
    }

    int code() {
        return code;
    }

    /** The type with this 4-bit code, or null for the reserved codes 5 to 8. */
    static PageType ofCode(int code) {
        return BY_CODE[code];
    }
}
