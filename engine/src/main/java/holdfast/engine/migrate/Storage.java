package holdfast.engine.migrate;

/** What becomes of the disks that a moving guest may write. */
public enum Storage {
    /** Both nodes have the same ones, or there are none: nothing of them travels. */
    SHARED,
    /** Some are copied to the destination ahead of memory, and followed until the guest stands. */
    COPIED
}
