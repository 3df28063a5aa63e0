package holdfast.engine.migrate;

/** Slows a running guest down. */
public interface ThrottledGuest extends AutoCloseable {
    /**
     * The guest runs so many percent of the time less; 0 lets it run as it likes. Returns at once.
     */
    void throttle(int percent);

    /** As {@code throttle(0)}, for good. */
    @Override
    void close();
}
