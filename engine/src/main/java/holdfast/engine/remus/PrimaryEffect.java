package holdfast.engine.remus;

import holdfast.engine.memory.CheckpointDigest;
import holdfast.wire.colo.ToSecondary;

/** What a primary's session wants done. Performed in order, by the session's thread. */
public sealed interface PrimaryEffect {
    /**
     * Copy what the disks hold and forward what is written to them from here on; answer with {@link
     * PrimaryEvent.DisksSynchronised} or, whenever it does not go on, {@link
     * PrimaryEvent.DisksFailed}.
     */
    record SynchroniseDisks() implements PrimaryEffect {}

    /**
     * Send the pages dirty now (all of them in round 0) while the guest runs; answer with {@link
     * PrimaryEvent.RoundSent}.
     */
    record CopyRound(int round) implements PrimaryEffect {}

    /** Collect what was written meanwhile; answer with {@link PrimaryEvent.RoundCopied}. */
    record CollectDirty(int round, long sentPages) implements PrimaryEffect {}

    /** From here on output is held. */
    record HoldOutput() implements PrimaryEffect {}

    /** Send a checkpoint message. */
    record Send(long epoch, ToSecondary message) implements PrimaryEffect {}

    /**
     * Suspend, freeze the checkpoint, resume; answer with {@link PrimaryEvent.Captured} or {@link
     * PrimaryEvent.CaptureFailed}.
     */
    record Capture(long epoch) implements PrimaryEffect {}

    /**
     * Write the frozen checkpoint to the bulk stream; answer with {@link PrimaryEvent.Transmitted}.
     */
    record Transmit(long epoch) implements PrimaryEffect {}

    /** Tell the secondary what it must have received. */
    record SendDigest(long epoch, CheckpointDigest digest) implements PrimaryEffect {}

    /**
     * Answer with {@link PrimaryEvent.IntervalElapsed} for {@code epoch} when its interval has
     * passed.
     */
    record StartInterval(long epoch) implements PrimaryEffect {}

    /**
     * Answer with {@link PrimaryEvent.CheckpointOverdue} for {@code epoch} at the checkpoint
     * deadline.
     */
    record StartDeadline(long epoch) implements PrimaryEffect {}

    /**
     * Answer with {@link PrimaryEvent.LiveStageOverdue} for {@code round} at the deadline, which is
     * that of a checkpoint: both may carry all of memory.
     */
    record StartRoundDeadline(int round) implements PrimaryEffect {}

    /** Answer with {@link PrimaryEvent.DismissalOverdue} at the deadline. */
    record StartDismissalDeadline() implements PrimaryEffect {}

    /** {@code epoch} is safe: its output may leave. */
    record ReleaseOutput(long epoch) implements PrimaryEffect {}

    /** Tell the secondary to discard the replica; answer with {@link PrimaryEvent.Dismissed}. */
    record Dismiss(String reason) implements PrimaryEffect {}

    /** Ask the arbiter; answer with {@link PrimaryEvent.Verdict}. */
    record AskArbiter() implements PrimaryEffect {}

    /**
     * End the session: see {@link PrimaryOutcome} for what becomes of the domain and of the held
     * output.
     */
    record Finish(PrimaryOutcome outcome) implements PrimaryEffect {}
}
