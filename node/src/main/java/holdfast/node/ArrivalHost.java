package holdfast.node;

import holdfast.engine.HypervisorException;
import holdfast.engine.ReplicationException;
import holdfast.engine.migrate.Cookies;
import holdfast.engine.migrate.DestinationEvent;
import holdfast.engine.migrate.DestinationOutcome;
import holdfast.engine.migrate.DestinationState;
import holdfast.engine.migrate.FeaturePlan;
import holdfast.engine.migrate.Storage;
import holdfast.engine.port.Domain;
import holdfast.engine.port.InboundFrames;
import holdfast.node.api.ApiException;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.MigrationStatus;
import holdfast.node.config.ConfigException;
import holdfast.node.config.DomainFile;
import holdfast.node.disk.ArrivingImages;
import holdfast.node.link.AcceptCookie;
import holdfast.node.link.BeginCookie;
import holdfast.node.link.CookieJson;
import holdfast.node.link.MigrationAccepter;
import holdfast.node.session.MigrationDestination;
import holdfast.node.store.DomainRuntime;
import holdfast.node.store.ProtectionWish;
import holdfast.node.store.StoreException;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.memory.MappedMemory;
import holdfast.wire.ProtocolException;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.Standing;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;

/** Taking in domains that other nodes move here. */
final class ArrivalHost implements MigrationAccepter {
    private static final Logger LOG = LoggerFactory.getLogger(ArrivalHost.class);
    private static final Duration DISMISS_LIMIT = Duration.ofSeconds(15);

    /** Shorter than a source waits for its answer. */
    private static final Duration AGAIN_LIMIT = Duration.ofSeconds(3);

    private final Registry registry;
    private final Reprotector reprotector;
    private final ArrivingFeatures.HookPlace hooks;
    private final ConcurrentHashMap<UUID, Incoming> migrations = new ConcurrentHashMap<>();
    private final PauseFrames pauseFrames = new PauseFrames();

    ArrivalHost(Registry registry, Reprotector reprotector, ArrivingFeatures.HookPlace hooks) {
        this.registry = registry;
        this.reprotector = reprotector;
        this.hooks = hooks;
    }

    @Override
    public Decision decide(
            LinkMessage.Hello peer, String address, LinkMessage.OpenMigration migration) {
        try {
            BeginCookie cookie = CookieJson.read("Begin", migration.cookie(), BeginCookie.class);
            DomainSpec spec = spec(migration, cookie);
            if (cookie.features().isEmpty()) {
                throw ApiException.badRequest("the source names no feature; memory is one");
            }
            ArrivingStorage storage =
                    ArrivingStorage.decide(
                            spec,
                            migration,
                            cookie,
                            registry.self().name(),
                            registry.replicaDirectory());
            Optional<ProtectionWish> wish =
                    Optional.ofNullable(cookie.staying())
                            .map(staying -> Reprotector.moved(staying, address));
            awaitRolledBack(spec.name(), peer.nodeName());
            ArrivalLook look = new ArrivalLook(registry, spec);
            return switch (cookie.intent()) {
                case ASK -> {
                    look.requireAll(cookie.features(), hooks);
                    storage.look(registry.replicaDirectory());
                    yield new Decision.Possible(answer(cookie, storage));
                }
                case MOVE -> {
                    // Its own replica here, of a session that has just ended, may need the room.
                    FormerOwner.awaitGivenBack(registry, spec.name(), peer.nodeName());
                    // Whatever can be seen is seen before anything is made or written over.
                    look.requireAll(cookie.features(), hooks);
                    storage.look(registry.replicaDirectory());
                    yield accept(peer, address, migration, cookie, storage, wish);
                }
            };
        } catch (ApiException
                | ReplicationException
                | ProtocolException
                | UncheckedIOException
                | StoreException e) {
            return new Decision.Refused(e.getMessage());
        }
    }

