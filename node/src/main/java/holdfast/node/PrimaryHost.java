package holdfast.node;

import holdfast.engine.HypervisorException;
import holdfast.engine.ReplicationException;
import holdfast.engine.port.Arbiter;
import holdfast.engine.remus.PrimaryEvent;
import holdfast.engine.remus.PrimaryOutcome;
import holdfast.engine.remus.PrimaryState;
import holdfast.node.api.ApiException;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.Progress;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest;
import holdfast.node.config.DomainFile;
import holdfast.node.link.BulkCompression;
import holdfast.node.link.LinkRefusedException;
import holdfast.node.link.NodeAddress;
import holdfast.node.session.Arbiters;
import holdfast.node.session.RemusPrimary;
import holdfast.node.store.ProtectionWish;
import holdfast.node.store.StoreException;
import holdfast.qemu.disk.DiskMirror;
import holdfast.qemu.disk.DiskNodes;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.qmp.QmpClient;
import holdfast.wire.Bytes;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.Standing;
import holdfast.wire.link.StreamEncoding;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Protecting domains of this node, and ending that. */
final class PrimaryHost {
    private static final Logger LOG = LoggerFactory.getLogger(PrimaryHost.class);
    private static final Duration START_LIMIT = Duration.ofSeconds(60);
    private static final Duration END_LIMIT = Duration.ofSeconds(30);
    private static final Duration END_LOOK = Duration.ofMillis(20);
    private static final long LOOK_MILLIS = 200;

    private final Registry registry;
    private final Reprotector reprotector;
    private final LostPeer lostPeer;

    PrimaryHost(Registry registry, Reprotector reprotector, LostPeer lostPeer) {
        this.registry = registry;
        this.reprotector = reprotector;
        this.lostPeer = lostPeer;
    }

    /**
     * Protects the domain; returns when the first checkpoint is committed. The caller holds its
     * operation.
     */
    void protect(HostedDomain domain, RemusRequest request, ProgressListener progress) {
        request.others().forEach(PrimaryHost::address);
        Optional<ProtectionWish> wish =
                switch (request.afterLoss()) {
                    case PROTECT_AGAIN -> {
                        address(request.node());
                        yield Optional.of(ProtectionWish.of(request));
                    }
                    case STAY_ALONE -> Optional.empty();
                };
        Begun begun;
        try {
            begun = begin(domain, request, request.nodes(), wish, progress);
        } catch (ApiException e) {
            // With --no-wait nobody else hears of it.
            switch (domain.view().role()) {
                case UNPROTECTED, SURVIVOR ->
                        domain.replace(v -> v.telling("not protected: " + e.getMessage()));
                case PRIMARY, SECONDARY, MOVING, ARRIVING -> {}
            }
            throw e;
        }
        begun.following().awaitProtection(begun.session(), progress);
    }

    /** By the first of {@code nodes} that can be reached. */
    private Begun begin(
            HostedDomain domain,
            RemusRequest request,
            List<String> nodes,
            Optional<ProtectionWish> wish,
            ProgressListener progress) {
        try {
            return begin(domain, request.at(nodes.getFirst()), wish, progress);
        } catch (ApiException e) {
            if (e.kind() != ApiException.Kind.UNKNOWN_NODE || nodes.size() == 1) {
                throw e;
            }
            progress.progress(new Progress("preparing", 0, 0, 0, e.getMessage()));
            return begin(domain, request, nodes.subList(1, nodes.size()), wish, progress);
        }
    }

    /** A session that has begun, and what becomes of it. */
    record Begun(RemusPrimary session, Following following) {}

