package holdfast.node;

import holdfast.engine.ReplicationException;
import holdfast.engine.migrate.FeaturePlan;
import holdfast.engine.migrate.SourceEvent;
import holdfast.engine.migrate.SourceOutcome;
import holdfast.engine.migrate.SourceState;
import holdfast.engine.remus.PrimaryState;
import holdfast.node.api.ApiException;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.MigrationStatus;
import holdfast.node.api.Progress;
import holdfast.node.api.ProgressListener;
import holdfast.node.link.BeginCookie;
import holdfast.node.link.LinkRefusedException;
import holdfast.node.link.MigrationInquiry;
import holdfast.node.link.NodeAddress;
import holdfast.node.session.MigrationSource;
import holdfast.node.session.Telling;
import holdfast.node.store.StoreException;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.net.Decoys;
import holdfast.wire.link.Standing;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;

/** Moving domains of this node to other ones. */
final class MigrationHost {
    private static final Logger LOG = LoggerFactory.getLogger(MigrationHost.class);
    private static final Duration LOOK = Duration.ofMillis(200);
    private static final Duration CANCEL_LIMIT = Duration.ofSeconds(60);

    /**
     * A destination whose link broke after the hand-over usually answers at once; only after this
     * time it is the operator's turn.
     */
    private static final Duration UNDECIDED_PATIENCE = Duration.ofSeconds(3);

    private final Registry registry;
    private final PrimaryHost primaries;
    private final Reprotector reprotector;
    private final LostPeer lostPeer;

    MigrationHost(
            Registry registry, PrimaryHost primaries, Reprotector reprotector, LostPeer lostPeer) {
        this.registry = registry;
        this.primaries = primaries;
        this.reprotector = reprotector;
        this.lostPeer = lostPeer;
    }

    /** Moves the domain; returns when that is over. The caller holds its operation. */
    MigrateResult migrate(HostedDomain domain, MigrateRequest request, ProgressListener progress) {
        long orderedNanos = System.nanoTime();
        requireMovable(domain, domain.view());
        FeaturePlan plan = plan(domain.view().spec(), request);
        NodeAddress peer = PrimaryHost.address(request.node());
        leaveProtection(domain, request, plan, peer, progress);
        HostedDomain.View view = domain.view();
        HostedDomain.Body body = requireMovable(domain, view);
        Optional<BeginCookie.Staying> staying =
                domain.wish().flatMap(wish -> reprotector.parting(wish, peer));
        UUID id = UUID.randomUUID();
        SessionLedger.Entry entry =
                new SessionLedger.Entry(
                        id,
                        domain.name(),
                        SessionLedger.Side.PRIMARY,
                        Standing.UNDECIDED,
                        view.generation(),
                        peer.toString(),
                        "none",
                        0);
        progress.progress(new Progress("preparing", 0, 0, 0, "asking " + peer));
        Decoys decoys = PauseFrames.decoys(body.qemu(), view.spec());
        try {
            remember(domain, entry, view.role(), peer);
        } catch (ApiException e) {
            decoys.close();
            throw e;
        }
        Outgoing outgoing = new Outgoing(domain, entry, view.role(), decoys);
        try (StorageProbes probes = StorageProbes.write(view.spec(), body.qemu().qmp(), id)) {
            MigrationOffer offer =
                    new MigrationOffer(view, body, request, plan, peer, id, probes, staying);
            MigrationSource source =
                    MigrationSource.open(
                            offer.settings(orderedNanos),
                            new MovingGuest(
                                    new QemuGuest(
                                            body.qemu(),
                                            body.operated(),
                                            List.of(),
                                            body.place().files().qmpOutOfBand(),
                                            body.place().deviceState(),
                                            QemuGuest.Output.UNHELD,
                                            registry.mirroring()),
                                    outgoing.decoys),
                            new GuestThrottle(body.operated()),
                            (copies, stream) -> offer.disks(copies, stream, registry.mirroring()),
                            registry.self(),
                            outgoing);
            outgoing.source = Optional.of(source);
        } catch (IOException | RuntimeException e) {
            outgoing.neverBegan("not moved: " + e.getMessage());
            throw refusal(peer, e);
        } catch (Error e) {
            outgoing.neverBegan("not moved: " + e);
            throw ApiException.failed("the domain was not moved and goes on here: " + e, e);
        }
        MigrationSource source = outgoing.source.orElseThrow();
        domain.migration(outgoing);
        domain.replace(v -> v.telling("moving to node " + source.peerName()));
        // Until here a death found nobody to tell.
        body.qemu()
                .qmp()
                .closedBecause()
                .ifPresent(reason -> source.post(new SourceEvent.DomainEnded(reason)));
        source.begin();
        return await(domain, outgoing, source, progress);
    }

