package holdfast.engine.remus;

/**
 * @param domain the domain's name
 * @param generation who owns the domain now; the next owner has a larger one
 * @param intervalNanos the guest runs this long between two checkpoints
 * @param deadlineNanos a checkpoint must be committed and applied within this time after its
 *     interval
 * @param live when the live stage ends
 */
public record PrimarySettings(
        String domain, long generation, long intervalNanos, long deadlineNanos, LivePolicy live) {
    public PrimarySettings {
        if (intervalNanos < 0 || deadlineNanos <= 0) {
            throw new IllegalArgumentException(
                    "intervalNanos " + intervalNanos + ", deadlineNanos " + deadlineNanos);
        }
    }
}