    /**
     * A source that comes again has given up its last attempt, as one that was cancelled, and this
     * node may not have noticed or may still be at it.
     */
    private void awaitRolledBack(String name, String source) {
        for (Incoming incoming : migrations.values()) {
            if (incoming.domain.name().equals(name) && incoming.entry.peer().equals(source)) {
                MigrationDestination session = incoming.session.orElseThrow();
                session.post(new DestinationEvent.SourceLost("node " + source + " begins anew"));
                try {
                    session.awaitEnd(AGAIN_LIMIT);
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
            }
        }
    }

    /** Empty for a source that cannot send disks. */
    private static Optional<AcceptCookie> answer(BeginCookie cookie, ArrivingStorage storage) {
        return Optional.ofNullable(cookie.storage())
                .map(_ -> new AcceptCookie(Cookies.VERSION, storage.copies()));
    }

    private Decision accept(
            LinkMessage.Hello peer,
            String address,
            LinkMessage.OpenMigration migration,
            BeginCookie cookie,
            ArrivingStorage storage,
            Optional<ProtectionWish> wish) {
        DomainSpec spec = storage.spec();
        if (migrations.containsKey(migration.migration())
                || registry.ledger().get(migration.migration()).isPresent()) {
            throw ApiException.badRequest(
                    "migration "
                            + migration.migration()
                            + " was opened on node "
                            + registry.self().name()
                            + " before; a new one needs an identifier of its own");
        }
        HostedDomain domain =
                new HostedDomain(
                        spec,
                        DomainStatus.State.STANDBY,
                        DomainStatus.Role.ARRIVING,
                        migration.generation(),
                        DomainRuntime.Origin.STARTED);
        SessionLedger.Entry entry =
                new SessionLedger.Entry(
                        migration.migration(),
                        spec.name(),
                        SessionLedger.Side.SECONDARY,
                        Standing.UNDECIDED,
                        migration.generation(),
                        peer.nodeName(),
                        "none",
                        0);
        DomainPlace place = registry.freshPlace(spec.name());
        domain.wish(wish);
        registry.add(domain);
        MappedMemory memory;
        Optional<ArrivingImages> images;
        try {
            // Before anything of it is made: the next daemon must know what it finds.
            registry.ledger().put(entry);
            registry.rememberAhead(domain, place);
            wish.ifPresent(is -> registry.store().putWish(spec.name(), is));
            // There was room a moment ago; it is reserved while QEMU starts and pages come in.
            memory = MappedMemory.createUnreserved(place.files().ram(), spec.memoryBytes());
            images = images(storage, memory);
        } catch (RuntimeException e) {
            place.remove();
            registry.forget(domain);
            registry.ledger().remove(entry.session());
            throw e;
        }
        FeaturePlan plan = new FeaturePlan(cookie.features());
        ArrivingFeatures features =
                new ArrivingFeatures(
                        spec,
                        storage.copies(),
                        migration.migration().toString(),
                        peer.nodeName(),
                        registry.self().name(),
                        hooks,
                        place.hookLog());
        ArrivingDomain arriving =
                new ArrivingDomain(
                        registry, domain, place, entry, memory, images, plan, cookie, features);
        Incoming incoming = new Incoming(domain, entry, features);
        MigrationDestination session =
                new MigrationDestination(
                        migration,
                        peer.nodeName(),
                        address,
                        plan,
                        images.isPresent() ? Storage.COPIED : Storage.SHARED,
                        arriving,
                        incoming);
        arriving.died(
                () -> session.post(new DestinationEvent.Failed("the QEMU that waits here died")));
        pauseFrames.expect(migration.migration());
        arriving.settled(
                body -> pauseFrames.arrived(migration.migration(), body, place.deviceState()));
        incoming.session = Optional.of(session);
        migrations.put(migration.migration(), incoming);
        domain.migration(incoming);
        return session.accepted(memory, answer(cookie, storage), images.map(is -> is));
    }

    /** Last of all: what an image held that is filled is gone from here on. */
    private Optional<ArrivingImages> images(ArrivingStorage storage, MappedMemory memory) {
        try {
            return storage.open(registry.journals(), registry.replicaDirectory());
        } catch (RuntimeException e) {
            memory.close();
            throw e;
        }
    }

    private DomainSpec spec(LinkMessage.OpenMigration migration, BeginCookie cookie) {
        DomainSpec spec;
        try {
            spec = DomainFile.parse("OPEN_MIGRATION", cookie.description());
        } catch (ConfigException e) {
            throw ApiException.badRequest(
                    "the domain's description is not understood here: " + e.getMessage());
        }
        if (!spec.name().equals(migration.domain())
                || spec.memoryBytes() != migration.memoryBytes()) {
            throw ApiException.badRequest(
                    "the migration is of "
                            + migration.domain()
                            + " with "
                            + migration.memoryBytes()
                            + " bytes, its description of "
                            + spec.name()
                            + " with "
                            + spec.memoryBytes());
        }
        return registry.resolved(spec);
    }

    @Override
    public Optional<LinkMessage.Answer> answer(
            LinkMessage.Hello peer, LinkMessage.Inquire inquiry) {
        Incoming incoming = migrations.get(inquiry.session());
        if (incoming == null) {
            return Optional.empty();
        }
        MigrationDestination session = incoming.session.orElseThrow();
        if (inquiry.question() == LinkMessage.Question.DISMISS) {
            session.post(
                    new DestinationEvent.SourceLost(
                            "node " + peer.nodeName() + " asks what became of the domain"));
            try {
                session.awaitEnd(DISMISS_LIMIT);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
        return Optional.of(incoming.standing());
    }

    @Override
    public Optional<Consumer<InboundFrames>> pauseFrames(UUID migration) {
        return pauseFrames.sink(migration);
    }

    /** Ends what is still on its way here; what was handed over stays. */
    void close() {
        migrations
                .values()
                .forEach(
                        incoming -> {
                            MigrationDestination session = incoming.session.orElseThrow();
                            session.post(
                                    new DestinationEvent.Failed("the daemon is being stopped"));
                            try {
                                session.awaitEnd(DISMISS_LIMIT);
                            } catch (InterruptedException e) {
                                Thread.currentThread().interrupt();
                            }
                        });
    }

    /** A migration to this node. Its listener's methods run on the session's thread. */
    private final class Incoming implements Migration, MigrationDestination.Listener {
        private final HostedDomain domain;
        private final SessionLedger.Entry entry;
        private final ArrivingFeatures features;
        private volatile Optional<MigrationDestination> session = Optional.empty();
        private volatile boolean broken;

        Incoming(HostedDomain domain, SessionLedger.Entry entry, ArrivingFeatures features) {
            this.domain = domain;
            this.entry = entry;
            this.features = features;
        }

        LinkMessage.Answer standing() {
            DestinationState state = session.orElseThrow().state();
            Standing standing =
                    switch (state) {
                        case DestinationState.Finished(DestinationOutcome outcome) ->
                                switch (outcome) {
                                    case DestinationOutcome.Arrived _ -> Standing.TOOK_OVER;
                                    case DestinationOutcome.RolledBack _ ->
                                            // Said only once it is written down.
                                            session.orElseThrow().outcome().isPresent()
                                                    ? Standing.DISCARDED
                                                    : Standing.UNDECIDED;
                                    case DestinationOutcome.Unknown _ -> Standing.UNDECIDED;
                                };
                        // It goes one way or the other in a moment.
                        case DestinationState.TakingOver _,
                                DestinationState.Preparing _,
                                DestinationState.Receiving _,
                                DestinationState.BringingUp _,
                                DestinationState.Ready _,
                                DestinationState.TakingDown _ ->
                                Standing.UNDECIDED;
                    };
            return new LinkMessage.Answer(
                    standing,
                    standing == Standing.TOOK_OVER ? entry.generation() + 1 : 0,
                    "node "
                            + registry.self().name()
                            + ": "
                            + MigrationReport.of(session.orElseThrow()).phase());
        }

        @Override
        public MigrationStatus status() {
            return MigrationReport.of(session.orElseThrow());
        }

        @Override
        public boolean over() {
            // Once it runs it is a domain like any other, though the link still says goodbye.
            return broken
                    || session.orElseThrow().outcome().isPresent()
                    || domain.view().body().isPresent();
        }

        @Override
        public boolean undecided() {
            return false;
        }

        @Override
        public void cancel(String reason) {
            session.orElseThrow().post(new DestinationEvent.Failed(reason));
        }

        @Override
        public void domainEnded(String reason) {
            session.orElseThrow().post(new DestinationEvent.Failed(reason));
        }

        @Override
        public void goOn(String reason) {
            throw new IllegalStateException("a destination is never undecided");
        }

        @Override
        public void giveUp(String reason) {
            throw new IllegalStateException("a destination is never undecided");
        }

        @Override
        public boolean awaitEnd(Duration limit) throws InterruptedException {
            return session.orElseThrow().awaitEnd(limit);
        }

        @Override
        public void changed() {
            domain.replace(v -> v);
        }

        @Override
        public void finished(DestinationOutcome outcome, Optional<Domain> runs) {
            try {
                over(outcome);
            } finally {
                // The ledger knows it by now, and whoever comes again finds nothing of it.
                migrations.remove(entry.session());
            }
        }

        private void over(DestinationOutcome outcome) {
            switch (outcome) {
                // Told when it ran, by what is arriving itself. Its old node can hold the replica
                // now that its copy there has ended.
                case DestinationOutcome.Arrived _ -> reprotector.runsAlone(domain);
                case DestinationOutcome.RolledBack(String reason, var _) -> {
                    pauseFrames.doesNotCome(entry.session());
                    registry.ended(domain, "it did not come here: " + reason);
                    registry.forget(domain);
                }
                case DestinationOutcome.Unknown(String reason) -> {
                    domain.replace(
                            v ->
                                    v.with(DomainStatus.State.STOPPED, DomainStatus.Role.ARRIVING)
                                            .telling(
                                                    "it was handed over to this node, and its"
                                                            + " process was ended before it said"
                                                            + " that it runs ("
                                                            + reason
                                                            + "); if nobody heard of it from"
                                                            + " here, `holdfast unprotect "
                                                            + domain.name()
                                                            + "` on node "
                                                            + entry.peer()
                                                            + " lets it go on there"));
                    // Whether it ran or not, it does not run here. Nobody waits for this.
                    features.takeDownLeft();
                }
            }
        }

        @Override
        public void broken(RuntimeException failure) {
            broken = true;
            domain.endOwnOperation();
            LOG.error("event=arrival-broken domain={}", domain.name(), failure);
            domain.replace(
                    v ->
                            v.with(DomainStatus.State.STOPPED, DomainStatus.Role.ARRIVING)
                                    .telling(
                                            "an internal fault ended its arrival: "
                                                    + failure
                                                    + "; restart this daemon, and look at node "
                                                    + entry.peer()));
        }
    }

    /** For a hypervisor that lacks something: as an operator reads it. */
    static HypervisorException lacking(String what, String text) {
        return new HypervisorException(what, text);
    }
}
