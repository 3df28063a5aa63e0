package holdfast.sim;

import static org.assertj.core.api.Assertions.assertThatCode;

import holdfast.sim.fault.Fault;
import holdfast.sim.fault.Moment;
import holdfast.sim.fault.Site;
import holdfast.sim.link.ControlConnection.Damage;
import holdfast.sim.link.ControlConnection.Side;
import holdfast.sim.world.Plan.ArbiterKind;
import holdfast.sim.world.Plans;
import holdfast.sim.world.Schedule;
import holdfast.sim.world.Trace;
import holdfast.sim.world.Variants;

import org.junit.jupiter.api.Test;

import java.util.List;

/** Each of these once broke a promise; the faults are kept, not the seeds that drew them. */
class FoundBySimulationTest {
    private static final long MILLI = 1_000_000;

    private static Fault.Planned after(long nanos, Fault fault) {
        return new Fault.Planned(new Moment.After(nanos), fault);
    }

    /** A few seeds, so that the messages cross in different places. */
    private static void holds(ArbiterKind arbiter, Fault.Planned... faults) {
        for (long seed = 1; seed <= 6; seed++) {
            long which = seed;
            assertThatCode(
                            () ->
                                    new Schedule(
                                                    Plans.calm(which, arbiter)
                                                            .with(List.of(faults)),
                                                    Variants.NONE,
                                                    Trace.Keeping.NOTHING)
                                            .run())
                    .as("seed %d", which)
                    .doesNotThrowAnyException();
        }
    }

    /** Random plan 207834824075300: the primary destroyed its copy, the secondary the replica. */
    @Test
    void unprotectAndFailOverMayCross() {
        for (ArbiterKind arbiter : ArbiterKind.values()) {
            holds(
                    arbiter,
                    after(25 * MILLI, new Fault.Unprotect()),
                    after(25 * MILLI + 100_000, new Fault.FailOver()));
            holds(
                    arbiter,
                    after(25 * MILLI, new Fault.FailOver()),
                    after(25 * MILLI + 100_000, new Fault.Unprotect()));
        }
    }

    /**
     * Random plan 220951384535496: claiming closed the bulk stream, which looked like a lost
     * primary, so the arbiter was asked about a mere move; and a dismissal that came then discarded
     * what the arbiter was about to give to this side.
     */
    @Test
    void aDismissalMayMeetAClaimWhoseAnswerIsUnreadable() {
        for (long index = 5; index < 40; index++) {
            holds(
                    ArbiterKind.OPERATOR,
                    after(25 * MILLI, new Fault.FailOver()),
                    after(0, new Fault.DamageControl(Side.PRIMARY, index, Damage.FRAMING)));
        }
    }

    /** Random plan 113755907621206: the exception ended the session's thread. */
    @Test
    void aReleaseMayFail() {
        holds(ArbiterKind.OPERATOR, after(0, new Fault.FailCall(Site.GATE_RELEASE, 0)));
        holds(ArbiterKind.OPERATOR, after(0, new Fault.FailCall(Site.GATE_RELEASE, 2)));
    }

    /** Random plan 128235241698811: the domain ran, and nobody heard it. */
    @Test
    void aDetachMayFail() {
        holds(
                ArbiterKind.NONE,
                after(0, new Fault.FailCall(Site.GATE_DETACH, 0)),
                after(25 * MILLI, new Fault.Unprotect()));
    }

    /** The replica was discarded while the primary made way for it. */
    @Test
    void theAnswerToAClaimMayBeDamaged() {
        for (long index = 5; index < 40; index++) {
            holds(
                    ArbiterKind.GENERATION,
                    after(25 * MILLI, new Fault.FailOver()),
                    after(0, new Fault.DamageControl(Side.SECONDARY, index, Damage.BODY)));
        }
    }
}
