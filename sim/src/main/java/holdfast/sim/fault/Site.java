package holdfast.sim.fault;

/** A call of a port that can be made to fail. */
public enum Site {
    SUSPEND,
    RESUME,
    SAVE_STATE,
    COLLECT,
    GATE_ATTACH,
    GATE_CLOSE_EPOCH,
    GATE_RELEASE,
    GATE_DETACH,
    STANDBY_PREPARE,
    STANDBY_REHEARSE,
    STANDBY_TAKE_OVER
}
