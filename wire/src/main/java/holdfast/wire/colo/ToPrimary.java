package holdfast.wire.colo;

/** What the secondary says. */
public sealed interface ToPrimary extends ColoMessage {
    /** The initial state is loaded; checkpoints may come. */
    record CheckpointReady() implements ToPrimary {}

    /** Go ahead; in hybrid mode the secondary is suspended now. */
    record CheckpointReply() implements ToPrimary {}

    /** The whole checkpoint is buffered here: held output may be released. */
    record VmstateReceived() implements ToPrimary {}

    /** The checkpoint is applied; in hybrid mode the secondary is about to run. */
    record VmstateLoaded() implements ToPrimary {}
}
