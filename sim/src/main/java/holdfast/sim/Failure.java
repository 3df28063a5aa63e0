package holdfast.sim;

import holdfast.sim.check.Violation;
import holdfast.sim.world.Plan;

import java.util.List;

/**
 * A schedule in which a promise was broken.
 *
 * @param seed repeats it
 * @param invariant the promise
 * @param what was found
 * @param plan what the seed stands for
 * @param trace what happened, a line each: virtual time, who, what
 * @param cause where it was found
 */
public record Failure(
        long seed,
        Violation.Invariant invariant,
        String what,
        Plan plan,
        List<String> trace,
        Violation cause) {
    /** The command that runs this schedule alone. */
    public String replayCommand() {
        return "holdfast simulate --seed " + seed + " --schedules 1";
    }

    /**
     * The failure for people.
     *
     * @param lastLines how much of the trace's end to show
     */
    public String describe(int lastLines) {
        StringBuilder text = new StringBuilder();
        text.append(invariant).append(" broken: ").append(what).append('\n');
        text.append("plan: ").append(plan).append('\n');
        int from = Math.max(0, trace.size() - lastLines);
        if (from > 0) {
            text.append("(").append(from).append(" earlier lines)\n");
        }
        trace.subList(from, trace.size()).forEach(line -> text.append(line).append('\n'));
        return text.append("replay: ").append(replayCommand()).append('\n').toString();
    }
}
