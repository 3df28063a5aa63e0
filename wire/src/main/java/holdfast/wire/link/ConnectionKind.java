package holdfast.wire.link;

/** What a connection is for. Declared by HELLO, fixed for its life. */
public enum ConnectionKind {
    /** Session messages in both directions, the back channel among them. */
    CONTROL,
    /** The bulk stream, primary to secondary, without frames. */
    BULK,
    /** Frames the network sent toward the guest, primary to secondary. */
    INBOUND,
    /** One question about a session that is over, and its answer. */
    INQUIRY,
    /** What the guest writes to its disks, primary to secondary. */
    DISK,
    /** The phases of one migration, in both directions. */
    MIGRATION
}
