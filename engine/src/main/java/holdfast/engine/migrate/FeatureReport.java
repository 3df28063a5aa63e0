package holdfast.engine.migrate;

/**
 * What became of a feature on the destination.
 *
 * @param detail what was done, or what failed and what to do
 * @param micros how long that took
 */
public record FeatureReport(
        String name, Feature.Necessity necessity, Result result, String detail, long micros) {
    /** How far it got. */
    public enum Result {
        /** It is up. */
        UP,
        /** It could not be brought up. */
        FAILED,
        /** It was up, and was taken down again. */
        DOWN,
        /** It was up, and could not be taken down: something of it may be left. */
        DOWN_FAILED
    }

    /** Whether the domain must not move because of it. */
    boolean isFatal() {
        return result == Result.FAILED && necessity == Feature.Necessity.REQUIRED;
    }
}
