package holdfast.node.api;

import java.util.List;

/**
 * What a node does for its local operator. The daemon implements it, {@link ApiServer} offers it on
 * a Unix socket and {@link ApiClient} calls it from there.
 *
 * <p>Calls arrive on many threads at once, each a virtual thread that may block until the operation
 * is done; long ones report to a {@link ProgressListener}, on any one thread at a time. An
 * operation that was started goes on when its caller goes away. Every failure is an {@link
 * ApiException}; a domain that was running before a failed call is running after it, and the
 * message says where.
 */
public interface NodeApi {
    /** What this node is and has. */
    NodeInfo nodeInfo();

    /** Every domain that this node knows, replicas included, ordered by name. */
    List<DomainStatus> list();

    /** One domain. {@link ApiException.Kind#UNKNOWN_DOMAIN} where there is none of that name. */
    DomainStatus status(String domain);

    /**
     * Waits until {@link DomainStatus#change} of the domain is larger than {@code afterChange}, at
     * most {@code timeoutMillis}, and answers its status then. A domain that disappears meanwhile
     * ends the wait with {@link ApiException.Kind#UNKNOWN_DOMAIN}.
     *
     * @param timeoutMillis 0 to 60,000
     */
    DomainStatus awaitChange(String domain, long afterChange, long timeoutMillis);

    /**
     * Starts a domain from its description and returns when its guest runs. {@link
     * ApiException.Kind#BAD_REQUEST} with file, line and column where the description is wrong;
     * {@link ApiException.Kind#EXISTS}; {@link ApiException.Kind#MISSING}. One that names a {@link
     * DomainStatus#remusBackup} is protected by then, or runs unprotected, and its last event says
     * why.
     */
    DomainStatus create(DomainSource source);

    /**
     * Takes over a QEMU that somebody else started; it is not stopped for longer than a checkpoint
     * takes.
     */
    DomainStatus attach(AttachRequest request);

    /**
     * Suspends the guest until {@link #unpause}. Idempotent. A protected domain stays protected.
     */
    DomainStatus pause(String domain);

    /** Lets the guest run. Idempotent. */
    DomainStatus unpause(String domain);

    /**
     * Ends the domain's process at once and forgets the domain. On a primary the replica is
     * discarded first, in order; on a secondary this discards the replica and the primary goes on
     * unprotected.
     */
    void destroy(String domain);

    /**
     * Writes the domain as a stream that {@code holdfast stream verify} accepts. The guest runs
     * meanwhile, but for what it has written last; afterwards it is what {@link SaveRequest#after}
     * says, and running again after a failure. A partial file is removed.
     */
    SaveResult save(SaveRequest request, ProgressListener progress);

    /**
     * Ends a domain's save, unless its file is whole; returns when the domain is what it was
     * before. {@link ApiException.Kind#BAD_REQUEST} where none runs.
     */
    DomainStatus cancelSave(String domain);

    /** Starts a domain from what {@link #save} wrote. */
    DomainStatus restore(RestoreRequest request, ProgressListener progress);

    /**
     * Protects a running domain; returns when the first checkpoint is committed. {@link
     * ApiException.Kind#ALREADY_PROTECTED}; {@link ApiException.Kind#UNKNOWN_NODE} where the node
     * cannot be reached or is this one. After any failure the domain runs here, unprotected.
     */
    DomainStatus remus(RemusRequest request, ProgressListener progress);

    /**
     * Ends protection in order: the replica is discarded, then all held output goes out. On a
     * primary whose secondary is lost and whose arbiter is the operator, this is the operator's
     * word to go on here alone. {@link ApiException.Kind#NOT_PROTECTED} where there is nothing to
     * end.
     */
    DomainStatus unprotect(String domain);

    /**
     * Makes the replica on this node the domain. Where the primary still answers it stops first;
     * where it does not, this is the operator's word that it is dead. Returns when the guest runs
     * here. {@link ApiException.Kind#BAD_REQUEST} on the primary's node, naming the node to ask.
     */
    DomainStatus failover(String domain);

    /**
     * Moves a running domain to another node; returns when it runs there, or here again: see {@link
     * MigrateResult#outcome}. What is refused before anything was changed is an {@link
     * ApiException}.
     */
    MigrateResult migrate(MigrateRequest request, ProgressListener progress);

    /**
     * Ends a domain's migration before its hand-over; returns when the domain runs here again.
     * {@link ApiException.Kind#BAD_REQUEST} where none runs or it is too late.
     */
    DomainStatus cancelMigration(String domain);

    /**
     * Ends the daemon in order: protected domains are unprotected, running ones go on without it.
     * Returns before it has ended.
     */
    void stopNode();
}
