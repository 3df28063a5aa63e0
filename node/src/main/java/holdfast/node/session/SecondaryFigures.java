package holdfast.node.session;

import java.time.Instant;
import java.util.Optional;

/**
 * What a secondary's session has done so far.
 *
 * @param protectedSince when the first checkpoint was committed
 * @param lastCommitAgeMillis -1 before the first commit
 * @param applyMicrosP50 to put a committed checkpoint into the replica
 * @param checkpointsPerSecond over the last ten seconds
 */
public record SecondaryFigures(
        Optional<Instant> protectedSince,
        long epochsCommitted,
        long lastCommitAgeMillis,
        long pagesP50,
        long pagesP99,
        long applyMicrosP50,
        long applyMicrosP99,
        double checkpointsPerSecond) {}
