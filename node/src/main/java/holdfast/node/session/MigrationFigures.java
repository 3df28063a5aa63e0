package holdfast.node.session;

import holdfast.engine.migrate.PrecopyPolicy;
import holdfast.engine.migrate.SourceObserver;

import java.util.EnumMap;
import java.util.Map;
import java.util.Optional;

/**
 * What a source has measured.
 *
 * @param newest the last round that is over
 * @param rounds that are over
 * @param throttlePercent how much the guest is slowed down
 * @param stagesMicros of the guest's pause, as far as it has come
 * @param downtimeNanos from the order to stop until the destination said that the guest runs; 0
 *     before
 * @param totalNanos from the begin until the end, or until now
 */
public record MigrationFigures(
        Optional<PrecopyPolicy.Measured> newest,
        int rounds,
        int throttlePercent,
        Map<SourceObserver.Stage, Long> stagesMicros,
        long downtimeNanos,
        long totalNanos,
        long finalPages,
        long stateBytes) {
    public MigrationFigures {
        stagesMicros = stagesMicros.isEmpty() ? Map.of() : Map.copyOf(new EnumMap<>(stagesMicros));
    }
}