    /**
     * Begins to protect the domain by {@code request}'s node; the rest happens on the session's
     * thread. The caller holds the domain's operation.
     *
     * @param wish that this session fulfils; empty: it is not to be renewed
     * @throws ApiException if it cannot begin; the domain runs here as before
     */
    Begun begin(
            HostedDomain domain,
            RemusRequest request,
            Optional<ProtectionWish> wish,
            ProgressListener progress) {
        HostedDomain.View view = domain.view();
        switch (view.role()) {
            case PRIMARY -> throw ApiException.alreadyProtected(domain.name(), peerOf(view));
            case SECONDARY ->
                    throw ApiException.badRequest(
                            "this node holds the replica of \""
                                    + domain.name()
                                    + "\"; protect it where it runs");
            case MOVING, ARRIVING ->
                    throw ApiException.badRequest(
                            "domain \""
                                    + domain.name()
                                    + "\" is being moved; wait for its end, or `holdfast migrate"
                                    + " --cancel "
                                    + domain.name()
                                    + "`");
            case UNPROTECTED, SURVIVOR -> {}
        }
        HostedDomain.Body body = domain.requireBody();
        DomainSpec spec = seenNow(view.spec(), body);
        NodeAddress peer = address(request.node());
        UUID session = UUID.randomUUID();
        List<MirroredDisks.Source> disks = written(spec, body);
        LinkMessage.OpenSession opening =
                new LinkMessage.OpenSession(
                        session,
                        domain.name(),
                        view.generation(),
                        Bytes.copyOf(DomainFile.write(spec).getBytes(StandardCharsets.UTF_8)),
                        spec.memoryBytes(),
                        request.plain() ? StreamEncoding.PLAIN : StreamEncoding.DELTA,
                        request.heartbeatMillis(),
                        request.deadlineMillis(),
                        request.intervalMillis(),
                        Registry.arbiter(request.arbiter()).kind(),
                        disks.stream()
                                .map(disk -> new LinkMessage.DiskSize(disk.index(), disk.bytes()))
                                .toList());
        RemusPrimary.Settings settings =
                new RemusPrimary.Settings(
                        peer,
                        opening,
                        wish.flatMap(is -> reprotector.announcement(is, peer)),
                        Registry.arbiter(request.arbiter()),
                        Duration.ofMillis(request.intervalMillis()),
                        // A plain stream is one that others read.
                        request.plain()
                                ? BulkCompression.NONE
                                : Registry.compression(request.compress()),
                        Optional.ofNullable(request.tee()).map(Path::of));
        QemuGuest guest =
                new QemuGuest(
                        body.qemu(),
                        body.operated(),
                        disks,
                        body.place().files().qmpOutOfBand(),
                        body.place().deviceState(),
                        request.holdOutput() ? QemuGuest.Output.HELD : QemuGuest.Output.UNHELD,
                        registry.mirroring());
        progress.progress(new Progress("preparing", 0, 0, 0, "asking " + peer));
        SessionLedger.Entry entry =
                new SessionLedger.Entry(
                        session,
                        domain.name(),
                        SessionLedger.Side.PRIMARY,
                        Standing.UNDECIDED,
                        view.generation(),
                        peer.toString(),
                        opening.arbiter(),
                        request.intervalMillis());
        Following following = new Following(domain, entry, wish);
        // Written down before the other node can hold a replica: a restarted daemon must ask it.
        remember(domain, entry, peer);
        RemusPrimary primary;
        try {
            primary = RemusPrimary.open(settings, guest, registry.self(), following);
        } catch (IOException | RuntimeException e) {
            domain.replace(v -> v.with(v.state(), view.role()));
            registry.tryRemember(domain, "");
            registry.ledger().remove(entry.session());
            throw refusal(peer, e);
        }
        domain.replace(
                v -> v.with(new HostedDomain.Session.Primary(primary, request.holdOutput())));
        // Until here a death found no session to tell.
        body.qemu()
                .qmp()
                .closedBecause()
                .ifPresent(
                        reason ->
                                primary.post(
                                        new PrimaryEvent.DomainEnded(
                                                reason, PrimaryOutcome.Ending.DIED)));
        primary.begin();
        return new Begun(primary, following);
    }

    /** Every disk that the guest may write: a survivor must have what it wrote. */
    private static List<MirroredDisks.Source> written(DomainSpec spec, HostedDomain.Body body) {
        List<MirroredDisks.Source> sources = new ArrayList<>();
        for (int i = 0; i < spec.disks().size(); i++) {
            if (spec.disks().get(i).access() == DomainSpec.Access.READ_WRITE) {
                sources.add(source(spec, body, i));
            }
        }
        if (sources.size() > LinkMessage.DISKS_MAX) {
            throw ApiException.badRequest(
                    "domain \""
                            + spec.name()
                            + "\" has "
                            + sources.size()
                            + " writable disks, at most "
                            + LinkMessage.DISKS_MAX
                            + " are replicated");
        }
        return sources;
    }

    private static MirroredDisks.Source source(DomainSpec spec, HostedDomain.Body body, int index) {
        QmpClient qmp = body.qemu().qmp();
        try {
            String node = DiskNodes.of(qmp, spec, index);
            return new MirroredDisks.Source(index, node, DiskMirror.sizeBytes(qmp, node));
        } catch (HypervisorException e) {
            throw new ApiException(
                    ApiException.Kind.MISSING, "not protected: " + e.getMessage(), e);
        }
    }

    /** Devices may have been plugged since a command line was read: the standby is compared. */
    static DomainSpec seenNow(DomainSpec spec, HostedDomain.Body body) {
        return spec.foreign()
                .map(line -> spec.withForeign(line.withDevices(body.qemu().devices())))
                .orElse(spec);
    }

