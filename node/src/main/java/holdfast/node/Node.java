package holdfast.node;

import holdfast.engine.ReplicationException;
import holdfast.node.api.ApiException;
import holdfast.node.api.AttachRequest;
import holdfast.node.api.DomainName;
import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.NodeApi;
import holdfast.node.api.NodeInfo;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest;
import holdfast.node.api.RestoreRequest;
import holdfast.node.api.SaveRequest;
import holdfast.node.api.SaveResult;
import holdfast.node.api.Version;
import holdfast.node.config.ConfigException;
import holdfast.node.config.DomainFile;
import holdfast.node.link.LinkListener;
import holdfast.node.link.NodeIdentity;
import holdfast.node.store.DomainStore;
import holdfast.node.store.ProtectionWish;
import holdfast.node.store.StateDirectory;
import holdfast.node.store.StoreException;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.function.Supplier;

/** A node: its domains, the listener for other nodes, and what operators may ask. */
public final class Node implements NodeApi, AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Node.class);

    /** One hook, one verb. */
    private static final java.time.Duration HOOK_LIMIT = java.time.Duration.ofSeconds(10);

    /** The version other nodes and operators are told. */
    private static final String VERSION = Version.current();

    /**
     * @param host to listen on for other nodes
     * @param port 0: one that is free
     * @param ramDirectory a memory file system for guest memory
     * @param replicaDirectory where replicas of disks lie; where their descriptions say if empty
     * @param heartbeatMillis for requests that do not say
     * @param deadlineMillis for requests that do not say
     * @param looks whether it looks for nodes that protect its domains by itself
     * @param hooksDirectory where executables lie that a migration's features may name
     */
    public record Settings(
            String name,
            String host,
            int port,
            StateDirectory state,
            Path ramDirectory,
            Optional<Path> replicaDirectory,
            int heartbeatMillis,
            int deadlineMillis,
            Looks looks,
            Path hooksDirectory) {
        /** Of a node that looks by itself, with replicas where descriptions say. */
        public Settings(
                String name,
                String host,
                int port,
                StateDirectory state,
                Path ramDirectory,
                int heartbeatMillis,
                int deadlineMillis) {
            this(
                    name,
                    host,
                    port,
                    state,
                    ramDirectory,
                    Optional.empty(),
                    heartbeatMillis,
                    deadlineMillis,
                    Looks.BY_ITSELF,
                    state.path().resolve("hooks"));
        }
    }

    /** Whether a node looks by itself for another one when its domains lose protection. */
    public enum Looks {
        /** It does. */
        BY_ITSELF,
        /** It remembers what is wished, and that is all. */
        NEVER
    }

    private final Settings settings;
    private final Registry registry;
    private final Instant started = Instant.now();
    private final ScheduledExecutorService timer =
            Executors.newSingleThreadScheduledExecutor(
                    Thread.ofPlatform().name("node-timer").daemon().factory());
    private final CountDownLatch stopping = new CountDownLatch(1);
    private final Reprotector reprotector;
    private final LostPeer lostPeer;
    private final SecondaryHost secondaries;
    private final PrimaryHost primaries;
    private final MigrationHost migrations;
    private final ArrivalHost arrivals;
    private final Recovery recovery;
    private final DomainOperations operations;
    private final SessionOperations sessions;
    private final LinkListener listener;

    /**
     * Meets the domains of the state directory again and begins to listen.
     *
     * @throws ApiException if the address is taken or the state directory cannot be used
     */
    public static Node start(Settings settings) {
        return start(settings, Mirroring.DEFAULT);
    }

    /** As the other one, with disks mirrored in a way of one's own. */
    static Node start(Settings settings, Mirroring mirroring) {
        try {
            return new Node(settings, mirroring);
        } catch (IOException e) {
            throw ApiException.missing(
                    "node "
                            + settings.name()
                            + " cannot start on "
                            + settings.host()
                            + ":"
                            + settings.port()
                            + ": "
                            + e.getMessage()
                            + "; choose another address or end what listens there",
                    "");
        }
    }

    private Node(Settings settings, Mirroring mirroring) throws IOException {
        this.settings = settings;
        Path state = settings.state().path();
        NodeIdentity self = new NodeIdentity(settings.name(), identity(state), VERSION);
        settings.state().create();
        registry =
                new Registry(
                        self,
                        settings.state(),
                        settings.ramDirectory(),
                        settings.replicaDirectory(),
                        new DomainStore<>(settings.state().domains(), DomainFile.CODEC),
                        new SessionLedger(
                                state.resolve("sessions"), settings.state().run().resolve("taken")),
                        mirroring);
        reprotector = new Reprotector(registry, settings.looks());
        secondaries = new SecondaryHost(registry, reprotector);
        lostPeer = new LostPeer(self, new StaleReplicas(state.resolve("stale-replicas")));
        primaries = new PrimaryHost(registry, reprotector, lostPeer);
        migrations = new MigrationHost(registry, primaries, reprotector, lostPeer);
        ArrivingFeatures.HookPlace hooks =
                new ArrivingFeatures.HookPlace(settings.hooksDirectory(), HOOK_LIMIT);
        arrivals = new ArrivalHost(registry, reprotector, hooks);
        recovery = new Recovery(registry, reprotector, lostPeer, hooks, timer);
        operations = new DomainOperations(registry);
        sessions = new SessionOperations(registry, reprotector, primaries, secondaries, recovery);
        // The listener comes last: whoever asks gets answers of a node that knows its domains.
        recovery.run();
        settings.state().recordBoot();
        listener = LinkListener.open(settings.host(), settings.port(), self, secondaries, arrivals);
        lostPeer.goOnTelling();
        Rehearsal.begin();
        reprotector.begin(primaries, announcedHost(), listener.address().getPort());
        LOG.info(
                "event=node-started node={} id={} version={} listen={} state={} ram={} domains={}",
                self.name(),
                self.id(),
                VERSION,
                listener.address(),
                state,
                settings.ramDirectory(),
                registry.all().size());
    }

    /** Others find this node where it connects from, unless it listens on one address only. */
    private String announcedHost() throws IOException {
        InetAddress bound = listener.address().getAddress();
        return bound.isAnyLocalAddress() ? "" : bound.getHostAddress();
    }

    /** The same as long as the state directory is. */
    private static UUID identity(Path state) throws IOException {
        Path file = state.resolve("node-id");
        if (Files.exists(file)) {
            return UUID.fromString(Files.readString(file).strip());
        }
        UUID id = UUID.randomUUID();
        Path beside = state.resolve("node-id.new");
        Files.writeString(beside, id + "\n");
        Files.move(beside, file, java.nio.file.StandardCopyOption.ATOMIC_MOVE);
        return id;
    }

    /** The port other nodes reach it on. */
    public int port() {
        try {
            return listener.address().getPort();
        } catch (IOException e) {
            throw ApiException.failed("the listener is closed", e);
        }
    }

    @Override
    public NodeInfo nodeInfo() {
        return new NodeInfo(
                settings.name(),
                VERSION,
                ProcessHandle.current().pid(),
                started.truncatedTo(ChronoUnit.MILLIS).toString(),
                settings.host() + ":" + port(),
                settings.state().path().toString(),
                settings.ramDirectory().toString(),
                ramFreeBytes(),
                operations.qemu(),
                registry.all().size());
    }

    private long ramFreeBytes() {
        try {
            return Files.getFileStore(settings.ramDirectory()).getUsableSpace();
        } catch (IOException e) {
            throw ApiException.failed(settings.ramDirectory() + ": " + e.getMessage(), e);
        }
    }

    @Override
    public List<DomainStatus> list() {
        return registry.all().stream().map(this::report).toList();
    }

    @Override
    public DomainStatus status(String domain) {
        return report(registry.require(domain));
    }

    private DomainStatus report(HostedDomain domain) {
        return StatusReport.of(settings.name(), settings.looks(), domain);
    }

    @Override
    public DomainStatus awaitChange(String domain, long afterChange, long timeoutMillis) {
        registry.require(domain).await(afterChange, Math.clamp(timeoutMillis, 0, 60_000));
        return status(domain);
    }

    @Override
    public DomainStatus create(DomainSource source) {
        HostedDomain domain = explained(() -> operations.create(DomainFile.parse(source)));
        domain.view().spec().remusBackup().ifPresent(backup -> protectAtOnce(domain, backup));
        return report(domain);
    }

    /** The guest runs by now, and goes on running whatever becomes of its protection. */
    private void protectAtOnce(HostedDomain domain, String backup) {
        RemusRequest request = RemusRequest.of(domain.name(), backup);
        try {
            remus(request, ProgressListener.none());
        } catch (ApiException e) {
            LOG.warn(
                    "event=not-protected domain={} backup={} reason=\"{}\"",
                    domain.name(),
                    backup,
                    e.getMessage());
            // Where the other node holds something already, the session's own words stand.
            domain.replace(
                    view ->
                            view.role() == DomainStatus.Role.PRIMARY
                                    ? view
                                    : view.telling("not protected: " + e.getMessage()));
            // What the description wants is wanted until the operator says otherwise.
            reprotector.wished(
                    domain,
                    ProtectionWish.of(
                            request.orElse(settings.heartbeatMillis(), settings.deadlineMillis())));
            reprotector.settle();
        }
    }

    @Override
    public DomainStatus attach(AttachRequest request) {
        return explained(() -> report(operations.attach(request)));
    }

    @Override
    public DomainStatus pause(String domain) {
        return operate(domain, operations::pause);
    }

    @Override
    public DomainStatus unpause(String domain) {
        return operate(domain, operations::unpause);
    }

    @Override
    public void destroy(String name) {
        operate(name, sessions::destroy);
    }

    @Override
    public SaveResult save(SaveRequest request, ProgressListener progress) {
        HostedDomain domain = registry.require(request.domain());
        requireNotMoving(domain);
        return locked(domain, () -> operations.save(domain, request, progress));
    }

    @Override
    public DomainStatus cancelSave(String name) {
        HostedDomain domain = registry.require(name);
        return explained(
                () -> {
                    operations.cancelSave(domain);
                    // Whoever saves holds the operation until the guest runs again.
                    return locked(domain, () -> report(domain));
                });
    }

    @Override
    public DomainStatus restore(RestoreRequest request, ProgressListener progress) {
        return explained(() -> report(operations.restore(request, progress)));
    }

    @Override
    public DomainStatus remus(RemusRequest request, ProgressListener progress) {
        RemusRequest whole = request.orElse(settings.heartbeatMillis(), settings.deadlineMillis());
        return operate(
                request.domain(),
                domain -> {
                    primaries.protect(domain, whole, progress);
                    reprotector.settle();
                });
    }

    @Override
    public MigrateResult migrate(MigrateRequest request, ProgressListener progress) {
        MigrateRequest whole =
                request.orElse(settings.heartbeatMillis(), settings.deadlineMillis());
        HostedDomain domain = registry.require(request.domain());
        requireNotMoving(domain);
        return locked(domain, () -> migrations.migrate(domain, whole, progress));
    }

    @Override
    public DomainStatus cancelMigration(String name) {
        HostedDomain domain = registry.require(name);
        return explained(
                () -> {
                    migrations.cancel(domain);
                    return report(domain);
                });
    }

    /** An operation would wait for the migration's end: nobody wants that unasked. */
    private static void requireNotMoving(HostedDomain domain) {
        domain.migration()
                .filter(migration -> !migration.over() && !migration.undecided())
                .ifPresent(
                        migration -> {
                            throw ApiException.badRequest(
                                    "domain \""
                                            + domain.name()
                                            + "\" is being moved ("
                                            + migration.status().phase()
                                            + "); wait for its end, or `holdfast migrate --cancel "
                                            + domain.name()
                                            + "`");
                        });
    }

    @Override
    public DomainStatus unprotect(String name) {
        return operate(name, sessions::unprotect);
    }

    @Override
    public DomainStatus failover(String name) {
        return operate(name, sessions::failover);
    }

    private interface Operation {
        void on(HostedDomain domain);
    }

    private DomainStatus operate(String name, Operation operation) {
        HostedDomain domain = registry.require(name);
        requireNotMoving(domain);
        return locked(
                domain,
                () -> {
                    operation.on(domain);
                    return report(domain);
                });
    }

    /** One operation on a domain at a time; what fails reaches the operator as one line. */
    private static <T> T locked(HostedDomain domain, Supplier<T> operation) {
        domain.operation.lock();
        try {
            return explained(operation);
        } finally {
            domain.operation.unlock();
        }
    }

    /** What fails reaches the operator as one line, and says whose turn it is. */
    private static <T> T explained(Supplier<T> operation) {
        try {
            return operation.get();
        } catch (ConfigException e) {
            throw new ApiException(ApiException.Kind.BAD_REQUEST, e.getMessage(), e);
        } catch (StoreException e) {
            throw new ApiException(ApiException.Kind.MISSING, e.getMessage(), e);
        } catch (ReplicationException | UncheckedIOException e) {
            throw ApiException.failed(e.getMessage(), e);
        }
    }

    static void requireLegalName(String name) {
        if (!DomainName.isLegal(name)) {
            throw ApiException.badRequest(
                    "domain name \"" + name + "\": allowed are " + DomainName.RULE);
        }
    }

    @Override
    public void stopNode() {
        stopping.countDown();
    }

    /** Waits until somebody asked for the end. */
    void awaitStop() throws InterruptedException {
        stopping.await();
    }

    /**
     * Ends in order: protection ends, unprotected domains run on without a daemon, replicas are
     * discarded.
     */
    @Override
    public void close() {
        reprotector.close();
        for (HostedDomain domain : registry.all()) {
            domain.migration()
                    .filter(migration -> !migration.over())
                    .ifPresent(migration -> MigrationHost.leave(domain, migration));
        }
        arrivals.close();
        for (HostedDomain domain : registry.all()) {
            try {
                sessions.leave(domain);
            } catch (ApiException | ReplicationException e) {
                LOG.warn("event=not-left domain={} reason=\"{}\"", domain.name(), e.getMessage());
            }
        }
        secondaries.awaitEnded();
        lostPeer.close();
        timer.shutdownNow();
        try {
            listener.close();
        } catch (IOException e) {
            LOG.warn("event=listener-close reason=\"{}\"", e.getMessage());
        }
        LOG.info("event=node-stopped node={}", settings.name());
    }

    /**
     * Forgets everything at once, as a killed process does; for tests of what a successor finds.
     */
    void abandon() {
        LOG.info("event=abandoned node={}", settings.name());
        reprotector.close();
        lostPeer.close();
        timer.shutdownNow();
        try {
            listener.close();
        } catch (IOException e) {
            LOG.warn("event=listener-close reason=\"{}\"", e.getMessage());
        }
        registry.all()
                .forEach(domain -> domain.view().body().ifPresent(body -> body.qemu().close()));
    }
}
