package holdfast.node.session;

import java.time.Instant;
import java.util.Optional;

/**
 * What a primary's session has done so far. Percentiles look back over the last {@value
 * PrimaryMeters#KEPT} checkpoints; times of stages are medians.
 *
 * @param protectedSince when the first checkpoint was committed
 * @param lastCommitAgeMillis -1 before the first commit
 * @param streamBytes on the bulk stream, live stage included
 * @param checkpointsPerSecond over the last ten seconds
 * @param backPressureMillis for how long the last checkpoint was due but not granted
 * @param failures captures that failed and were tried again
 */
public record PrimaryFigures(
        Optional<Instant> protectedSince,
        long epochsCommitted,
        long lastCommitAgeMillis,
        long pauseMicrosP50,
        long pauseMicrosP99,
        long pauseMicrosMax,
        long suspendMicros,
        long stateMicros,
        long outputMicros,
        long trackMicros,
        long copyMicros,
        long resumeMicros,
        long dirtyPagesP50,
        long dirtyPagesP99,
        long streamBytes,
        double checkpointsPerSecond,
        long backPressureMillis,
        long failures) {}
