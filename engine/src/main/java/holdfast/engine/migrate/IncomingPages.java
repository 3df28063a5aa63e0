package holdfast.engine.migrate;

import java.lang.foreign.MemorySegment;
import java.util.Optional;

/** What the connections of a migration carried beside main memory and the device sections. */
public interface IncomingPages extends AutoCloseable {
    /** The newest RAM blocks outside main memory. */
    Optional<MemorySegment> base();

    /** Ends the readers and frees what they read. Idempotent. */
    @Override
    void close();
}
