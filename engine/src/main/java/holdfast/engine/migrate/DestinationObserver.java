package holdfast.engine.migrate;

/** Hears what a destination's session does. Called on the session's thread. */
public interface DestinationObserver {
    void transition(DestinationState from, DestinationEvent event, DestinationState to);

    /** Nothing follows. */
    void finished(DestinationOutcome outcome);

    /** A step failed that nothing depends on. */
    void trouble(String what, RuntimeException failure);
}
