package holdfast.wire.xen;

/** What libxc and libxl records have in common: a header of two words and padding. */
final class RecordFraming {
    /** Bytes of type and length. */
    static final int HEADER_BYTES = 8;

    /** Set in the type of a record that a reader may skip. */
    static final int OPTIONAL_BIT = 0x8000_0000;

    private RecordFraming() {}

    /** Zero bytes that follow a body of this length. */
    static int paddingBytes(long bodyBytes) {
        return (int) (-bodyBytes & 7);
    }

    static boolean isOptional(int type) {
        return (type & OPTIONAL_BIT) != 0;
    }
}
