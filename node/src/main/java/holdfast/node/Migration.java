package holdfast.node;

import holdfast.node.api.MigrationStatus;

import java.time.Duration;

/** A migration of a domain of this node, as the rest of the node sees it. */
interface Migration {
    MigrationStatus status();

    /** Whether nothing more happens. */
    boolean over();

    /** Whether the domain was handed over and nobody has said yet that it runs there. */
    boolean undecided();

    /** Everything goes back, unless the domain was handed over. */
    void cancel(String reason);

    /** The domain's process is gone. */
    void domainEnded(String reason);

    /** The operator's word on an undecided one: the copy there is dead. */
    void goOn(String reason);

    /** The operator's word on an undecided one: the domain is there. */
    void giveUp(String reason);

    boolean awaitEnd(Duration limit) throws InterruptedException;
}
