package holdfast.node.session;

/** When those who watch a domain shall hear of a change. */
public enum Telling {
    AT_ONCE,
    /** When they look: the guest stands still, and to wake them now would take a core. */
    WHEN_ASKED
}
