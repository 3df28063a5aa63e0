package holdfast.engine.migrate;

import java.util.List;

/** How a migration ended for its destination. */
public sealed interface DestinationOutcome {
    String reason();

    /** The domain runs here. */
    record Arrived(long generation, String reason) implements DestinationOutcome {}

    /** It never ran here and never will; everything is given back. */
    record RolledBack(String reason, List<FeatureReport> reports) implements DestinationOutcome {}

    /**
     * It was handed over, and whether it ran before its process was ended is not known: no side may
     * go on by itself.
     */
    record Unknown(String reason) implements DestinationOutcome {}
}
