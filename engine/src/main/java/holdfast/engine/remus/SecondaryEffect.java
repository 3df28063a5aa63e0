package holdfast.engine.remus;

import holdfast.wire.colo.ToPrimary;

/** What a secondary's session wants done. Performed in order, by the session's thread. */
public sealed interface SecondaryEffect {
    /**
     * Start the standby; answer with {@link SecondaryEvent.StandbyReady} or {@link
     * SecondaryEvent.StandbyFailed}.
     */
    record PrepareStandby() implements SecondaryEffect {}

    /** Send a checkpoint message over the back channel. */
    record Send(long epoch, ToPrimary message) implements SecondaryEffect {}

    /**
     * Make the disk writes of {@code epoch} durable; answer with {@link
     * SecondaryEvent.DisksCommitted} or {@link SecondaryEvent.DisksFailed}.
     */
    record CommitDisks(long epoch) implements SecondaryEffect {}

    /** Apply the buffered checkpoint to the replica; answer with {@link SecondaryEvent.Applied}. */
    record Apply(long epoch) implements SecondaryEffect {}

    /**
     * Let the standby load the state of {@code epoch} without letting the guest run; answer with
     * {@link SecondaryEvent.Rehearsed} or {@link SecondaryEvent.RehearsalFailed}.
     */
    record Rehearse(long epoch) implements SecondaryEffect {}

    /** Forget what is buffered of an uncommitted checkpoint. */
    record DiscardPartial() implements SecondaryEffect {}

    /** Ask the arbiter; answer with {@link SecondaryEvent.Verdict}. */
    record AskArbiter() implements SecondaryEffect {}

    /** Tell the primary, should it still listen, that the domain is ours and that it must stop. */
    record ClaimDomain(String reason) implements SecondaryEffect {}

    /**
     * Let the standby go on from {@code epoch}; answer with {@link SecondaryEvent.TookOver} or
     * {@link SecondaryEvent.StandbyFailed}.
     */
    record TakeOver(long epoch) implements SecondaryEffect {}

    /** End the session: the standby is discarded unless it survived or its take-over failed. */
    record Finish(SecondaryOutcome outcome) implements SecondaryEffect {}
}
