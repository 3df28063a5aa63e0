package holdfast.engine.xlmigrate;

/** What happens to a receiver. Reasons say what, where, found and expected. */
public sealed interface ReceiverEvent {
    /**
     * A checkpoint is complete and has kept every rule.
     *
     * @param checkpoint its number, from 1
     * @param endOffset the first byte behind it
     */
    record CheckpointComplete(long checkpoint, long endOffset) implements ReceiverEvent {}

    /** The stream's END is here, and all before it has kept every rule. */
    record StreamComplete(long bytes) implements ReceiverEvent {}

    /** What the sender sent has come to its end of file. */
    record SenderGone(String reason) implements ReceiverEvent {}

    /** The sender sent what breaks a rule, or more than was allowed. */
    record SenderViolated(String reason) implements ReceiverEvent {}

    /** Nothing came for as long as was granted. Silence is not death. */
    record SenderSilent(String reason) implements ReceiverEvent {}

    /** A message could not be written to the sender. */
    record SenderUnreachable(String reason) implements ReceiverEvent {}

    /** This process was told to end. */
    record Stopped(String reason) implements ReceiverEvent {}

    /** The sender gave its domain away. */
    record PermissionReceived() implements ReceiverEvent {}

    /** The image is on the disk, under no name yet. */
    record ImageSecured() implements ReceiverEvent {}

    /** The image has its name. */
    record ImagePublished() implements ReceiverEvent {}

    /** The image could not be written, forced to the disk or named. */
    record ImageFailed(String reason) implements ReceiverEvent {}
}