    private static HostedDomain.Body requireMovable(HostedDomain domain, HostedDomain.View view) {
        switch (view.role()) {
            case PRIMARY -> requireProtectionAgain(domain, view);
            case SECONDARY ->
                    throw ApiException.badRequest(
                            "this node holds the replica of \""
                                    + domain.name()
                                    + "\"; move it where it runs");
            case MOVING ->
                    throw ApiException.badRequest(
                            "domain \"" + domain.name() + "\" is being moved already");
            case ARRIVING ->
                    throw ApiException.badRequest(
                            "domain \"" + domain.name() + "\" is only being moved to this node");
            case UNPROTECTED, SURVIVOR -> {}
        }
        HostedDomain.Body body = domain.requireBody();
        if (view.state() != DomainStatus.State.RUNNING) {
            throw ApiException.badRequest(
                    "domain \""
                            + domain.name()
                            + "\" is "
                            + view.state().text()
                            + "; a running one can be moved: `holdfast unpause` it, or use save and"
                            + " restore");
        }
        return body;
    }

    /** Protection ends for the move: that must be in order, and somebody must renew it. */
    private static void requireProtectionAgain(HostedDomain domain, HostedDomain.View view) {
        if (!(view.session() instanceof HostedDomain.Session.Primary(var session, boolean _))
                || session.outcome().isPresent()
                || session.fault().isPresent()
                || session.state() instanceof PrimaryState.Deciding) {
            throw ApiException.badRequest(
                    "domain \""
                            + domain.name()
                            + "\" has lost its secondary, and who may go on is not decided;"
                            + " `holdfast status "
                            + domain.name()
                            + "` says what to do");
        }
        if (domain.wish().isEmpty()) {
            throw ApiException.badRequest(
                    "domain \""
                            + domain.name()
                            + "\" is protected, once: nobody would protect it on its new node;"
                            + " `holdfast unprotect` it first, or move it with `holdfast failover`"
                            + " on its secondary");
        }
    }

    /**
     * A domain that is to stay protected moves without protection, and is protected again by its
     * new node, or here where it stays. Nothing is ended before the destination has said that it
     * could take it, and has been asked all that can be asked while protection lasts.
     */
    private void leaveProtection(
            HostedDomain domain,
            MigrateRequest request,
            FeaturePlan plan,
            NodeAddress peer,
            ProgressListener progress) {
        HostedDomain.View view = domain.view();
        if (!(view.session() instanceof HostedDomain.Session.Primary(var session, boolean _))
                || view.role() != DomainStatus.Role.PRIMARY) {
            return;
        }
        progress.progress(
                new Progress("preparing", 0, 0, 0, "asking " + peer + " whether it could come"));
        requireWelcome(domain, view, request, plan, peer);
        progress.progress(
                new Progress(
                        "preparing",
                        0,
                        0,
                        0,
                        "protection by node " + session.peerName() + " ends for the move"));
        primaries.leave(domain, session);
    }

