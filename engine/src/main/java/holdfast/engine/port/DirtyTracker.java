package holdfast.engine.port;

import holdfast.engine.memory.PfnSet;

/** Knows which pages of a guest were written. One thread at a time. */
public interface DirtyTracker extends AutoCloseable {
    /**
     * The way pages are found, for logs and the operator: {@code write-protect}, {@code soft-dirty}
     * or {@code compare}.
     */
    String kind();

    /**
     * Adds to {@code into} every page that the guest wrote since the last call (since the tracker
     * was opened, the first time) and starts anew. Destructive: the caller must send these pages or
     * merge the set back. Right while the guest runs, too: a write during the call is reported by
     * this call or the next one, never lost.
     *
     * @throws holdfast.engine.HypervisorException if it cannot be known what was written: {@code
     *     into} may hold a part, and the caller must treat every page as written
     */
    void collect(PfnSet into);

    /** Ends tracking; the guest runs on unharmed. */
    @Override
    void close();
}
