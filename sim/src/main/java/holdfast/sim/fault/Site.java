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
    DISKS_SYNCHRONISE,
    DISKS_FORWARD,
    DISKS_CLOSE_EPOCH,
    DISKS_CLOSE,
    REPLICA_WRITE,
    REPLICA_COMMIT,
    REPLICA_APPLY,
    REPLICA_SETTLE,
    STANDBY_PREPARE,
    STANDBY_REHEARSE,
    STANDBY_TAKE_OVER
}
