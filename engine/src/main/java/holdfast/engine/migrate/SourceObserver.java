package holdfast.engine.migrate;

/** Hears what a source's session does. Called on the session's thread. */
public interface SourceObserver {
    /** Before the step's effects; must be quick, for the guest may stand still. */
    void transition(SourceState from, SourceEvent event, SourceState to);

    /** The effects of a step are performed. */
    default void performed(SourceState from, SourceState to) {}

    /** A round was measured. */
    void round(PrecopyPolicy.Measured measured, int throttlePercent);

    /** A part of the guest's pause is over. */
    void stage(Stage stage, long nanos);

    /** The parts of a pause, in order. */
    enum Stage {
        /** From the order to stop until the guest stands still. */
        SUSPEND,
        /** Until its device state is saved and its last pages are known. */
        SAVE,
        /** Until everything is handed to the transport. */
        SEND,
        /** Until the destination has everything up. */
        FINISH,
        /** Until the destination says that the guest runs. */
        HAND_OVER
    }

    /** Nothing follows. */
    void finished(SourceOutcome outcome);

    /** A step of an ending failed; the others were tried. */
    void trouble(String what, RuntimeException failure);
}
