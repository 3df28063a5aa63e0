package holdfast.cli;

import holdfast.sim.Failure;
import holdfast.sim.Report;
import holdfast.sim.Simulation;

import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

import java.util.List;
import java.util.Locale;
import java.util.concurrent.ThreadLocalRandom;

/** {@code holdfast simulate}. */
@Command(
        name = "simulate",
        description =
                "Run both sides of a protection on virtual time, with simulated guests, links and"
                    + " faults, and check after every step that no promise is broken. Needs Java"
                    + " alone; exits 1 where one was broken.",
        footer = {
            "",
            "Example:",
            "  holdfast simulate --schedules 10000",
            "  holdfast simulate --seed 42 --schedules 1"
        })
final class SimulateCommand extends NodeCommand {
    /** Lines of a failing schedule's trace that are shown. */
    private static final int TRACE_LINES = 60;

    /** Seeds that a person can still type. */
    private static final long SEED_BOUND = 1L << 31;

    @Spec private CommandSpec spec;

    @Option(
            names = "--seed",
            paramLabel = "N",
            description =
                    "Repeat this run; the same seed gives the same run (default: another each"
                            + " time).")
    private Long seed;

    @Option(
            names = "--schedules",
            paramLabel = "N",
            defaultValue = "1000",
            description =
                    "Simulate so many protections, each with its own faults (default:"
                            + " ${DEFAULT-VALUE}).")
    private int schedules;

    private int status;

    SimulateCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    public Integer call() {
        run();
        return status;
    }

    @Override
    void run() {
        if (schedules < 1) {
            throw new ParameterException(
                    spec.commandLine(), "--schedules " + schedules + ": allowed is 1 and more");
        }
        long chosen = seed == null ? ThreadLocalRandom.current().nextLong(SEED_BOUND) : seed;
        hint("seed " + chosen + ", " + Figures.count(schedules, "schedule", "schedules"));
        Report report = Simulation.run(chosen, schedules, new Advance());
        status = report.held() ? 0 : Main.FAILED;
        if (!json()) {
            for (Failure failure : report.failures()) {
                say(failure.describe(TRACE_LINES));
            }
        }
        answer(Summary.of(report), sentence(report));
    }

    private static String sentence(Report report) {
        Report.Totals totals = report.totals();
        return Figures.count(report.schedulesRun(), "schedule", "schedules")
                + " of seed "
                + report.seed()
                + ": "
                + (report.held()
                        ? "every promise held"
                        : "promises broken in " + report.failures().size())
                + "; "
                + totals.commits()
                + " checkpoints committed, "
                + totals.acknowledged()
                + " requests acknowledged, "
                + totals.failOvers()
                + " fail-overs, "
                + String.format(
                        Locale.ROOT,
                        "%.1f s simulated in %.1f s",
                        totals.virtualNanos() / 1e9,
                        report.elapsedNanos() / 1e9);
    }

    /** Progress in a line that is drawn over, or one in ten steps where nobody watches. */
    private final class Advance implements Simulation.ProgressListener {
        private int shownPercent = -1;

        @Override
        public void progress(int done, int all, int failures) {
            boolean person = holdfast.surroundings.terminal() == Surroundings.Terminal.PRESENT;
            int percent = (int) (100L * done / all);
            int step = person ? percent : percent / 10 * 10;
            if (step == shownPercent) {
                return;
            }
            shownPercent = step;
            String line = step + "%, " + done + " of " + all + ", " + failures + " broken";
            if (person && done < all) {
                holdfast.surroundings.err().print("\r" + line);
                holdfast.surroundings.err().flush();
            } else {
                hint(person ? "\r" + line : line);
            }
        }
    }

    /** The JSON contract of this command. */
    record Summary(
            long seed,
            int schedulesAsked,
            int schedulesRun,
            long commits,
            long acknowledged,
            long failOvers,
            long virtualMillis,
            long elapsedMillis,
            List<Broken> failures) {
        static Summary of(Report report) {
            return new Summary(
                    report.seed(),
                    report.schedulesAsked(),
                    report.schedulesRun(),
                    report.totals().commits(),
                    report.totals().acknowledged(),
                    report.totals().failOvers(),
                    report.totals().virtualNanos() / 1_000_000,
                    report.elapsedNanos() / 1_000_000,
                    report.failures().stream().map(Broken::of).toList());
        }
    }

    /** A schedule in which a promise was broken. */
    record Broken(long seed, String invariant, String what, String replay) {
        static Broken of(Failure failure) {
            return new Broken(
                    failure.seed(),
                    failure.invariant().name(),
                    failure.what(),
                    failure.replayCommand());
        }
    }
}
