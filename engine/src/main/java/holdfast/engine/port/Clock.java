package holdfast.engine.port;

/** A monotonic clock. */
@FunctionalInterface
public interface Clock {
    /** Nanoseconds since an arbitrary instant; never goes back. */
    long nanos();
}
