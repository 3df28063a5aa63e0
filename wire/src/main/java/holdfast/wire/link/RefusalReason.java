package holdfast.wire.link;

/** Why a connection is not accepted. */
public enum RefusalReason {
    /** The two nodes have no protocol version in common. */
    VERSION,
    /** BULK or INBOUND names a session that is not open here, or has such a connection already. */
    SESSION,
    /** The opener is this very node. */
    SAME_NODE,
    /** Too many connections or sessions, or the node is stopping. */
    BUSY
}