    private void remember(HostedDomain domain, SessionLedger.Entry entry, NodeAddress peer) {
        DomainStatus.Role before = domain.view().role();
        domain.replace(v -> v.with(v.state(), DomainStatus.Role.PRIMARY));
        try {
            registry.ledger().put(entry);
            registry.remember(domain, peer.toString());
        } catch (UncheckedIOException | StoreException e) {
            domain.replace(v -> v.with(v.state(), before));
            registry.tryRemember(domain, "");
            registry.ledger().remove(entry.session());
            throw ApiException.failed("not protected: " + e.getMessage(), e);
        }
    }

    private static ApiException refusal(NodeAddress peer, Exception e) {
        return switch (e) {
            case LinkRefusedException refused ->
                    new ApiException(ApiException.Kind.BAD_REQUEST, refused.getMessage(), refused);
            default -> PeerFailure.told(peer, "not protected", e);
        };
    }

    static NodeAddress address(String text) {
        try {
            return NodeAddress.parse(text);
        } catch (IllegalArgumentException e) {
            throw new ApiException(ApiException.Kind.UNKNOWN_NODE, e.getMessage(), e);
        }
    }

    static String peerOf(HostedDomain.View view) {
        return switch (view.session()) {
            case HostedDomain.Session.None _ -> "another node";
            case HostedDomain.Session.Primary(RemusPrimary session, boolean _) ->
                    session.peerName();
            case HostedDomain.Session.Secondary(var session) -> session.peerName();
        };
    }

    /** Whether this primary waits for a person to say who may go on. */
    static boolean undecided(RemusPrimary session) {
        return session.settings().arbiter() == Arbiters.OPERATOR
                && session.state() instanceof PrimaryState.Deciding;
    }

    /**
     * Ends protection in order, or lets an undecided domain go on here: which of both the operator
     * means is what was so when they said it. Only the former ends the wish that it stay protected.
     * The caller holds the domain's operation.
     */
    void unprotect(HostedDomain domain, RemusPrimary session) {
        boolean verdict = undecided(session);
        if (!verdict) {
            reprotector.withdraw(domain);
        }
        end(domain, session, verdict);
    }

    /**
     * Ends protection in order, for now: what is wished stays. Never a verdict: where the secondary
     * is lost meanwhile, this is refused, for nobody has said that the copy there is dead.
     */
    void leave(HostedDomain domain, RemusPrimary session) {
        end(domain, session, false);
    }

    private void end(HostedDomain domain, RemusPrimary session, boolean verdict) {
        session.request(
                verdict
                        ? new PrimaryEvent.Verdict(Arbiter.Verdict.GO_ON)
                        : new PrimaryEvent.Unprotect());
        awaitEnd(
                domain,
                session,
                () -> {
                    if (!verdict && undecided(session)) {
                        throw lostMeanwhile(domain, session);
                    }
                });
    }

    /** Ends an undecided copy, and what it wanted to say, for good. */
    void giveUp(HostedDomain domain, RemusPrimary session) {
        session.request(new PrimaryEvent.Verdict(Arbiter.Verdict.STAND_DOWN));
        awaitEnd(domain, session, () -> {});
    }

    private static ApiException lostMeanwhile(HostedDomain domain, RemusPrimary session) {
        String reason =
                session.state() instanceof PrimaryState.Deciding(long _, String why) ? why : "";
        return ApiException.failed(
                "protection of \""
                        + domain.name()
                        + "\" has not ended: its secondary was lost ("
                        + reason
                        + "); the domain runs, its output is held. Find out what became of node "
                        + session.peerName()
                        + ": `holdfast unprotect` here now means that the copy there is dead",
                null);
    }

