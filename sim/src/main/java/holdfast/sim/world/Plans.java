package holdfast.sim.world;

import holdfast.engine.memory.CheckpointEncoder;
import holdfast.sim.fault.Fault;
import holdfast.sim.fault.Moment;
import holdfast.sim.fault.Site;
import holdfast.sim.link.ControlConnection.Damage;
import holdfast.sim.link.ControlConnection.Farewell;
import holdfast.sim.link.ControlConnection.Side;
import holdfast.sim.link.LinkShape;
import holdfast.sim.world.Plan.ArbiterKind;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/** Draws plans. */
public final class Plans {
    private static final long MILLI = 1_000_000;

    private Plans() {}

    /** A plan without faults that is quick to run: the ground for strikes at each message. */
    public static Plan calm(long seed, ArbiterKind arbiter) {
        return new Plan(
                seed,
                arbiter,
                CheckpointEncoder.Encoding.DELTA,
                new LinkShape(100_000, 200_000, 400, 96 << 10, 4 << 10, 10 * MILLI, 50 * MILLI),
                64,
                200_000,
                5 * MILLI,
                150 * MILLI,
                40 * MILLI,
                10 * MILLI,
                List.of(),
                new Fault.Crash(Side.PRIMARY, Farewell.RESET));
    }

    /** A plan with up to three faults of any kind that its arbiter can bear. */
    public static Plan random(long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        ArbiterKind arbiter =
                switch (random.nextInt(6)) {
                    case 0 -> ArbiterKind.NONE;
                    case 1 -> ArbiterKind.OPERATOR;
                    default -> ArbiterKind.GENERATION;
                };
        LinkShape link =
                new LinkShape(
                        random.nextLong(20_000, 2 * MILLI),
                        random.nextLong(2 * MILLI),
                        random.nextInt(8) == 0 ? 30_000 : random.nextLong(50, 2_000),
                        random.nextInt(16 << 10, 512 << 10),
                        random.nextInt(2 << 10, 256 << 10),
                        10 * MILLI,
                        50 * MILLI);
        long runNanos = random.nextLong(20 * MILLI, 250 * MILLI);
        List<Fault.Planned> faults = new ArrayList<>();
        int count = random.nextInt(5);
        // Faults that strike together meet each other's messages on the way.
        long width = random.nextBoolean() ? runNanos : 2 * (link.delayNanos() + link.jitterNanos());
        long first = random.nextLong(runNanos);
        for (int i = 0; i < count; i++) {
            Fault fault = fault(random, arbiter, link);
            faults.add(new Fault.Planned(moment(random, fault, first, width), fault));
        }
        return new Plan(
                seed,
                arbiter,
                random.nextInt(4) == 0
                        ? CheckpointEncoder.Encoding.PLAIN
                        : CheckpointEncoder.Encoding.DELTA,
                link,
                random.nextInt(16) == 0 ? 512 : random.nextInt(64, 160),
                random.nextLong(50_000, MILLI),
                random.nextLong(2 * MILLI, 20 * MILLI),
                random.nextLong(60 * MILLI, 300 * MILLI),
                runNanos,
                random.nextLong(MILLI, 60 * MILLI),
                faults,
                ending(random));
    }

    private static Fault ending(SplittableRandom random) {
        return switch (random.nextInt(6)) {
            case 0 -> new Fault.Unprotect();
            case 1 -> new Fault.FailOver();
            case 2 -> new Fault.DomainDies();
            case 3 -> new Fault.Crash(Side.SECONDARY, farewell(random));
            default -> new Fault.Crash(Side.PRIMARY, farewell(random));
        };
    }

    private static Farewell farewell(SplittableRandom random) {
        return random.nextBoolean() ? Farewell.RESET : Farewell.SILENCE;
    }

    private static Side side(SplittableRandom random) {
        return random.nextBoolean() ? Side.PRIMARY : Side.SECONDARY;
    }

    private static Moment moment(
            SplittableRandom random, Fault fault, long firstNanos, long widthNanos) {
        if (fault instanceof Fault.FailCall || fault instanceof Fault.DamageControl) {
            // They carry their own moment.
            return new Moment.After(0);
        }
        return random.nextInt(4) == 0
                ? new Moment.At(
                        Moment.Mark.values()[random.nextInt(Moment.Mark.values().length)],
                        random.nextLong(60))
                : new Moment.After(firstNanos + random.nextLong(widthNanos + 1));
    }

    private static Fault fault(SplittableRandom random, ArbiterKind arbiter, LinkShape link) {
        return switch (arbiter) {
            // Without an arbiter a link that breaks lets both sides go on: that is what it risks.
            case NONE -> bearable(random, random.nextInt(12));
            case GENERATION, OPERATOR -> {
                int kind = random.nextInt(20);
                yield kind < 12 ? bearable(random, kind) : linkFault(random, kind, link);
            }
        };
    }

    private static Fault bearable(SplittableRandom random, int kind) {
        return switch (kind) {
            case 0 -> new Fault.Crash(Side.PRIMARY, farewell(random));
            case 1 -> new Fault.Crash(Side.SECONDARY, farewell(random));
            case 2 -> new Fault.DomainDies();
            case 3 -> new Fault.DomainShutsDown();
            case 4 -> new Fault.StandbyDies();
            case 5 -> new Fault.Unprotect();
            case 6 -> new Fault.FailOver();
            case 7 -> new Fault.FlipBulk(random.nextLong(8 * 900_000L));
            case 8 -> new Fault.StallBulk(random.nextLong(200 * MILLI));
            case 9 -> new Fault.OutputFull();
            default ->
                    new Fault.FailCall(
                            Site.values()[random.nextInt(Site.values().length)],
                            random.nextInt(3) == 0 ? 0 : random.nextLong(12));
        };
    }

    private static Fault linkFault(SplittableRandom random, int kind, LinkShape link) {
        return switch (kind) {
            case 12 -> new Fault.CutControl();
            case 13 -> new Fault.CutBulk();
            case 14 -> new Fault.CutBulkAt(random.nextLong(900_000));
            case 15 -> new Fault.CutAll();
            case 17 -> new Fault.CutDisk();
            case 18 -> new Fault.StallDisk(random.nextLong(200 * MILLI));
            case 16 ->
                    new Fault.StallControl(side(random), random.nextLong(3 * link.deadlineNanos()));
            default ->
                    new Fault.DamageControl(
                            side(random),
                            random.nextLong(50),
                            random.nextBoolean() ? Damage.BODY : Damage.FRAMING);
        };
    }
}
