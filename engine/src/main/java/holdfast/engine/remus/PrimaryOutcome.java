package holdfast.engine.remus;

/** How protection ended on the primary, and so where the domain is. */
public sealed interface PrimaryOutcome {
    /** One sentence for the operator. */
    String reason();

    /** The domain runs here, without protection; its held output is out. */
    record Unprotected(String reason) implements PrimaryOutcome {}

    /** The other node owns the domain: this copy is stopped and never speaks again. */
    record StoodDown(String reason) implements PrimaryOutcome {}

    /** The domain's process here ended by itself; the secondary was told whether it is to go on. */
    record DomainEnded(String reason, Ending ending) implements PrimaryOutcome {}

    /** Why the domain's process ended. */
    enum Ending {
        /** The guest shut itself down: the replica is not needed any more. */
        SHUT_DOWN,
        /** It died: the secondary may go on from the last commit. */
        DIED
    }
}
