package holdfast.engine.remus;

import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.port.Arbiter;
import holdfast.wire.colo.ToPrimary;

/** What can happen to a primary's session. */
public sealed interface PrimaryEvent {
    /**
     * A checkpoint message came in over the back channel for {@code epoch}; READY carries epoch 0.
     */
    record FromSecondary(long epoch, ToPrimary message) implements PrimaryEvent {}

    /** The secondary has what the disks hold, and gets every write from here on. */
    record DisksSynchronised() implements PrimaryEvent {}

    /**
     * Writes to the disks do not reach the secondary any more; the domain and its own disks are
     * unharmed.
     */
    record DisksFailed(String reason) implements PrimaryEvent {}

    /** Round {@code round} of the live stage was handed to the transport. */
    record RoundSent(int round, long sentPages) implements PrimaryEvent {}

    /**
     * The guest wrote {@code dirtyPages} pages while round {@code round} of the live stage
     * travelled.
     */
    record RoundCopied(int round, long sentPages, long dirtyPages) implements PrimaryEvent {}

    /** The interval of {@code epoch} has passed, or its held output fills up. */
    record IntervalElapsed(long epoch) implements PrimaryEvent {}

    /**
     * The checkpoint is frozen and the guest runs again. {@code stateBytes}: length of the device
     * state.
     */
    record Captured(long epoch, long stateBytes) implements PrimaryEvent {}

    /** The checkpoint could not be taken; the guest runs again and no dirty page was lost. */
    record CaptureFailed(long epoch, String reason) implements PrimaryEvent {}

    /** All bytes of the checkpoint were handed to the transport. */
    record Transmitted(long epoch, CheckpointDigest digest) implements PrimaryEvent {}

    /**
     * No commit came within the checkpoint's deadline though the secondary still answers
     * heartbeats.
     */
    record CheckpointOverdue(long epoch) implements PrimaryEvent {}

    /**
     * Round {@code round} of the live stage, or with {@link #STANDBY_START} the start of the
     * standby, takes too long though the secondary still answers heartbeats.
     */
    record LiveStageOverdue(int round) implements PrimaryEvent {
        /** Before the first round. */
        public static final int STANDBY_START = -1;
    }

    /** The secondary did not confirm within the deadline that it has discarded the replica. */
    record DismissalOverdue() implements PrimaryEvent {}

    /** The link broke or fell silent. */
    record PeerLost(String reason) implements PrimaryEvent {}

    /** The secondary broke the protocol. It is never a reason to fail over. */
    record PeerViolated(String reason) implements PrimaryEvent {}

    /**
     * The secondary ended the session and has discarded the replica: it cannot take over any more.
     */
    record PeerClosed(String reason) implements PrimaryEvent {}

    /** The secondary has discarded the replica, as it was told to. */
    record Dismissed() implements PrimaryEvent {}

    /** The secondary won the generation and took the domain over. */
    record PeerTookOver(String reason) implements PrimaryEvent {}

    /** The arbiter's answer. */
    record Verdict(Arbiter.Verdict verdict) implements PrimaryEvent {}

    /**
     * The operator ends protection together with the secondary. No verdict: where the secondary was
     * lost meanwhile nobody has said that it is dead, and this has no effect.
     */
    record Unprotect() implements PrimaryEvent {}

    /** The domain's process is gone or no longer obeys. */
    record DomainEnded(String reason, PrimaryOutcome.Ending ending) implements PrimaryEvent {}

    /**
     * Something this session needs on its own node failed (memory, output hold, tracker); the
     * domain itself runs.
     */
    record SessionFailed(String reason) implements PrimaryEvent {}
}
