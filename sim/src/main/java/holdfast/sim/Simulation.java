package holdfast.sim;

import holdfast.sim.check.Violation;
import holdfast.sim.world.Plan;
import holdfast.sim.world.Plans;
import holdfast.sim.world.Schedule;
import holdfast.sim.world.Trace;
import holdfast.sim.world.Variants;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * Runs the real sessions of both sides on virtual time, with simulated guests, links and faults,
 * and checks the invariants after every step. Everything follows from the seed: the same seed gives
 * the same run, on any machine.
 */
public final class Simulation {
    /** Failures after which it is not worth going on. */
    private static final int FAILURES_MAX = 20;

    /** Hears how far a simulation is; called on the thread that runs it. */
    @FunctionalInterface
    public interface ProgressListener {
        /**
         * @param done schedules run
         * @param schedules schedules asked for
         * @param failures those of {@code done} in which a promise was broken
         */
        void progress(int done, int schedules, int failures);
    }

    private Simulation() {}

    /**
     * Runs {@code schedules} schedules. The first one's seed is {@code seed} itself, so that a
     * failing one is replayed by its own seed and a count of 1.
     */
    public static Report run(long seed, int schedules, ProgressListener progress) {
        return run(seed, schedules, progress, Variants.NONE);
    }

    static Report run(long seed, int schedules, ProgressListener progress, Variants variants) {
        long start = System.nanoTime();
        SplittableRandom seeds = new SplittableRandom(seed);
        List<Failure> failures = new ArrayList<>();
        Report.Totals totals = new Report.Totals(0, 0, 0, 0, 0);
        int done = 0;
        while (done < schedules && failures.size() < FAILURES_MAX) {
            Plan plan = Plans.random(done == 0 ? seed : seeds.nextLong() >>> 16);
            try {
                totals = totals.plus(new Schedule(plan, variants, Trace.Keeping.NOTHING).run());
            } catch (Violation e) {
                failures.add(explain(plan, variants, e));
            }
            done++;
            progress.progress(done, schedules, failures.size());
        }
        return new Report(seed, schedules, done, totals, System.nanoTime() - start, failures);
    }

    /** Runs the schedule again, with a trace. */
    static Failure explain(Plan plan, Variants variants, Violation first) {
        Schedule again = new Schedule(plan, variants, Trace.Keeping.EVERYTHING);
        String found = first.getMessage();
        try {
            again.run();
            found += " (NOT REPEATED: the second run of this seed held every promise)";
        } catch (Violation second) {
            if (!second.getMessage().equals(first.getMessage())) {
                found += " (NOT REPEATED: the second run found " + second.getMessage() + ")";
            }
        }
        return new Failure(plan.seed(), first.invariant(), found, plan, again.trace(), first);
    }
}
