package holdfast.node;

import holdfast.node.api.ApiException;
import holdfast.node.session.RemusPrimary;
import holdfast.node.session.RemusSecondary;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.time.Duration;
import java.util.Optional;

/**
 * What an operator's word means for a domain, by the session that it is in. The caller holds the
 * domain's operation.
 */
final class SessionOperations {
    private static final Logger LOG = LoggerFactory.getLogger(SessionOperations.class);

    /** To resume a guest, or end a process. */
    private static final Duration UNDECIDED_LIMIT = Duration.ofSeconds(30);

    private final Registry registry;
    private final Reprotector reprotector;
    private final PrimaryHost primaries;
    private final SecondaryHost secondaries;
    private final Recovery recovery;

    SessionOperations(
            Registry registry,
            Reprotector reprotector,
            PrimaryHost primaries,
            SecondaryHost secondaries,
            Recovery recovery) {
        this.registry = registry;
        this.reprotector = reprotector;
        this.primaries = primaries;
        this.secondaries = secondaries;
        this.recovery = recovery;
    }

    void destroy(HostedDomain domain) {
        reprotector.withdraw(domain);
        HostedDomain.View view = domain.view();
        switch (view.session()) {
            case HostedDomain.Session.Primary(RemusPrimary session, boolean _)
                    when session.fault().isPresent() -> {}
            // Its output may be contradicted by the other copy: none of it leaves.
            case HostedDomain.Session.Primary(RemusPrimary session, boolean _)
                    when PrimaryHost.undecided(session) ->
                    primaries.giveUp(domain, session);
            case HostedDomain.Session.Primary(RemusPrimary session, boolean _)
                    when session.outcome().isEmpty() ->
                    primaries.unprotect(domain, session);
            case HostedDomain.Session.Secondary(RemusSecondary session)
                    when session.outcome().isEmpty() ->
                    secondaries.discard(domain, session);
            case HostedDomain.Session _ -> {}
        }
        domain.migration()
                .filter(Migration::undecided)
                .ifPresent(m -> m.giveUp("the operator ends this copy"));
        registry.ended(domain, "destroyed by the operator");
        registry.forget(domain);
    }

    void unprotect(HostedDomain domain) {
        String name = domain.name();
        Optional<Migration> moving = domain.migration().filter(Migration::undecided);
        if (moving.isPresent()) {
            goOnAfterMigration(domain, moving.get());
            return;
        }
        HostedDomain.View view = domain.view();
        switch (view.role()) {
            case SECONDARY ->
                    throw ApiException.badRequest(
                            "this node holds the replica of \""
                                    + name
                                    + "\"; unprotect it on its primary, node "
                                    + PrimaryHost.peerOf(view));
            case UNPROTECTED, SURVIVOR -> {
                if (!reprotector.withdraw(domain)) {
                    throw ApiException.notProtected(name);
                }
                domain.replace(v -> v.telling("the operator does not want it protected"));
                return;
            }
            case PRIMARY -> {}
        }
        switch (view.session()) {
            case HostedDomain.Session.Primary(RemusPrimary session, boolean _)
                    when session.outcome().isEmpty() && session.fault().isEmpty() ->
                    primaries.unprotect(domain, session);
            case HostedDomain.Session _ ->
                    recovery.goOn(domain, "the operator lets the domain go on here, unprotected");
        }
    }

    /** The operator's word that the copy on the destination is dead. */
    private static void goOnAfterMigration(HostedDomain domain, Migration moving) {
        moving.goOn("the operator says that the copy there is dead");
        try {
            if (!moving.awaitEnd(UNDECIDED_LIMIT)) {
                throw ApiException.failed(
                        "\"" + domain.name() + "\" does not go on yet: " + moving.status().phase(),
                        null);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw ApiException.failed("interrupted", e);
        }
    }

    void failover(HostedDomain domain) {
        String name = domain.name();
        HostedDomain.View view = domain.view();
        switch (view.session()) {
            case HostedDomain.Session.Secondary(RemusSecondary session)
                    when session.outcome().isEmpty() ->
                    secondaries.failover(domain, session);
            case HostedDomain.Session.Primary(RemusPrimary session, boolean _)
                    when session.outcome().isEmpty() ->
                    throw ApiException.badRequest(
                            "this node is the primary of \""
                                    + name
                                    + "\"; ask its secondary: holdfast failover on node"
                                    + " "
                                    + session.peerName());
            case HostedDomain.Session _ -> throw ApiException.notProtected(name);
        }
    }

    /** The daemon ends: so does what can end in order. Takes the domain's operation. */
    void leave(HostedDomain domain) {
        domain.operation.lock();
        try {
            switch (domain.view().session()) {
                // The end of this daemon is no verdict: the domain stays muted, and the next
                // daemon asks.
                case HostedDomain.Session.Primary(RemusPrimary session, boolean _)
                        when PrimaryHost.undecided(session) || session.fault().isPresent() -> {
                    LOG.warn(
                            "event=left-undecided domain={} effect=\"its output is dropped until"
                                    + " the daemon is started again\"",
                            domain.name());
                    return;
                }
                case HostedDomain.Session.Primary(RemusPrimary session, boolean _)
                        when session.outcome().isEmpty() ->
                        primaries.leave(domain, session);
                case HostedDomain.Session.Secondary(RemusSecondary session)
                        when session.outcome().isEmpty() ->
                        secondaries.discard(domain, session);
                case HostedDomain.Session _ -> {}
            }
            domain.view().body().ifPresent(body -> body.qemu().close());
        } finally {
            domain.operation.unlock();
        }
    }
}