    private void requireWelcome(
            HostedDomain domain,
            HostedDomain.View view,
            MigrateRequest request,
            FeaturePlan plan,
            NodeAddress peer) {
        HostedDomain.Body body = domain.requireBody();
        Optional<BeginCookie.Staying> staying =
                domain.wish().flatMap(wish -> reprotector.parting(wish, peer));
        UUID id = UUID.randomUUID();
        try (StorageProbes probes = StorageProbes.write(view.spec(), body.qemu().qmp(), id)) {
            MigrationOffer offer =
                    new MigrationOffer(view, body, request, plan, peer, id, probes, staying);
            offer.requireWanted(
                    MigrationInquiry.ask(
                                    peer, registry.self(), offer.opening(BeginCookie.Intent.ASK))
                            .copies());
        } catch (IOException | RuntimeException e) {
            throw refusal(peer, e);
        }
    }

    private static FeaturePlan plan(DomainSpec spec, MigrateRequest request) {
        List<FeaturePlan.Part> parts = new ArrayList<>();
        if (!spec.disks().isEmpty()) {
            parts.add(FeaturePlan.Part.DISKS);
        }
        if (!spec.nics().isEmpty()) {
            parts.add(FeaturePlan.Part.NICS);
        }
        try {
            return FeaturePlan.of(
                    switch (request.policy()) {
                        case DEFAULT -> FeaturePlan.Policy.DEFAULT;
                        case URGENT -> FeaturePlan.Policy.URGENT;
                        case STRICT -> FeaturePlan.Policy.STRICT;
                    },
                    request.require(),
                    request.bestEffort(),
                    parts);
        } catch (IllegalArgumentException e) {
            throw new ApiException(ApiException.Kind.BAD_REQUEST, e.getMessage(), e);
        }
    }

    private void remember(
            HostedDomain domain,
            SessionLedger.Entry entry,
            DomainStatus.Role before,
            NodeAddress peer) {
        domain.replace(v -> v.with(v.state(), DomainStatus.Role.MOVING));
        try {
            registry.ledger().put(entry);
            registry.remember(domain, peer.toString());
        } catch (UncheckedIOException | StoreException e) {
            domain.replace(v -> v.with(v.state(), before));
            registry.tryRemember(domain, "");
            registry.ledger().remove(entry.session());
            throw ApiException.failed("not moved: " + e.getMessage(), e);
        }
    }

    private static ApiException refusal(NodeAddress peer, Exception e) {
        return switch (e) {
            case LinkRefusedException refused ->
                    new ApiException(
                            ApiException.Kind.BAD_REQUEST,
                            refused.isSameNode()
                                    ? "the domain runs on that node already: "
                                            + refused.getMessage()
                                    : refused.getMessage(),
                            refused);
            default -> PeerFailure.told(peer, "not moved", e);
        };
    }

    private static MigrateResult await(
            HostedDomain domain,
            Outgoing outgoing,
            MigrationSource source,
            ProgressListener progress) {
        MoveProgress view = new MoveProgress();
        long change = domain.view().change();
        long decidedNanos = System.nanoTime();
        while (!outgoing.over()) {
            progress.progress(view.of(outgoing.status()));
            change = domain.await(change, LOOK.toMillis()).change();
            if (source.state() instanceof SourceState.Finished) {
                awaitEnd(source);
            }
            if (!outgoing.undecided()) {
                decidedNanos = System.nanoTime();
            } else if (System.nanoTime() - decidedNanos > UNDECIDED_PATIENCE.toNanos()) {
                throw ApiException.failed(outgoing.undecidedText(), null);
            }
            if (Thread.currentThread().isInterrupted()) {
                throw ApiException.failed(
                        "interrupted; the migration goes on in the background", null);
            }
        }
        MigrationStatus status = outgoing.status();
        if (source.fault().isPresent()) {
            throw ApiException.failed(
                    "an internal fault ended the migration: " + source.fault().get().getMessage(),
                    source.fault().get());
        }
        return new MigrateResult(
                domain.name(),
                source.peerName(),
                status.phase(),
                status.reason(),
                status.elapsedMillis(),
                status.downtimeMillis(),
                status);
    }

