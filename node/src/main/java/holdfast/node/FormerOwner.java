package holdfast.node;

import holdfast.engine.remus.PrimaryEvent;
import holdfast.engine.remus.PrimaryState;
import holdfast.engine.remus.SecondaryEvent;
import holdfast.engine.remus.SecondaryState;
import holdfast.node.api.ApiException;
import holdfast.node.session.RemusPrimary;
import holdfast.node.session.RemusSecondary;
import holdfast.qemu.launch.DomainSpec;
import holdfast.wire.link.Standing;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/**
 * Lets a domain's owner protect it on a node that was its owner before: a copy here whose right to
 * run is not decided stands down before a newer generation, for that generation exists only since
 * the domain was taken over from here. A copy that is sure of itself never does: then two copies
 * run, and which of them goes on only a person can say.
 */
final class FormerOwner {
    private static final Logger LOG = LoggerFactory.getLogger(FormerOwner.class);

    /** Shorter than the other node waits for its answer. */
    private static final Duration LIMIT = Duration.ofSeconds(3);

    private final Registry registry;

    FormerOwner(Registry registry) {
        this.registry = registry;
    }

    /**
     * Ends what is left here of a domain that {@code owner} wants to protect here.
     *
     * @param generation the owner's
     * @throws ApiException if it stays, and why
     */
    void giveWay(DomainSpec spec, long generation, String owner) {
        awaitGivenBack(registry, spec.name(), owner);
        HostedDomain present = registry.byName().get(spec.name());
        if (present == null || !present.view().isLive()) {
            return;
        }
        HostedDomain.View view = present.view();
        if (!view.spec().uuid().equals(spec.uuid())) {
            throw ApiException.exists(spec.name());
        }
        if (generation <= view.generation()) {
            throw ApiException.badRequest(
                    "node %s has \"%s\" in generation %d as %s, node %s in generation %d, which is not newer"
                            .formatted(
                                    registry.self().name(),
                                    spec.name(),
                                    view.generation(),
                                    view.role().text(),
                                    owner,
                                    generation));
        }
        String reason = "node " + owner + " owns the domain since generation " + generation;
        switch (view.role()) {
            case PRIMARY -> primary(present, view, generation, reason);
            case SECONDARY -> secondary(present, view, reason);
            case UNPROTECTED, SURVIVOR -> {
                LOG.error(
                        "event=two-copies domain={} peer={} generation={} here={} next=\"the domain"
                                + " runs on both nodes: destroy one copy\"",
                        spec.name(),
                        owner,
                        generation,
                        view.generation());
                throw ApiException.badRequest(
                        "two copies of \"%s\" run: on node %s in generation %d and on node %s in generation %d; destroy one"
                                .formatted(
                                        spec.name(),
                                        registry.self().name(),
                                        view.generation(),
                                        owner,
                                        generation));
            }
        }
    }

    /**
     * Of a session that has just ended its primary hears a moment before all is given back that the
     * replica occupied, and may come again at once. One that gave up an attempt, as over a refusal
     * in its midst, may come again before this node has noticed: a replica without a commit is
     * worth nothing to anybody.
     *
     * @param owner who wants to come
     */
    static void awaitGivenBack(Registry registry, String name, String owner) {
        HostedDomain present = registry.byName().get(name);
        if (present == null
                || !(present.view().session()
                        instanceof HostedDomain.Session.Secondary(RemusSecondary session))) {
            return;
        }
        if (!(session.state() instanceof SecondaryState.Finished)) {
            if (session.state().committed() >= 0 || !session.peerName().equals(owner)) {
                return;
            }
            session.post(new SecondaryEvent.Dismiss("node " + owner + " begins anew"));
        }
        try {
            session.awaitEnd(LIMIT);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void primary(
            HostedDomain domain, HostedDomain.View view, long generation, String reason) {
        if (view.session() instanceof HostedDomain.Session.Primary(var session, boolean _)
                && session.outcome().isEmpty()
                && session.fault().isEmpty()) {
            if (!(session.state() instanceof PrimaryState.Deciding)) {
                throw ApiException.alreadyProtected(domain.name(), session.peerName());
            }
            session.post(new PrimaryEvent.PeerTookOver(reason));
            awaitEnd(domain, session);
            return;
        }
        try {
            if (!domain.operation.tryLock(LIMIT.toMillis(), TimeUnit.MILLISECONDS)) {
                throw busy(domain);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw busy(domain);
        }
        try {
            boolean broken =
                    domain.view().session()
                                    instanceof
                                    HostedDomain.Session.Primary(RemusPrimary session, boolean _)
                            && session.fault().isPresent();
            if (!broken && !Recovery.undecided(domain)) {
                throw busy(domain);
            }
            registry.ended(domain, reason + "; this copy was ended");
            registry.ledger()
                    .newestAsPrimary(domain.name())
                    .ifPresent(
                            entry ->
                                    registry.ledger()
                                            .put(entry.with(Standing.TOOK_OVER, generation)));
        } catch (UncheckedIOException e) {
            LOG.error(
                    "event=not-remembered domain={} reason=\"{}\"", domain.name(), e.getMessage());
        } finally {
            domain.operation.unlock();
        }
    }

    private static void awaitEnd(HostedDomain domain, RemusPrimary session) {
        try {
            if (!session.awaitEnd(LIMIT)) {
                throw busy(domain);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw busy(domain);
        }
    }

    /** A replica whose primary is lost is older than what the domain's owner sends now. */
    private static void secondary(HostedDomain domain, HostedDomain.View view, String reason) {
        if (view.session() instanceof HostedDomain.Session.Secondary(RemusSecondary session)
                && session.outcome().isEmpty()
                && session.state() instanceof SecondaryState.Deciding) {
            SecondaryHost.dismiss(session, reason);
            if (session.outcome().isPresent()) {
                return;
            }
        }
        throw busy(domain);
    }

    private static ApiException busy(HostedDomain domain) {
        return ApiException.badRequest(
                "\"%s\" is still %s as %s here"
                        .formatted(
                                domain.name(),
                                domain.view().state().text(),
                                domain.view().role().text()));
    }
}
