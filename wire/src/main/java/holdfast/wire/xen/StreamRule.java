package holdfast.wire.xen;

/** The rules {@link StreamVerifier} holds a stream to. */
public enum StreamRule {
    /** Every header and record is complete, and a stream ends where it may. */
    TRUNCATED,
    /** xl's file header has its magic, a byte order mark, flags 3 and 0. */
    XL_HEADER,
    /** xl's optional data is one length and a configuration of that length, ending in NUL. */
    XL_CONFIGURATION,
    /** The libxl header has its ident and version 2. */
    LIBXL_HEADER,
    /** The image header has its marker, id and version 2 or 3. */
    IMAGE_HEADER,
    /** The domain header names x86 PV or HVM and pages of 4096 bytes. */
    DOMAIN_HEADER,
    /** Reserved fields and bits are zero. */
    RESERVED_BITS,
    /** Records are padded with zeros. */
    PADDING,
    /** Mandatory records are of a known type. */
    UNKNOWN_MANDATORY_RECORD,
    /** A body is as long as its type and its own counts say. */
    RECORD_LENGTH,
    /** A field has one of the values the format gives it. */
    FIELD_VALUE,
    /** Page types are defined, and no page tables travel for an HVM guest. */
    PAGE_TYPE,
    /** A PV guest's pages lie in its P2M table. */
    PFN_RANGE,
    /** Records are not empty where only old writers left them so (version 2 may). */
    EMPTY_RECORD,
    /** A delta's runs fill it exactly and stay in the page. */
    DELTA_RUNS,
    /** PV records belong to PV guests, HVM records to HVM guests. */
    DOMAIN_TYPE,
    /** What only the back channel carries is not in the stream. */
    DIRECTION,
    /** Records that version 3 brought are not in a version 2 image. */
    VERSION,
    /** Version 3: STATIC_DATA_END comes before memory and state. */
    STATIC_DATA_END_MISSING,
    /** What is fixed for a domain's life comes before STATIC_DATA_END. */
    STATIC_DATA_LATE,
    /** Records come in the order the format gives them. */
    RECORD_ORDER,
    /** What describes one thing comes once. */
    DUPLICATE_RECORD,
    /** Pages come before the state that was saved after them. */
    MEMORY_AFTER_STATE,
    /** An image has memory. */
    MEMORY_MISSING,
    /** Every image and every checkpoint has all of its state. */
    STATE_MISSING,
    /** Nothing follows the end but xl's message that hands the domain over. */
    TRAILING_BYTES
}
