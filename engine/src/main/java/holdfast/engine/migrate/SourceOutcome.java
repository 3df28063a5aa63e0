package holdfast.engine.migrate;

import java.util.List;

/** How a migration ended for its source. */
public sealed interface SourceOutcome {
    String reason();

    /** What became of the features. */
    List<FeatureReport> reports();

    /** The domain runs on the destination; this copy was ended. */
    record Moved(long generation, String reason, List<FeatureReport> reports)
            implements SourceOutcome {}

    /** The domain runs here, as it did before. */
    record RolledBack(String reason, List<FeatureReport> reports) implements SourceOutcome {}

    /** The domain ended by itself meanwhile; it runs nowhere. */
    record DomainEnded(String reason, List<FeatureReport> reports) implements SourceOutcome {}
}
