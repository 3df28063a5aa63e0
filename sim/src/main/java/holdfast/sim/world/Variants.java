package holdfast.sim.world;

import holdfast.engine.port.Arbiter;
import holdfast.engine.port.DirtyTracker;
import holdfast.engine.port.Domain;
import holdfast.engine.port.OutputGate;
import holdfast.engine.port.ReplicaDisks;
import holdfast.engine.port.Standby;
import holdfast.sim.guest.SimGuest;

import java.util.function.BiFunction;
import java.util.function.UnaryOperator;

/**
 * Puts other ports before those of a simulation, such as ones that are wrong on purpose: a checker
 * that has never caught anything proves nothing.
 *
 * @param replica the secondary's disks
 * @param standby gets the standby and the protected guest
 */
public record Variants(
        UnaryOperator<Domain> domain,
        UnaryOperator<DirtyTracker> tracker,
        UnaryOperator<OutputGate> gate,
        UnaryOperator<ReplicaDisks> replica,
        BiFunction<Standby, SimGuest, Standby> standby,
        UnaryOperator<Arbiter> primaryArbiter,
        UnaryOperator<Arbiter> secondaryArbiter) {
    /** Nothing is replaced. */
    public static final Variants NONE =
            new Variants(
                    UnaryOperator.identity(),
                    UnaryOperator.identity(),
                    UnaryOperator.identity(),
                    UnaryOperator.identity(),
                    (standby, _) -> standby,
                    UnaryOperator.identity(),
                    UnaryOperator.identity());

    public Variants withTracker(UnaryOperator<DirtyTracker> other) {
        return new Variants(
                domain, other, gate, replica, standby, primaryArbiter, secondaryArbiter);
    }

    public Variants withGate(UnaryOperator<OutputGate> other) {
        return new Variants(
                domain, tracker, other, replica, standby, primaryArbiter, secondaryArbiter);
    }

    public Variants withDomain(UnaryOperator<Domain> other) {
        return new Variants(
                other, tracker, gate, replica, standby, primaryArbiter, secondaryArbiter);
    }

    public Variants withReplica(UnaryOperator<ReplicaDisks> other) {
        return new Variants(
                domain, tracker, gate, other, standby, primaryArbiter, secondaryArbiter);
    }

    public Variants withStandby(BiFunction<Standby, SimGuest, Standby> other) {
        return new Variants(
                domain, tracker, gate, replica, other, primaryArbiter, secondaryArbiter);
    }

    public Variants withSecondaryArbiter(UnaryOperator<Arbiter> other) {
        return new Variants(domain, tracker, gate, replica, standby, primaryArbiter, other);
    }
}
