package holdfast.node.api;

/** Hears how far a long operation is. Calls come one at a time and must not block for long. */
@FunctionalInterface
public interface ProgressListener {
    void progress(Progress progress);

    /** Hears nothing. */
    static ProgressListener none() {
        return _ -> {};
    }
}
