package holdfast.engine.xlmigrate;

/** What became of the image, and what the sender knows. The domain never runs here. */
public sealed interface ReceiverOutcome {
    /** The image is kept, and the sender was told to let its own copy run on. */
    record DomainKept(long bytes) implements ReceiverOutcome {}

    /**
     * The image is kept, but the sender, past its point of no return, could not be told that its
     * own copy may run on.
     */
    record SenderUntold(long bytes, String reason) implements ReceiverOutcome {}

    /** The image of a checkpoint is kept. */
    sealed interface CheckpointKept extends ReceiverOutcome {
        /** Its number, from 1. */
        long checkpoint();

        long bytes();

        /** Why the stream went no further. */
        String reason();
    }

    /** The sender is gone; the image is what it protected its domain with. */
    record FailOver(long checkpoint, long bytes, String reason) implements CheckpointKept {}

    /** The stream broke, while its sender may well be alive: no reason to fail over. */
    record Interrupted(long checkpoint, long bytes, String reason) implements CheckpointKept {}

    /**
     * The image is whole, but could not be forced to the disk or get its name: it stays where it
     * was written, for it may be all there is.
     */
    record LeftAside(String reason) implements ReceiverOutcome {}

    /** There is no image. The sender, if it lives, lets its own copy run on. */
    record NothingKept(String reason) implements ReceiverOutcome {}
}
