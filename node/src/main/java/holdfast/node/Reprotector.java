package holdfast.node;

import holdfast.engine.ReplicationException;
import holdfast.engine.reprotect.ReprotectionEffect;
import holdfast.engine.reprotect.ReprotectionEvent;
import holdfast.engine.reprotect.ReprotectionEvent.Failure;
import holdfast.engine.reprotect.ReprotectionMachine;
import holdfast.engine.reprotect.ReprotectionState;
import holdfast.node.api.ApiException;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.ProgressListener;
import holdfast.node.link.BeginCookie;
import holdfast.node.link.LinkRefusedException;
import holdfast.node.link.NodeAddress;
import holdfast.node.link.PeerInquiry;
import holdfast.node.store.ProtectionWish;
import holdfast.node.store.StoreException;
import holdfast.wire.Bytes;
import holdfast.wire.ProtocolException;
import holdfast.wire.link.LinkMessage;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;

/**
 * Keeps domains protected: performs what {@link ReprotectionMachine} says, for all domains on one
 * thread, which alone changes their wishes and states. Attempts run on threads of their own.
 */
final class Reprotector implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Reprotector.class);

    /** Its thread writes small files and waits for nothing else. */
    private static final long ANSWER_SECONDS = 10;

    private final Registry registry;
    private final Node.Looks looks;
    private final ScheduledExecutorService owner =
            Executors.newSingleThreadScheduledExecutor(
                    Thread.ofPlatform().name("reprotector").daemon().factory());

    /** Set before the first attempt. */
    private volatile Optional<Place> place = Optional.empty();

    /** Where this node listens, and who protects its domains. */
    private record Place(PrimaryHost primaries, String host, int port) {}

    Reprotector(Registry registry, Node.Looks looks) {
        this.registry = registry;
        this.looks = looks;
    }

    /**
     * Attempts begin from now on.
     *
     * @param host that this node listens on; empty: on all of its addresses
     */
    void begin(PrimaryHost primaries, String host, int port) {
        place = Optional.of(new Place(primaries, host, port));
        registry.all().forEach(this::runsAlone);
    }

    /** What the node at {@code peer} is told, so that it can go on with the wish. */
    Optional<LinkMessage.StayProtected> announcement(ProtectionWish wish, NodeAddress peer) {
        return place.map(
                is ->
                        new LinkMessage.StayProtected(
                                is.host(),
                                is.port(),
                                Bytes.copyOf(
                                        wish.without(peer)
                                                .write()
                                                .getBytes(StandardCharsets.UTF_8))));
    }

    /** What the node at {@code peer} is told that the domain moves to. */
    Optional<BeginCookie.Staying> parting(ProtectionWish wish, NodeAddress peer) {
        return place.map(
                is -> new BeginCookie.Staying(is.host(), is.port(), wish.without(peer).write()));
    }

    /**
     * The wish of the survivor of a session: what its primary said, and the primary's node as the
     * preferred one.
     *
     * @param address where the primary connects from
     * @throws ApiException if it is not understood
     */
    static ProtectionWish inherited(LinkMessage.StayProtected staying, String address) {
        String json = new String(staying.wishJson().toArray(), StandardCharsets.UTF_8);
        return understood(
                () ->
                        ProtectionWish.read(json)
                                .preferring(listening(staying.host(), staying.port(), address)));
    }

    /**
     * The wish of a domain that moves here: what its old node said, and that node after those that
     * the operator named.
     *
     * @param address where the old node connects from
     * @throws ApiException if it is not understood
     */
    static ProtectionWish moved(BeginCookie.Staying staying, String address) {
        return understood(
                () ->
                        ProtectionWish.read(staying.wish())
                                .followedBy(listening(staying.host(), staying.port(), address)));
    }

    private static NodeAddress listening(String host, int port, String address) {
        return new NodeAddress(host.isEmpty() ? NodeAddress.parse(address).host() : host, port);
    }

    private static ProtectionWish understood(Supplier<ProtectionWish> wish) {
        try {
            return wish.get();
        } catch (IllegalArgumentException e) {
            throw new ApiException(
                    ApiException.Kind.BAD_REQUEST,
                    "how the domain is to stay protected is not understood here: " + e.getMessage(),
                    e);
        }
    }

    /** The domain has begun to run here alone, and nobody else can own it. */
    void runsAlone(HostedDomain domain) {
        submit(() -> look(domain));
    }

    /** As {@link #runsAlone}, for the wish that comes with the domain. */
    void wished(HostedDomain domain, ProtectionWish wish) {
        submit(
                () -> {
                    keep(domain, wish);
                    look(domain);
                });
    }

    private void look(HostedDomain domain) {
        // Before the node listens it could not say where its secondary finds it.
        if (place.isEmpty() || domain.wish().isEmpty()) {
            return;
        }
        switch (domain.view().role()) {
            case UNPROTECTED, SURVIVOR ->
                    handle(
                            domain,
                            new ReprotectionEvent.Wished(
                                    domain.wish().get().nodes(), System.nanoTime()));
            case PRIMARY, SECONDARY, MOVING, ARRIVING -> {}
        }
    }

    /**
     * A session has committed its first checkpoint.
     *
     * @param wish of whoever began it; empty: it shall not be renewed
     */
    void protectedNow(HostedDomain domain, Optional<ProtectionWish> wish) {
        submit(
                () -> {
                    if (wish.isEmpty()) {
                        handle(domain, new ReprotectionEvent.Withdrawn());
                        return;
                    }
                    keep(domain, wish.get());
                    handle(
                            domain,
                            new ReprotectionEvent.ProtectedNow(
                                    wish.get().nodes(), System.nanoTime()));
                });
    }

    /** A session has ended, and the domain runs here alone. */
    void sessionEnded(HostedDomain domain, String reason) {
        submit(
                () -> {
                    if (domain.reprotection() instanceof ReprotectionState.Off) {
                        // Wished while a session that never came to protect was undecided.
                        look(domain);
                    } else {
                        handle(
                                domain,
                                new ReprotectionEvent.SessionEnded(
                                        reason, System.nanoTime(), chance()));
                    }
                });
    }

    /** The domain is not here any more. */
    void gone(HostedDomain domain) {
        post(domain, new ReprotectionEvent.Gone());
    }

    /**
     * The operator does not want the domain protected any more. Returns whether it was to be; then
     * nothing is begun any more. An attempt whose session is open already is the caller's to end,
     * who holds the domain's operation.
     */
    boolean withdraw(HostedDomain domain) {
        boolean wanted = domain.wish().isPresent();
        post(domain, new ReprotectionEvent.Withdrawn());
        settle();
        return wanted;
    }

    /** Waits until everything said so far is in force and written down. */
    void settle() {
        try {
            owner.submit(() -> {}).get(ANSWER_SECONDS, TimeUnit.SECONDS);
        } catch (RejectedExecutionException e) {
            LOG.debug("event=reprotector-closed", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (ExecutionException | TimeoutException e) {
            throw ApiException.failed("what is wished of a domain cannot be written down", e);
        }
    }

    private void post(HostedDomain domain, ReprotectionEvent event) {
        submit(() -> handle(domain, event));
    }

    private void submit(Runnable work) {
        try {
            owner.execute(
                    () -> {
                        try {
                            work.run();
                        } catch (RuntimeException e) {
                            LOG.error("event=reprotector-failed", e);
                        }
                    });
        } catch (RejectedExecutionException e) {
            // The node ends: what is written down is what the next daemon goes on with.
            LOG.debug("event=reprotector-closed", e);
        }
    }

    private void keep(HostedDomain domain, ProtectionWish wish) {
        domain.wish(Optional.of(wish));
        try {
            registry.store().putWish(domain.name(), wish);
        } catch (StoreException e) {
            notRemembered(domain, e);
        }
    }

    private static void notRemembered(HostedDomain domain, StoreException e) {
        LOG.error("event=not-remembered domain={} reason=\"{}\"", domain.name(), e.getMessage());
    }

    /** The one place where the state changes. */
    private void handle(HostedDomain domain, ReprotectionEvent event) {
        if (looks == Node.Looks.NEVER) {
            if (event instanceof ReprotectionEvent.Withdrawn) {
                forget(domain);
            }
            return;
        }
        ReprotectionState before = domain.reprotection();
        ReprotectionMachine.Step step = ReprotectionMachine.step(before, event);
        ReprotectionState after = step.state();
        domain.reprotection(after);
        step.effects().forEach(effect -> perform(domain, effect));
        if (!after.equals(before)) {
            domain.replace(view -> view);
        }
        if (after.getClass() != before.getClass()) {
            tell(domain, before, event, after);
        }
    }

    /** A round of attempts in vain is no news; what it began with and its end are. */
    private static void tell(
            HostedDomain domain,
            ReprotectionState before,
            ReprotectionEvent event,
            ReprotectionState after) {
        if (event instanceof ReprotectionEvent.SessionEnded(String reason, long now, double _)
                && after instanceof ReprotectionState.Looking looking
                && looking.inVain().copies() > 0) {
            LOG.warn(
                    "event=copied-in-vain domain={} times={} nextTrySeconds={} reason=\"{}\"",
                    domain.name(),
                    looking.inVain().copies(),
                    TimeUnit.NANOSECONDS.toSeconds(looking.dueNanos() - now),
                    reason);
            return;
        }
        boolean again =
                before instanceof ReprotectionState.Trying
                                && after instanceof ReprotectionState.Looking
                        || before instanceof ReprotectionState.Looking
                                && after instanceof ReprotectionState.Trying;
        if (again) {
            LOG.debug("event=reprotection domain={} to={} cause={}", domain.name(), after, event);
        } else {
            LOG.info(
                    "event=reprotection domain={} from={} to={} cause={}",
                    domain.name(),
                    before.getClass().getSimpleName(),
                    after.getClass().getSimpleName(),
                    event);
        }
    }

    private void perform(HostedDomain domain, ReprotectionEffect effect) {
        switch (effect) {
            case ReprotectionEffect.Schedule(long due) ->
                    owner.schedule(
                            () -> post(domain, new ReprotectionEvent.TryDue(System.nanoTime())),
                            Math.max(0, due - System.nanoTime()),
                            TimeUnit.NANOSECONDS);
            case ReprotectionEffect.Protect(String node) -> {
                ProtectionWish wish = domain.wish().orElseThrow();
                Thread.ofVirtual()
                        .name("reprotect-" + domain.name())
                        .start(() -> attempt(domain, wish, node));
            }
            case ReprotectionEffect.Remember(List<String> nodes) ->
                    domain.wish()
                            .filter(wish -> !wish.nodes().equals(nodes))
                            .ifPresent(wish -> keep(domain, wish.by(nodes)));
            case ReprotectionEffect.Forget() -> forget(domain);
        }
    }

    private void forget(HostedDomain domain) {
        domain.wish(Optional.empty());
        try {
            registry.store().removeWish(domain.name());
        } catch (StoreException e) {
            notRemembered(domain, e);
        }
    }

    /** Says what came of it, other than by the session that it opened. */
    private void attempt(HostedDomain domain, ProtectionWish wish, String node) {
        try {
            // Asked without the domain: a host that is off takes seconds not to answer.
            PeerInquiry.ask(
                    NodeAddress.parse(node),
                    registry.self(),
                    UUID.randomUUID(),
                    LinkMessage.Question.STANDING);
        } catch (LinkRefusedException e) {
            if (e.isSameNode()) {
                LOG.warn(
                        "event=not-protected domain={} reason=\"{}\"",
                        domain.name(),
                        e.getMessage());
                post(domain, new ReprotectionEvent.IsSelf(node, System.nanoTime()));
            } else {
                failed(domain, node, Failure.REFUSED, e);
            }
            return;
        } catch (IOException e) {
            failed(domain, node, Failure.UNREACHABLE, e);
            return;
        } catch (ProtocolException e) {
            failed(domain, node, Failure.REFUSED, e);
            return;
        }
        if (!domain.operation.tryLock()) {
            post(domain, new ReprotectionEvent.NotNow(System.nanoTime()));
            return;
        }
        try {
            open(domain, wish, node);
        } catch (ApiException | ReplicationException e) {
            failed(domain, node, Failure.REFUSED, e);
        } finally {
            domain.operation.unlock();
        }
    }

    /** The domain's operation is held: what is so now stays so until the session is open. */
    private void open(HostedDomain domain, ProtectionWish wish, String node) {
        if (!(domain.reprotection() instanceof ReprotectionState.Trying) || owner.isShutdown()) {
            return;
        }
        HostedDomain.View view = domain.view();
        if (!view.isLive()) {
            gone(domain);
            return;
        }
        boolean alone =
                switch (view.role()) {
                    case UNPROTECTED, SURVIVOR ->
                            view.body().isPresent() && view.state() != DomainStatus.State.STOPPED;
                    case PRIMARY, SECONDARY, MOVING, ARRIVING -> false;
                };
        if (!alone) {
            post(domain, new ReprotectionEvent.NotNow(System.nanoTime()));
            return;
        }
        place.orElseThrow()
                .primaries()
                .begin(
                        domain,
                        wish.request(domain.name(), node),
                        Optional.of(wish),
                        ProgressListener.none());
    }

    private void failed(HostedDomain domain, String node, Failure failure, Exception e) {
        post(
                domain,
                new ReprotectionEvent.AttemptFailed(
                        node, failure, node + ": " + e.getMessage(), System.nanoTime(), chance()));
    }

    private static double chance() {
        return ThreadLocalRandom.current().nextDouble();
    }

    /** Nothing is begun any more; what is wished stays written down. */
    @Override
    public void close() {
        owner.shutdownNow();
    }
}
