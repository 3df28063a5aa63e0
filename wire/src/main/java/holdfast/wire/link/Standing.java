package holdfast.wire.link;

/** What became of a session's replica on the node that is asked. */
public enum Standing {
    /** The domain was taken over here: the asker's copy must never run again. */
    TOOK_OVER,
    /** The replica was discarded without ever running: the asker's copy is the only one. */
    DISCARDED,
    /** The replica is here and may still be taken over, or may have run here. */
    UNDECIDED,
    /** The session is not known here; nothing follows from that. */
    UNKNOWN
}
