package holdfast.sim.world;

import holdfast.engine.port.Arbiter;
import holdfast.engine.remus.PrimaryOutcome;
import holdfast.engine.remus.SecondaryOutcome;
import holdfast.sim.check.Violation;
import holdfast.sim.check.Violation.Invariant;
import holdfast.sim.fault.Fault;
import holdfast.sim.fault.Site;

import java.util.Optional;
import java.util.Set;

/**
 * The part of I4 that is about a domain which nobody runs.
 *
 * @param struck faults that struck
 * @param failedCalls calls that failed
 */
record Excuse(
        PrimarySide primary,
        SecondarySide secondary,
        Ruling ruling,
        Set<Class<? extends Fault>> struck,
        Set<Site> failedCalls) {
    /** Why nobody runs the domain: only what no protocol could have prevented counts. */
    String text() {
        boolean ownEnd =
                struck.contains(Fault.DomainDies.class)
                        || struck.contains(Fault.DomainShutsDown.class)
                        || failedCalls.contains(Site.RESUME);
        boolean primaryLost = !primary.node().alive() || ownEnd;
        boolean secondaryLost =
                !secondary.node().alive()
                        || secondary.outcome().orElse(null)
                                        instanceof SecondaryOutcome.TakeOverFailed
                                && (failedCalls.contains(Site.STANDBY_TAKE_OVER)
                                        || failedCalls.contains(Site.REPLICA_SETTLE)
                                        || struck.contains(Fault.StandbyDies.class));
        if (!primaryLost) {
            if (primary.outcome().orElse(null) instanceof PrimaryOutcome.StoodDown
                    && secondaryLost) {
                return "handed over to a node that was lost then";
            }
            throw new Violation(
                    Invariant.I4,
                    "the primary's node and domain were well, but nobody runs the domain: the"
                            + " primary is in "
                            + primary.state()
                            + ", the secondary in "
                            + secondary.state());
        }
        if (secondaryLost) {
            return "both sides were lost";
        }
        if (struck.contains(Fault.DomainShutsDown.class)) {
            return "the guest shut itself down";
        }
        if (secondary.outcome().orElse(null) instanceof SecondaryOutcome.Discarded) {
            if (secondary.state().committed() < 0) {
                return "lost before the first commit";
            }
            if (primary.dismissSent()) {
                return "lost after protection was ended";
            }
            if (ruling.owner().equals(Optional.of(Arbiter.Role.PRIMARY))) {
                return "the primary won the domain, then was lost";
            }
            if (struck.contains(Fault.FlipBulk.class)
                    || struck.contains(Fault.DamageControl.class)
                    || struck.contains(Fault.CutBulk.class)
                    || struck.contains(Fault.CutBulkAt.class)
                    || struck.contains(Fault.CutAll.class)
                    || struck.contains(Fault.CutDisk.class)
                    || struck.contains(Fault.StandbyDies.class)
                    || failedCalls.contains(Site.REPLICA_WRITE)
                    || failedCalls.contains(Site.REPLICA_COMMIT)
                    || failedCalls.contains(Site.REPLICA_APPLY)
                    || failedCalls.contains(Site.STANDBY_PREPARE)) {
                return "protection had failed before";
            }
        }
        throw new Violation(
                Invariant.I4,
                "the primary was lost and a commit existed, but nobody runs the domain: the primary"
                        + " is in "
                        + primary.state()
                        + ", the secondary in "
                        + secondary.state());
    }
}
