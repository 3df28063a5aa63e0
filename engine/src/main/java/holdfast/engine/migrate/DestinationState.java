package holdfast.engine.migrate;

import holdfast.engine.memory.CheckpointDigest;

import java.util.List;
import java.util.Optional;

/**
 * Where a migration's destination stands.
 *
 * <pre>
 * Preparing --&gt; Receiving --all arrived--&gt; BringingUp(0..n) --&gt; Ready --HAND_OVER--&gt; TakingOver --runs--&gt; Finished
 *     |             |                          |                  |                      | it cannot run
 *     +-------------+--------------------------+------------------+                      v
 *            failure, CANCEL, source lost                                             TakingDown, or Finished where
 *                          v                                                          it is not known whether it ran
 *                   TakingDown(n..0) --&gt; Finished
 * </pre>
 */
public sealed interface DestinationState {
    /** The hypervisor is being started; pages arrive already. */
    record Preparing(Arrived arrived) implements DestinationState {}

    /** Pages arrive. */
    record Receiving(Arrived arrived) implements DestinationState {}

    /**
     * What has come of the parts of the last step.
     *
     * @param streams each connection's digest, where it is whole
     * @param diskBoundaries up to which copied disks are on stable storage
     * @param announced what the source says that they are
     */
    record Arrived(
            Optional<List<CheckpointDigest>> streams,
            int diskBoundaries,
            Optional<Announced> announced) {
        static final Arrived NOTHING = new Arrived(Optional.empty(), 0, Optional.empty());
    }

    /** What the source says that it sent. */
    record Announced(List<CheckpointDigest> streams, int diskBoundaries) {
        public Announced {
            streams = List.copyOf(streams);
        }
    }

    /** The features that are left are brought up, the first of them now. */
    record BringingUp(List<Feature> left, List<FeatureReport> reports) implements DestinationState {
        public BringingUp {
            left = List.copyOf(left);
            reports = List.copyOf(reports);
        }
    }

    /** All is up; the guest waits for HAND_OVER. */
    record Ready(List<FeatureReport> reports) implements DestinationState {
        public Ready {
            reports = List.copyOf(reports);
        }
    }

    /** The domain was handed over and is this side's: it is written down, then it runs. */
    record TakingOver(long generation, List<FeatureReport> reports) implements DestinationState {
        public TakingOver {
            reports = List.copyOf(reports);
        }
    }

    /** What is up is taken down, the first of {@code left} now. */
    record TakingDown(
            String reason,
            List<FeatureReport> left,
            List<FeatureReport> reports,
            Possession possession)
            implements DestinationState {
        public TakingDown {
            left = List.copyOf(left);
            reports = List.copyOf(reports);
        }
    }

    /** Whose the domain is while everything is taken down. */
    enum Possession {
        /** It was never handed over. */
        SOURCE,
        /** It was, and could not run here: it is given back. */
        GIVEN_BACK
    }

    /** Over. */
    record Finished(DestinationOutcome outcome) implements DestinationState {}
}
