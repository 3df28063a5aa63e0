package holdfast.engine.port;

import holdfast.wire.colo.ToPrimary;

/**
 * A secondary's back channel. Calls return at once: what cannot be sent is reported as a lost peer,
 * never as an exception.
 */
public interface SecondaryLink extends AutoCloseable {
    void send(long epoch, ToPrimary message);

    /** Tells the primary to stop its copy for good and confirm. */
    void claim(String reason);

    /** Confirms that the replica is discarded, and why the session ends. */
    void discarded(String reason);

    /** Sends what is queued, within the link's deadline, and closes. */
    @Override
    void close();
}
