package holdfast.sim;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.sim.check.Violation;
import holdfast.sim.fault.Fault;
import holdfast.sim.fault.Moment;
import holdfast.sim.fault.Moment.Mark;
import holdfast.sim.fault.Site;
import holdfast.sim.link.ControlConnection.Damage;
import holdfast.sim.link.ControlConnection.Farewell;
import holdfast.sim.link.ControlConnection.Side;
import holdfast.sim.world.Plan;
import holdfast.sim.world.Plan.ArbiterKind;
import holdfast.sim.world.Plans;
import holdfast.sim.world.Schedule;
import holdfast.sim.world.Trace;
import holdfast.sim.world.Variants;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import java.util.ArrayList;
import java.util.List;

/** Strikes at each message of a session, one run for each. */
class CrashEverywhereTest {
    private static final Plan CALM = Plans.calm(7, ArbiterKind.GENERATION);

    private static Schedule.Result run(Plan plan) {
        try {
            return new Schedule(plan, Variants.NONE, Trace.Keeping.NOTHING).run();
        } catch (Violation e) {
            throw new AssertionError(Simulation.explain(plan, Variants.NONE, e).describe(200), e);
        }
    }

    private static List<Fault.Planned> at(Mark mark, long index, Fault fault) {
        return List.of(new Fault.Planned(new Moment.At(mark, index), fault));
    }

    private static long count(Mark mark) {
        return run(CALM.with(List.of())).marks().getOrDefault(mark, 0L);
    }

    @ParameterizedTest
    @EnumSource(Mark.class)
    void eitherSideMayCrashAtEveryMessageAndEveryChunk(Mark mark) {
        long marks = count(mark);
        assertThat(marks).isGreaterThan(10);
        for (long index = 0; index < marks; index++) {
            for (Side side : Side.values()) {
                Farewell farewell = index % 2 == 0 ? Farewell.RESET : Farewell.SILENCE;
                run(CALM.with(at(mark, index, new Fault.Crash(side, farewell))));
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Mark.class)
    void bothConnectionsMayBreakAtEveryMessageAndEveryChunk(Mark mark) {
        for (long index = 0; index < count(mark); index++) {
            run(CALM.with(at(mark, index, new Fault.CutAll())));
        }
    }

    @Test
    void theDiskConnectionAloneMayBreakAtEveryWrite() {
        for (Mark mark : List.of(Mark.DISK_SENT, Mark.DISK_RECEIVED)) {
            for (long index = 0; index < count(mark); index++) {
                run(CALM.with(at(mark, index, new Fault.CutDisk())));
            }
        }
    }

    @Test
    void everyForwardedWriteMayFail() {
        for (long nth = 0; nth < count(Mark.DISK_SENT); nth++) {
            run(
                    CALM.with(
                            List.of(
                                    new Fault.Planned(
                                            new Moment.After(0),
                                            new Fault.FailCall(Site.DISKS_FORWARD, nth)))));
        }
    }

    @Test
    void theOperatorMayEndOrMoveProtectionAtEveryMessage() {
        for (long index = 0; index < count(Mark.PRIMARY_SENT); index++) {
            run(CALM.with(at(Mark.PRIMARY_SENT, index, new Fault.Unprotect())));
            run(CALM.with(at(Mark.PRIMARY_SENT, index, new Fault.FailOver())));
        }
    }

    @Test
    void aMoveWithoutAnArbiterNeverLeavesTwoCopies() {
        Plan lawless = Plans.calm(7, ArbiterKind.NONE);
        for (long index = 0; index < count(Mark.PRIMARY_SENT); index++) {
            run(lawless.with(at(Mark.PRIMARY_SENT, index, new Fault.FailOver())));
        }
    }

    @Test
    void everyControlMessageMayBeDamaged() {
        for (Side side : Side.values()) {
            for (long index = 0; index < 30; index++) {
                for (Damage damage : Damage.values()) {
                    run(
                            CALM.with(
                                    List.of(
                                            new Fault.Planned(
                                                    new Moment.After(0),
                                                    new Fault.DamageControl(
                                                            side, index, damage)))));
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Site.class)
    void everyCallMayFailOnce(Site site) {
        for (long nth = 0; nth < 8; nth++) {
            run(
                    CALM.with(
                            List.of(
                                    new Fault.Planned(
                                            new Moment.After(0), new Fault.FailCall(site, nth)))));
        }
    }

    @Test
    void theBulkStreamMayBreakOrChangeAnywhere() {
        for (long at = 0; at < 60_000; at += 1_511) {
            run(
                    CALM.with(
                            List.of(
                                    new Fault.Planned(
                                            new Moment.After(0), new Fault.CutBulkAt(at)))));
            run(
                    CALM.with(
                            List.of(
                                    new Fault.Planned(
                                            new Moment.After(0), new Fault.FlipBulk(8 * at + 3)))));
        }
    }

    @Test
    void aSlowSecondaryMakesEpochsLongerAndLosesNothing() {
        List<Fault.Planned> stalls = new ArrayList<>();
        for (int i = 1; i < 8; i++) {
            stalls.add(
                    new Fault.Planned(
                            new Moment.At(Mark.BULK_SENT, 3L * i),
                            new Fault.StallBulk(30_000_000)));
        }
        Schedule.Result slow = run(CALM.with(stalls));
        Schedule.Result quick = run(CALM.with(List.of()));
        assertThat(slow.marks().get(Mark.SECONDARY_SENT))
                .isLessThan(quick.marks().get(Mark.SECONDARY_SENT));
    }
}
