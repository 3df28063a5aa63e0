package holdfast.engine.port;

import holdfast.engine.memory.CheckpointDigest;
import holdfast.wire.colo.ToSecondary;

import java.io.IOException;

/**
 * A primary's way to its secondary. Calls return at once: what cannot be sent is reported as a lost
 * peer, never as an exception. What is sent on the control connection arrives in order; the bulk
 * stream is not ordered against it.
 */
public interface PrimaryLink extends AutoCloseable {
    /**
     * One piece of the bulk stream. Runs on the link's sender thread, one after another, in the
     * order given.
     */
    @FunctionalInterface
    interface BulkPiece {
        /**
         * Writes the piece; blocks as long as the secondary does not read. A failure is reported as
         * a lost peer by the link.
         */
        void write() throws IOException;
    }

    void send(long epoch, ToSecondary message);

    void sendDigest(long epoch, CheckpointDigest digest);

    void transmit(BulkPiece piece);

    /** Asks the secondary to discard the replica and confirm. */
    void dismiss(String reason);

    /**
     * Tells the secondary that the domain's process died here: the silence that follows is a death.
     */
    void domainDied(String reason);

    /** Confirms that this node's copy and its output have stopped for good. */
    void stoodDown();

    /** Sends what is queued, within the link's deadline, and closes. */
    @Override
    void close();
}
