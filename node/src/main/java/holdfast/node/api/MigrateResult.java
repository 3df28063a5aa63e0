package holdfast.node.api;

/**
 * How a migration ended.
 *
 * @param outcome {@code moved}: the domain runs on {@code node}; {@code stayed}: it runs where it
 *     was; {@code ended}: its guest shut down or its process died meanwhile
 */
public record MigrateResult(
        String domain,
        String node,
        String outcome,
        String reason,
        double totalMillis,
        double downtimeMillis,
        MigrationStatus migration) {
    public static final String MOVED = "moved";

    /** Whether the domain runs on the destination. */
    public boolean moved() {
        return outcome.equals(MOVED);
    }
}
