package holdfast.engine.xlmigrate;

/** How far a receiver has come. */
public sealed interface ReceiverState {
    /** A stream that ends with END is arriving. */
    record ReceivingDomain() implements ReceiverState {}

    /**
     * A stream of checkpoints is arriving.
     *
     * @param checkpoints those that are complete
     * @param endOffset the first byte behind the last complete one, 0 while there is none
     */
    record ReceivingCheckpoints(long checkpoints, long endOffset) implements ReceiverState {}

    /** The whole stream is here and is being forced to the disk; the sender still waits. */
    record SecuringDomain(long bytes) implements ReceiverState {}

    /** The sender was told that its domain is here. */
    record AwaitingPermission(long bytes) implements ReceiverState {}

    /** The stream is cut behind its last complete checkpoint and forced to the disk. */
    record SecuringCheckpoint(ReceiverOutcome.CheckpointKept then) implements ReceiverState {}

    /** The image is on the disk and gets its name; {@code then} holds if it does. */
    record Publishing(ReceiverOutcome then) implements ReceiverState {}

    /** Nothing more happens. */
    record Ended(ReceiverOutcome outcome) implements ReceiverState {}
}