    private static void awaitEnd(HostedDomain domain, RemusPrimary session, Runnable look) {
        long until = System.nanoTime() + END_LIMIT.toNanos();
        try {
            while (!session.awaitEnd(END_LOOK)) {
                look.run();
                if (System.nanoTime() - until > 0) {
                    throw ApiException.failed(
                            "protection of \""
                                    + domain.name()
                                    + "\" has not ended yet; it is "
                                    + StatusReport.name(session.state()),
                            null);
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw ApiException.failed("interrupted while protection ended", e);
        }
    }

    /**
     * The domain runs here alone from now on.
     *
     * @param decided whether somebody had to decide that: then the replica, should it be taken over
     *     all the same, is of no newer generation than this copy
     */
    private void unprotected(
            HostedDomain domain, SessionLedger.Entry entry, boolean decided, String reason) {
        long generation = decided ? entry.generation() + 1 : entry.generation();
        domain.replace(
                v ->
                        v.with(v.state(), DomainStatus.Role.UNPROTECTED)
                                .withGeneration(generation)
                                .telling(reason));
        registry.tryRemember(domain, "");
        note(entry, Standing.DISCARDED);
    }

    private void note(SessionLedger.Entry entry, Standing standing) {
        try {
            registry.ledger().put(entry.with(standing, entry.generation()));
        } catch (UncheckedIOException e) {
            LOG.error(
                    "event=not-remembered session={} reason=\"{}\"",
                    entry.session(),
                    e.getMessage());
        }
    }

    /** Puts what becomes of a session into its domain. Called on the session's thread. */
    private final class Following implements RemusPrimary.Listener {
        private final HostedDomain domain;
        private final SessionLedger.Entry entry;
        private final Optional<ProtectionWish> wish;
        private final CompletableFuture<Void> committed = new CompletableFuture<>();

        /** Used by the session's thread alone. */
        private boolean peerWasLost;

        Following(HostedDomain domain, SessionLedger.Entry entry, Optional<ProtectionWish> wish) {
            this.domain = domain;
            this.entry = entry;
            this.wish = wish;
        }

        @Override
        public void changed() {
            HostedDomain.View view = domain.replace(v -> v);
            if (view.session() instanceof HostedDomain.Session.Primary(var session, boolean _)
                    && session.state() instanceof PrimaryState.Deciding(long _, String reason)
                    && !peerWasLost) {
                peerWasLost = true;
                if (session.settings().arbiter() == Arbiters.OPERATOR) {
                    domain.replace(v -> v.telling(undecided(session, reason)));
                    lostPeer.askWhileUndecided(session);
                }
            }
        }

        private String undecided(RemusPrimary session, String reason) {
            return "the secondary is lost ("
                    + reason
                    + "); the guest runs, its output is held. Find out whether node "
                    + session.peerName()
                    + " lives: if not, `holdfast unprotect "
                    + domain.name()
                    + "` here; if the domain shall go on there, `holdfast failover "
                    + domain.name()
                    + "` there; never both";
        }

        @Override
        public void protectedNow() {
            domain.replace(view -> view.telling("protected: the first checkpoint is committed"));
            reprotector.protectedNow(domain, wish);
            committed.complete(null);
        }

        @Override
        public void finished(PrimaryOutcome outcome) {
            switch (outcome) {
                case PrimaryOutcome.Unprotected(String reason) -> {
                    if (peerWasLost) {
                        lostPeer.dismissLate(NodeAddress.parse(entry.peer()), entry.session());
                    }
                    unprotected(domain, entry, peerWasLost, "unprotected: " + reason);
                    reprotector.sessionEnded(domain, reason);
                }
                case PrimaryOutcome.StoodDown(String reason) -> {
                    reprotector.gone(domain);
                    registry.ended(domain, "it runs on the other node: " + reason);
                    note(entry, Standing.TOOK_OVER);
                }
                case PrimaryOutcome.DomainEnded(String reason, PrimaryOutcome.Ending _) -> {
                    reprotector.gone(domain);
                    registry.ended(domain, reason);
                    note(entry, Standing.UNKNOWN);
                }
            }
            committed.completeExceptionally(new IllegalStateException(outcome.reason()));
        }

        @Override
        public void broken(RuntimeException failure) {
            domain.replace(
                    view ->
                            view.telling(
                                    "an internal fault ended the session: "
                                            + failure.getMessage()
                                            + "; the guest runs, its output is held. If the domain"
                                            + " does not run on node "
                                            + entry.peer()
                                            + ", `holdfast unprotect "
                                            + domain.name()
                                            + "` lets it go on here, else `holdfast destroy` ends"
                                            + " this copy"));
            committed.completeExceptionally(failure);
        }

        void awaitProtection(RemusPrimary primary, ProgressListener progress) {
            long total = primary.settings().opening().memoryBytes();
            Duration limit = START_LIMIT.plusMillis(total / 1_000);
            long until = System.nanoTime() + limit.toNanos();
            CopyProgress copy = new CopyProgress(total, System.nanoTime());
            while (true) {
                try {
                    committed.get(LOOK_MILLIS, TimeUnit.MILLISECONDS);
                    return;
                } catch (TimeoutException e) {
                    progress.progress(
                            copy.at(
                                    primary.state(),
                                    primary.sentBytes(),
                                    primary.diskFigures(),
                                    System.nanoTime()));
                    if (primary.state() instanceof PrimaryState.Synchronising) {
                        // As long as it takes; one that stands still ends the session by itself.
                        until = System.nanoTime() + limit.toNanos();
                    }
                    if (System.nanoTime() - until > 0) {
                        leave(domain, primary);
                        throw ApiException.failed(
                                "no checkpoint was committed within "
                                        + limit.toSeconds()
                                        + " s; the domain runs here unprotected",
                                e);
                    }
                } catch (ExecutionException e) {
                    String reason =
                            e.getCause() instanceof ReplicationException cause
                                    ? cause.getMessage()
                                    : String.valueOf(e.getCause().getMessage());
                    throw ApiException.failed(
                            "domain \"" + domain.name() + "\" is not protected: " + reason, e);
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    throw ApiException.failed(
                            "interrupted; protection goes on in the background", e);
                }
            }
        }
    }
}
