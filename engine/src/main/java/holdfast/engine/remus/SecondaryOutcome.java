package holdfast.engine.remus;

/** How a secondary's session ended. */
public sealed interface SecondaryOutcome {
    /** One sentence for the operator. */
    String reason();

    /** The domain runs here from {@code epoch}. */
    record Survived(long epoch, String reason) implements SecondaryOutcome {}

    /** The replica is discarded; the domain is not here. */
    record Discarded(String reason) implements SecondaryOutcome {}

    /**
     * The right to run was won but the domain could not be resumed here; the replica is kept for
     * repair.
     */
    record TakeOverFailed(long epoch, String reason) implements SecondaryOutcome {}
}
