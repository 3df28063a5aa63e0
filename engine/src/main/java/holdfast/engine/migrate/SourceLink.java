package holdfast.engine.migrate;

import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.port.PrimaryLink;

import java.util.List;

/**
 * A source's way to its destination. Calls return at once; what cannot be sent is reported as a
 * lost peer, never as an exception.
 */
public interface SourceLink extends AutoCloseable {
    /** Connections that carry pages, 1 or more. */
    int connections();

    /** Writes a piece on one connection's own thread, after those that were given before. */
    void transmit(int connection, PrimaryLink.BulkPiece piece);

    void performed(List<CheckpointDigest> streams, Cookies.Performed cookie);

    void handOver(long generation);

    void cancel(String reason);

    /** Sends what is queued, within the link's deadline, and closes. */
    @Override
    void close();
}
