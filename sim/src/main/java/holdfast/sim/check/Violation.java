package holdfast.sim.check;

/**
 * What a checker found; ends the schedule. An error, so that no session's reaction to a failing
 * port can hide it.
 */
public final class Violation extends Error {
    /** The promise that was broken. */
    public enum Invariant {
        /** At most one copy speaks for a domain. */
        I1,
        /** Nothing leaves that the survivor could contradict. */
        I2,
        /** Memory, device state and disk resume from one and the same epoch. */
        I3,
        /** The domain runs in one known place, or a state names who must decide. */
        I4,
        /** An engine ended with an exception, or a reader did not come to rest. */
        ENGINE
    }

    private final Invariant invariant;

    public Violation(Invariant invariant, String what) {
        this(invariant, what, null);
    }

    public Violation(Invariant invariant, String what, Throwable cause) {
        super(what, cause);
        this.invariant = invariant;
    }

    public Invariant invariant() {
        return invariant;
    }
}
