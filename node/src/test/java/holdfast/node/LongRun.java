package holdfast.node;

/**
 * Tests that are variations of others, each with processes of its own: they run where {@code
 * -Dholdfast.kills=...} asks for long runs.
 */
final class LongRun {
    static final String TAG = "long";

    private LongRun() {}
}
