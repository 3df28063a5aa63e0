package holdfast.sim.world;

import holdfast.sim.check.Violation;
import holdfast.sim.check.Violation.Invariant;
import holdfast.sim.fault.Fault;
import holdfast.sim.fault.Moment.Mark;
import holdfast.sim.guest.SimDisk;
import holdfast.sim.guest.SimGuest;
import holdfast.sim.guest.SimMemory;
import holdfast.sim.link.ControlConnection.Farewell;
import holdfast.sim.link.ControlConnection.Side;
import holdfast.sim.time.VirtualTime;

import java.lang.foreign.Arena;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.function.BooleanSupplier;

/**
 * A life of one domain: it runs, is protected while things go wrong, the protection ends, and the
 * domain is protected once more without faults, for a second attempt that does not work is how lost
 * dirty pages and leaked resources show.
 */
public final class Schedule {
    private static final long WARM_UP_NANOS = 3_000_000;
    private static final long SETTLE_NANOS = 3_000_000_000L;
    private static final long STRAY_NANOS = 40_000_000;
    private static final long PROGRESS_NANOS = 500_000_000;
    private static final long SECOND_NANOS = 3_000_000_000L;
    private static final long SECOND_COMMITS = 3;

    /**
     * What a schedule that held every promise came to.
     *
     * @param commits checkpoints committed, both protections together
     * @param acknowledged requests the client saw answered
     * @param failOvers protections after which the survivor ran
     * @param lateFrames frames of committed epochs that left after the survivor ran
     * @param virtualNanos how long it took
     * @param marks events of the first protection, by kind
     */
    public record Result(
            long commits,
            long acknowledged,
            int failOvers,
            long lateFrames,
            long virtualNanos,
            Map<Mark, Long> marks) {}

    private final Plan plan;
    private final Variants variants;
    private final VirtualTime time = new VirtualTime();
    private final Trace trace;
    private final SplittableRandom random;
    private long commits;
    private int failOvers;
    private long lateFrames;

    public Schedule(Plan plan, Variants variants, Trace.Keeping keeping) {
        this.plan = plan;
        this.variants = variants;
        this.trace = new Trace(keeping, time);
        this.random = new SplittableRandom(plan.seed());
    }

    public List<String> trace() {
        return trace.lines();
    }

    /**
     * Runs to the end.
     *
     * @throws Violation if a promise was broken
     */
    public Result run() {
        try (Arena arena = Arena.ofShared()) {
            return run(arena);
        }
    }

    private Result run(Arena arena) {
        SimGuest guest =
                new SimGuest(
                        "primary",
                        new SimMemory(plan.pages(), arena),
                        new SimDisk(),
                        time,
                        random.split(),
                        plan.workNanos());
        Client client = new Client(time, random.split(), guest);
        guest.connectOutput(frame -> client.heard(guest, frame));
        guest.run();
        runFor(WARM_UP_NANOS, () -> false);

        SimNode first = new SimNode("a");
        Map<Mark, Long> marks;
        Optional<SimGuest> location;
        Protection protection = protect(plan, guest, first, new SimNode("b"), arena, client);
        try {
            protection.start();
            runFor(plan.runNanos(), protection::over);
            if (protection.inForce()) {
                protection.strike(plan.ending());
            }
            location = settle(protection, client);
            marks = Map.copyOf(protection.marks());
        } finally {
            protection.sweep();
        }
        if (location.isPresent()) {
            again(location.get(), arena, client);
        }
        return new Result(
                commits, client.acknowledged(), failOvers, lateFrames, time.nanos(), marks);
    }

    private Protection protect(
            Plan how, SimGuest guest, SimNode from, SimNode to, Arena arena, Client client) {
        return new Protection(
                how,
                time,
                random.split(),
                guest,
                from,
                to,
                new SimMemory(guest.memory().pages(), arena),
                client,
                variants,
                trace);
    }

    /** The second attempt, between nodes that are well. */
    private void again(SimGuest guest, Arena arena, Client client) {
        trace.say("schedule", () -> "protects the domain again");
        Protection protection =
                protect(
                        Plans.calm(random.nextLong() >>> 16, plan.arbiter()),
                        guest,
                        new SimNode("c"),
                        new SimNode("d"),
                        arena,
                        client);
        try {
            protection.start();
            runFor(
                    SECOND_NANOS,
                    () ->
                            protection.over()
                                    || protection.secondary().state().committed()
                                            >= SECOND_COMMITS);
            if (!protection.inForce()
                    || protection.secondary().state().committed() < SECOND_COMMITS) {
                throw new Violation(
                        Invariant.I4,
                        "the second attempt to protect the domain did not succeed: primary in "
                                + protection.primary().state()
                                + ", secondary in "
                                + protection.secondary().state());
            }
            Fault ending =
                    switch (random.nextInt(3)) {
                        case 0 -> new Fault.Unprotect();
                        case 1 -> new Fault.FailOver();
                        default -> new Fault.Crash(Side.PRIMARY, Farewell.RESET);
                    };
            protection.strike(ending);
            if (settle(protection, client).isEmpty()) {
                throw new Violation(
                        Invariant.I4, "the domain was lost by the second protection's " + ending);
            }
        } finally {
            protection.sweep();
        }
    }

    /** Lets everything come to an end, then asks where the domain is and whether it answers. */
    private Optional<SimGuest> settle(Protection protection, Client client) {
        runFor(SETTLE_NANOS, protection::over);
        if (protection.inForce()) {
            // The ending was refused, as a fail-over is before the first commit.
            protection.strike(new Fault.Unprotect());
            runFor(SETTLE_NANOS, protection::over);
        }
        protection.calm();
        runFor(STRAY_NANOS, () -> false);
        Optional<SimGuest> location = protection.location();
        commits += protection.secondary().state().committed() + 1;
        lateFrames += protection.lateFrames();
        if (protection.secondary().survivor().isPresent()) {
            failOvers++;
        }
        if (location.isPresent()) {
            long before = client.acknowledged();
            runFor(PROGRESS_NANOS, () -> client.acknowledged() > before + 1);
            if (client.acknowledged() <= before + 1) {
                throw new Violation(
                        Invariant.I4,
                        "the domain is said to run as the "
                                + location.get().name()
                                + ", but the client hears nothing from it; the primary is in "
                                + protection.primary().state());
            }
        }
        return location;
    }

    private void runFor(long nanos, BooleanSupplier done) {
        long end = time.nanos() + nanos;
        while (!done.getAsBoolean() && time.step(end)) {
            // Each step runs what was due.
        }
    }
}
