package holdfast.engine.migrate;

import holdfast.engine.memory.CheckpointDigest;

import java.lang.foreign.MemorySegment;
import java.util.List;

/** What can happen to a migration's destination. */
public sealed interface DestinationEvent {
    /** The hypervisor waits, stopped. */
    record Prepared(Cookies.Prepared cookie) implements DestinationEvent {}

    /** RAM blocks outside main memory came before the guest was suspended. */
    record BaseArrived() implements DestinationEvent {}

    /** More of the device sections came, after all that can be known of main memory. */
    record SectionsArrived(MemorySegment part) implements DestinationEvent {}

    /** Every connection's stream is whole. */
    record StreamsWhole(List<CheckpointDigest> streams) implements DestinationEvent {
        public StreamsWhole {
            streams = List.copyOf(streams);
        }
    }

    /**
     * The copied disks are on stable storage as they were at a boundary.
     *
     * @param boundaries how many there were by now
     */
    record DisksForced(int boundaries) implements DestinationEvent {}

    /** The source says what it sent. */
    record SourcePerformed(List<CheckpointDigest> streams, Cookies.Performed cookie)
            implements DestinationEvent {
        public SourcePerformed {
            streams = List.copyOf(streams);
        }
    }

    /** A feature was brought up, or could not be. */
    record FeatureTried(FeatureReport report) implements DestinationEvent {}

    /** A feature was taken down, or could not be. */
    record FeatureDown(FeatureReport report) implements DestinationEvent {}

    /** The domain is this side's. */
    record SourceHandedOver(long generation) implements DestinationEvent {}

    /** The guest runs here. */
    record Runs(long runMicros, long runAtNanos) implements DestinationEvent {}

    /** The guest does not run, and it is certain that it never did. */
    record NeverRan(String reason) implements DestinationEvent {}

    /** Its process was ended, and it may have run before. */
    record MayHaveRun(String reason) implements DestinationEvent {}

    /** The source wants everything taken down. */
    record SourceCancelled(String reason) implements DestinationEvent {}

    /** The link broke or fell silent. */
    record SourceLost(String reason) implements DestinationEvent {}

    /** The source broke the protocol, or its bytes arrived damaged. */
    record SourceViolated(String reason) implements DestinationEvent {}

    /** Something of this side failed: the hypervisor died, say. */
    record Failed(String reason) implements DestinationEvent {}
}
