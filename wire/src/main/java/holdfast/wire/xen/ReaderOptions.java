package holdfast.wire.xen;

/**
 * What a reader takes besides the published formats.
 *
 * @param extensions whether Holdfast's own records are known
 * @param checkpoints what follows the CHECKPOINT_END of the libxl layer
 * @param dirtyListHeader how CHECKPOINT_DIRTY_PFN_LIST is framed
 */
public record ReaderOptions(
        Extensions extensions, Checkpoints checkpoints, DirtyListHeader dirtyListHeader) {
    /** Whether Holdfast's own records are known. */
    public enum Extensions {
        /** They are unknown mandatory records, as for any other implementation. */
        REFUSED,
        /** They are read. */
        ALLOWED
    }

    /** What follows the CHECKPOINT_END of the libxl layer. */
    public enum Checkpoints {
        /** libxc records at once, without a header. */
        REMUS,
        /** libxl CHECKPOINT_STATE records; libxc records after NEW_CHECKPOINT. */
        COLO
    }

    /** How CHECKPOINT_DIRTY_PFN_LIST is framed. */
    public enum DirtyListHeader {
        /** Type and length, 8 bytes, as every record. */
        AS_SPECIFIED,
        /** 16 bytes: Xen writes the structure it has in memory, with a pointer at its end. */
        XEN_IN_MEMORY
    }

    /** The published formats and nothing else. */
    public static final ReaderOptions PLAIN =
            new ReaderOptions(Extensions.REFUSED, Checkpoints.REMUS, DirtyListHeader.AS_SPECIFIED);

    /** What Holdfast nodes send each other. */
    public static final ReaderOptions HOLDFAST =
            new ReaderOptions(Extensions.ALLOWED, Checkpoints.REMUS, DirtyListHeader.AS_SPECIFIED);
}
