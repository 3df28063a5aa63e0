package holdfast.engine.migrate;

/**
 * A destination's way to its source. Calls return at once; what cannot be sent is reported as a
 * lost peer, never as an exception.
 */
public interface DestinationLink extends AutoCloseable {
    void prepared(Cookies.Prepared cookie);

    void finished(Cookies.Finished cookie);

    void takenOver(Cookies.TakenOver cookie);

    void rolledBack(Cookies.RolledBack cookie);

    /** Ends the connections that carry pages. */
    void stopReceiving();

    /** Sends what is queued, within the link's deadline, and closes. */
    @Override
    void close();
}
