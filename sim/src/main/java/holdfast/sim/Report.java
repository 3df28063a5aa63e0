package holdfast.sim;

import holdfast.sim.world.Schedule;

import java.util.List;

/**
 * What a simulation came to.
 *
 * @param seed it was run with
 * @param schedulesAsked schedules asked for
 * @param schedulesRun schedules run: fewer only where many failed
 * @param totals over the schedules that held every promise
 * @param elapsedNanos wall-clock time
 * @param failures schedules in which a promise was broken
 */
public record Report(
        long seed,
        int schedulesAsked,
        int schedulesRun,
        Totals totals,
        long elapsedNanos,
        List<Failure> failures) {
    /**
     * Sums.
     *
     * @param commits checkpoints committed
     * @param acknowledged requests that clients saw answered
     * @param failOvers protections after which the survivor ran
     * @param lateFrames frames of committed epochs that left a primary after the survivor ran
     * @param virtualNanos time that passed in the simulated worlds
     */
    public record Totals(
            long commits, long acknowledged, long failOvers, long lateFrames, long virtualNanos) {
        Totals plus(Schedule.Result result) {
            return new Totals(
                    commits + result.commits(),
                    acknowledged + result.acknowledged(),
                    failOvers + result.failOvers(),
                    lateFrames + result.lateFrames(),
                    virtualNanos + result.virtualNanos());
        }
    }

    public Report {
        failures = List.copyOf(failures);
    }

    /** Whether every schedule held every promise. */
    public boolean held() {
        return failures.isEmpty();
    }

    /** Schedules run in a second of wall-clock time. */
    public double schedulesPerSecond() {
        return schedulesRun / (elapsedNanos / 1e9);
    }
}
