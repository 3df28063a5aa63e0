package holdfast.engine.migrate;

/** Slows a running guest down. */
public interface ThrottledGuest extends AutoCloseable {
    /** One that runs as it likes, whatever is said. */
    static ThrottledGuest unthrottled() {
        return new ThrottledGuest() {
            @Override
            public void throttle(int percent) {}

            @Override
            public void close() {}
        };
    }

    /**
     * The guest runs so many percent of the time less; 0 lets it run as it likes. Returns at once.
     */
    void throttle(int percent);

    /** As {@code throttle(0)}, for good. */
    @Override
    void close();
}