    private static void awaitEnd(MigrationSource source) {
        try {
            source.awaitEnd(CANCEL_LIMIT);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Ends a migration before its hand-over. */
    void cancel(HostedDomain domain) {
        Migration migration =
                domain.migration()
                        .filter(m -> !m.over())
                        .orElseThrow(
                                () ->
                                        ApiException.badRequest(
                                                "domain \""
                                                        + domain.name()
                                                        + "\" is not being moved"));
        migration.cancel("cancelled by the operator");
        try {
            long until = System.nanoTime() + CANCEL_LIMIT.toNanos();
            while (!migration.awaitEnd(LOOK)) {
                if (migration.undecided() || System.nanoTime() - until > 0) {
                    throw ApiException.failed(
                            "the migration of \""
                                    + domain.name()
                                    + "\" is not cancelled: it is "
                                    + migration.status().phase(),
                            null);
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw ApiException.failed("interrupted; the migration is being cancelled", e);
        }
        if (migration.status().phase().equals(MigrateResult.MOVED)) {
            throw ApiException.badRequest(
                    "too late: \""
                            + domain.name()
                            + "\" runs on node "
                            + migration.status().peer());
        }
    }

    /** A migration away from this node. Its listener's methods run on the session's thread. */
    private final class Outgoing implements Migration, MigrationSource.Listener {
        private final HostedDomain domain;
        private final SessionLedger.Entry entry;
        private final DomainStatus.Role before;
        private final Decoys decoys;
        private volatile Optional<MigrationSource> source = Optional.empty();
        private volatile boolean operatorWentOn;

        Outgoing(
                HostedDomain domain,
                SessionLedger.Entry entry,
                DomainStatus.Role before,
                Decoys decoys) {
            this.domain = domain;
            this.entry = entry;
            this.before = before;
            this.decoys = decoys;
        }

        @Override
        public MigrationStatus status() {
            return MigrationReport.of(source.orElseThrow());
        }

        @Override
        public boolean over() {
            MigrationSource session = source.orElseThrow();
            return session.outcome().isPresent() || session.fault().isPresent();
        }

        @Override
        public boolean undecided() {
            return source.orElseThrow().state() instanceof SourceState.Asking;
        }

        @Override
        public void cancel(String reason) {
            source.orElseThrow().post(new SourceEvent.Cancel(reason));
        }

        @Override
        public void domainEnded(String reason) {
            source.orElseThrow().post(new SourceEvent.DomainEnded(reason));
        }

        @Override
        public void goOn(String reason) {
            operatorWentOn = true;
            source.orElseThrow().post(new SourceEvent.OperatorGoesOn(reason));
        }

        @Override
        public void giveUp(String reason) {
            source.orElseThrow().post(new SourceEvent.OperatorGivesUp(reason));
        }

        @Override
        public boolean awaitEnd(Duration limit) throws InterruptedException {
            return source.orElseThrow().awaitEnd(limit);
        }

        @Override
        public void changed(Telling telling) {
            // Handed over, it is the other node's, or that is not decided: it stands still here.
            UnaryOperator<HostedDomain.View> change =
                    switch (source.map(MigrationSource::state).orElse(null)) {
                        case null -> UnaryOperator.identity();
                        case SourceState.Asking _ ->
                                v ->
                                        v.with(DomainStatus.State.STOPPED, v.role())
                                                .telling(undecidedText());
                        case SourceState.HandedOver _, SourceState.GivenBack _ ->
                                v -> v.with(DomainStatus.State.STOPPED, v.role());
                        case SourceState.BeforeHandOver _, SourceState.Finished _ ->
                                UnaryOperator.identity();
                    };
            domain.replace(change, telling);
        }

        String undecidedText() {
            String why =
                    source.orElseThrow().state() instanceof SourceState.Asking(var _, String reason)
                            ? reason
                            : "it answers again";
            return "\""
                    + domain.name()
                    + "\" was handed over to node "
                    + entry.peer()
                    + " with generation "
                    + (entry.generation() + 1)
                    + ", which does not say that it runs ("
                    + why
                    + "); this copy stays suspended and asks on. If the copy there is dead,"
                    + " `holdfast unprotect "
                    + domain.name()
                    + "` lets it go on here; if it runs there, `holdfast destroy "
                    + domain.name()
                    + "` ends this copy";
        }

        @Override
        public void finished(SourceOutcome outcome) {
            decoys.close();
            switch (outcome) {
                case SourceOutcome.Moved moved -> {
                    reprotector.gone(domain);
                    note(Standing.TOOK_OVER, moved.generation());
                    registry.ended(
                            domain,
                            "moved to node "
                                    + source.map(MigrationSource::peerName).orElse(entry.peer())
                                    + ", generation "
                                    + moved.generation()
                                    + left());
                }
                case SourceOutcome.RolledBack back -> {
                    if (operatorWentOn) {
                        toldLater();
                    }
                    stays("not moved, it runs here: " + back.reason());
                }
                case SourceOutcome.DomainEnded ended -> {
                    reprotector.gone(domain);
                    note(Standing.UNKNOWN, entry.generation());
                    registry.ended(domain, ended.reason());
                }
            }
        }

        @Override
        public void runsThere() {
            source.ifPresent(
                    is ->
                            domain.view()
                                    .body()
                                    .ifPresent(
                                            body ->
                                                    PauseFrames.forward(
                                                            body.qemu(),
                                                            domain.view().spec(),
                                                            is.settings().peer(),
                                                            registry.self(),
                                                            is.settings().opening().migration())));
        }

        /**
         * The destination has not said that its copy is dead, a person has: it hears of it when it
         * is back, and the copy here is of no older generation than the one there.
         */
        private void toldLater() {
            domain.replace(v -> v.withGeneration(entry.generation() + 1));
            lostPeer.dismissLate(NodeAddress.parse(entry.peer()), entry.session());
        }

        /** What becomes of images whose content is elsewhere now. */
        private String left() {
            List<Path> images =
                    source.map(MigrationSource::copies).orElse(List.of()).stream()
                            .map(copy -> domain.view().spec().disks().get(copy.disk()).path())
                            .toList();
            return images.isEmpty()
                    ? ""
                    : "; its disks were copied there: "
                            + images.stream().map(Path::toString).collect(Collectors.joining(", "))
                            + " stay here as they were at the hand-over, and nobody writes them any"
                            + " more";
        }

        void neverBegan(String reason) {
            decoys.close();
            stays(reason);
        }

        void stays(String reason) {
            domain.replace(v -> v.with(DomainStatus.State.RUNNING, before).telling(reason));
            registry.tryRemember(domain, "");
            note(Standing.DISCARDED, entry.generation());
            reprotector.runsAlone(domain);
        }

        @Override
        public void broken(RuntimeException failure) {
            decoys.close();
            domain.replace(
                    v ->
                            v.with(DomainStatus.State.STOPPED, v.role())
                                    .telling(
                                            "an internal fault ended the migration: "
                                                    + failure.getMessage()
                                                    + "; restart the daemon, it asks node "
                                                    + entry.peer()
                                                    + " whose the domain is"));
        }

        private void note(Standing standing, long generation) {
            try {
                registry.ledger().put(entry.with(standing, generation));
            } catch (UncheckedIOException e) {
                LOG.error(
                        "event=not-remembered migration={} reason=\"{}\"",
                        entry.session(),
                        e.getMessage());
            }
        }
    }

    /** Ends what runs, as far as that is possible without deciding anything. */
    static void leave(HostedDomain domain, Migration migration) {
        migration.cancel("the daemon is being stopped");
        try {
            long until = System.nanoTime() + CANCEL_LIMIT.toNanos();
            while (!migration.awaitEnd(LOOK)
                    && !migration.undecided()
                    && System.nanoTime() - until < 0) {}
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (ReplicationException e) {
            LOG.warn("event=not-left domain={} reason=\"{}\"", domain.name(), e.getMessage());
        }
    }
}
