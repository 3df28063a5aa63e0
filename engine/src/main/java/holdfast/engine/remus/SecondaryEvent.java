package holdfast.engine.remus;

import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.port.Arbiter;
import holdfast.wire.colo.ToSecondary;

/** What can happen to a secondary's session. */
public sealed interface SecondaryEvent {
    /** The standby waits. */
    record StandbyReady() implements SecondaryEvent {}

    /** A checkpoint message came in for {@code epoch}. */
    record FromPrimary(long epoch, ToSecondary message) implements SecondaryEvent {}

    /** The primary sent all of {@code epoch}, and this is what it sent. */
    record DigestReceived(long epoch, CheckpointDigest digest) implements SecondaryEvent {}

    /**
     * The bulk stream reached the end of the checkpoint of {@code epoch}; everything of it is
     * buffered.
     */
    record CheckpointArrived(long epoch, long stateBytes, CheckpointDigest digest)
            implements SecondaryEvent {}

    /** Every disk write of {@code epoch} was given to the replica's disks. */
    record DiskWritesArrived(long epoch) implements SecondaryEvent {}

    /** The disk writes of {@code epoch} are durable. */
    record DisksCommitted(long epoch) implements SecondaryEvent {}

    /** The replica's disks cannot take part any more: no room, an error of the device. */
    record DisksFailed(String reason) implements SecondaryEvent {}

    /** The standby loaded the state of {@code epoch} and waits again. */
    record Rehearsed(long epoch) implements SecondaryEvent {}

    /** The standby cannot load the domain's state. */
    record RehearsalFailed(String reason) implements SecondaryEvent {}

    /** The buffered checkpoint is in the replica. */
    record Applied(long epoch) implements SecondaryEvent {}

    /** The link broke or fell silent, or the domain died on the primary. */
    record PeerLost(String reason) implements SecondaryEvent {}

    /** The primary broke the protocol or its stream is corrupt. Never a reason to fail over. */
    record PeerViolated(String reason) implements SecondaryEvent {}

    /** The primary ends protection and goes on without a replica. */
    record Dismiss(String reason) implements SecondaryEvent {}

    /** The arbiter's answer. */
    record Verdict(Arbiter.Verdict verdict) implements SecondaryEvent {}

    /** The primary has stopped its copy and its output for good. */
    record PrimaryStoodDown() implements SecondaryEvent {}

    /**
     * The operator moves the domain here together with the primary. No verdict: where the primary
     * was lost meanwhile nobody has said that it is dead, and this has no effect.
     */
    record FailOver() implements SecondaryEvent {}

    /** The domain runs here. */
    record TookOver() implements SecondaryEvent {}

    /** The standby failed: it could not be started, died while waiting, or did not come up. */
    record StandbyFailed(String reason) implements SecondaryEvent {}
}
