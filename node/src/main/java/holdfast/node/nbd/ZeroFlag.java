package holdfast.node.nbd;

/** Conditions on {@link NbdExport#writeZeroes}. */
public enum ZeroFlag {
    /** The range stays, or becomes, allocated: a later write to it must find room. */
    NO_HOLE,
    /** Fail with ENOTSUP, having changed nothing, rather than be no quicker than writing. */
    FAST
}
