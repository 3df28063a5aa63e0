package holdfast.node.nbd;

/** When written bytes must be on stable storage. */
public enum Durability {
    /** By the end of the next {@link NbdExport#flush()}. */
    FLUSHED_LATER,
    /** By the end of the call: the client set FUA. */
    ON_RETURN
}
