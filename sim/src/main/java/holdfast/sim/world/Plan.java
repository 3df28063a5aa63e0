package holdfast.sim.world;

import holdfast.engine.memory.CheckpointEncoder;
import holdfast.sim.fault.Fault;
import holdfast.sim.link.LinkShape;

import java.util.List;

/**
 * All that is decided before a schedule begins.
 *
 * @param seed of everything that is drawn while it runs
 * @param pages of the guest
 * @param workNanos mean time between two bursts of guest writes
 * @param intervalNanos length of an epoch
 * @param deadlineNanos for a checkpoint
 * @param runNanos how long protection runs before the ending
 * @param operatorNanos most time until a question to arbiter or operator is answered
 * @param faults what goes wrong
 * @param ending what becomes of protection that is still there after {@code runNanos}
 */
public record Plan(
        long seed,
        ArbiterKind arbiter,
        CheckpointEncoder.Encoding encoding,
        LinkShape link,
        int pages,
        long workNanos,
        long intervalNanos,
        long deadlineNanos,
        long runNanos,
        long operatorNanos,
        List<Fault.Planned> faults,
        Fault ending) {
    /** Who decides when two nodes no longer hear each other. */
    public enum ArbiterKind {
        /** Nobody: whoever asks may go on. */
        NONE,
        /** The first that asks owns the generation. */
        GENERATION,
        /** A person, for the first that asks. */
        OPERATOR
    }

    public Plan {
        faults = List.copyOf(faults);
    }

    /** The same with other faults. */
    public Plan with(List<Fault.Planned> other) {
        return new Plan(
                seed,
                arbiter,
                encoding,
                link,
                pages,
                workNanos,
                intervalNanos,
                deadlineNanos,
                runNanos,
                operatorNanos,
                other,
                ending);
    }
}
