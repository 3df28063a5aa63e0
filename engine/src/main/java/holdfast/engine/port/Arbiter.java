package holdfast.engine.port;

import java.util.function.Consumer;

/**
 * Decides who may go on with a domain when two nodes no longer hear each other. Silence is not
 * death: only a verdict starts a fail-over or lets a primary go on alone.
 */
public interface Arbiter {
    /** The node that asks. */
    enum Role {
        /** It runs the domain and lost its secondary. */
        PRIMARY,
        /** It holds the replica and lost the primary. */
        SECONDARY
    }

    /** What was decided. */
    enum Verdict {
        /** The asker owns the domain alone from now on. */
        GO_ON,
        /** The other side owns it: the asker must stop its copy now. */
        STAND_DOWN
    }

    /** Short name for logs and the operator, such as {@code none}. */
    String kind();

    /**
     * Asks once for the right to go on with {@code domain} after {@code generation}; the verdict
     * arrives at {@code answer} on any thread, at the latest when the arbiter's own deadline passes
     * (then {@link Verdict#STAND_DOWN} for a secondary).
     */
    void ask(String domain, long generation, Role role, Consumer<Verdict> answer);
}
