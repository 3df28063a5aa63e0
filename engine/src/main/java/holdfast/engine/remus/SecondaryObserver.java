package holdfast.engine.remus;

/**
 * Sees what a secondary's session does: for status, metrics and logs. Called on the session's
 * thread; must not block.
 */
public interface SecondaryObserver {
    /** The one place where a state is replaced. */
    void transition(SecondaryState from, SecondaryEvent event, SecondaryState to);

    /** The checkpoint of {@code epoch} is in the replica: {@code pages} pages in {@code nanos}. */
    void applied(long epoch, long pages, long nanos);

    /** The session is over. Called after everything of the session was given back. */
    void finished(SecondaryOutcome outcome);

    /** A step of the ending failed; the rest was done all the same. */
    void trouble(String what, RuntimeException failure);
}
