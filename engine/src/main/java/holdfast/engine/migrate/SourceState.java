package holdfast.engine.migrate;

import java.util.List;
import java.util.Optional;

/**
 * Where a migration's source stands.
 *
 * <pre>
 * Copying(0..n), Waiting --fits--&gt; Suspending --Frozen--&gt; Sending --written--&gt; Finishing --FINISHED--&gt; HandedOver --TAKEN_OVER--&gt; Finished
 *      |                      |                     |                     |                      |  peer lost
 *      +----------------------+---------------------+---------------------+                      v
 *                failure, cancel, peer lost                                                    Asking --answer--&gt; Finished
 *                             v
 *                        RollingBack --ROLLED_BACK, peer lost, deadline--&gt; Resuming --runs--&gt; Finished
 * </pre>
 */
public sealed interface SourceState {
    /** How far the destination's preparation is. */
    enum Peer {
        /** Its hypervisor is being started. */
        PREPARING,
        /** It waits, stopped. */
        READY
    }

    /** Whether the guest runs here. */
    enum Guest {
        RUNNING,
        SUSPENDED
    }

    /** Before the hand-over: every failure ends with the guest running here. */
    sealed interface BeforeHandOver extends SourceState {
        Guest guest();
    }

    /**
     * After the hand-over. None of these is a {@link BeforeHandOver}, and no step leads back to
     * one.
     */
    sealed interface AfterHandOver extends SourceState {
        Handover handover();
    }

    /**
     * What was handed over.
     *
     * @param generation the destination's
     * @param ended why the copy here is gone, if it is: then nothing can be given back
     */
    record Handover(long generation, List<FeatureReport> reports, Optional<String> ended) {
        public Handover {
            reports = List.copyOf(reports);
        }

        Handover endedHere(String reason) {
            return new Handover(generation, reports, Optional.of(ended.orElse(reason)));
        }
    }

    /**
     * The guest runs while a round travels.
     *
     * @param urgency whether this is the last round whatever it shows
     */
    record Copying(int round, PrecopyPolicy.Course course, Peer peer, Urgency urgency)
            implements BeforeHandOver {
        /** Whether rounds go on for as long as the policy wants. */
        public enum Urgency {
            AS_POLICY_SAYS,
            /** The next round is the last one. */
            STOP_NEXT,
            /** This is the last one, whatever it shows; the device base went before it. */
            LAST
        }

        @Override
        public Guest guest() {
            return Guest.RUNNING;
        }
    }

    /** The round is over and the destination is not ready yet; the guest runs meanwhile. */
    record Waiting(int round, PrecopyPolicy.Course course, Copying.Urgency urgency)
            implements BeforeHandOver {
        @Override
        public Guest guest() {
            return Guest.RUNNING;
        }
    }

    /** The guest is being suspended and its state saved. */
    record Suspending(int rounds) implements BeforeHandOver {
        @Override
        public Guest guest() {
            return Guest.SUSPENDED;
        }
    }

    /** The last pages and the device state travel. */
    record Sending(int rounds) implements BeforeHandOver {
        @Override
        public Guest guest() {
            return Guest.SUSPENDED;
        }
    }

    /** The destination loads the state and brings its features up. */
    record Finishing() implements BeforeHandOver {
        @Override
        public Guest guest() {
            return Guest.SUSPENDED;
        }
    }

    /** The destination takes everything down again. */
    record RollingBack(String reason, Guest guest) implements BeforeHandOver {}

    /** The destination has let go, or is lost; the guest is being resumed. */
    record Resuming(String reason, List<FeatureReport> reports) implements BeforeHandOver {
        @Override
        public Guest guest() {
            return Guest.SUSPENDED;
        }
    }

    /** HAND_OVER was sent; whether the destination has it is not known yet. */
    record HandedOver(Handover handover) implements AfterHandOver {}

    /** The destination fell silent after HAND_OVER: it is asked until it answers. */
    record Asking(Handover handover, String reason) implements AfterHandOver {}

    /**
     * The destination said, having written it down, that it never ran the guest and never will:
     * this copy is the only one again.
     */
    record GivenBack(Handover handover, String reason) implements AfterHandOver {}

    /** Over. */
    record Finished(SourceOutcome outcome) implements SourceState {}
}
