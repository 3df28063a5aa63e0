package holdfast.node;

import holdfast.node.api.ApiException;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.RemusRequest;
import holdfast.node.link.BulkCompression;
import holdfast.node.link.NodeIdentity;
import holdfast.node.store.DomainRuntime;
import holdfast.node.store.DomainStore;
import holdfast.node.store.StateDirectory;
import holdfast.node.store.StoreException;
import holdfast.qemu.domain.RunningQemu;
import holdfast.qemu.launch.Accelerator;
import holdfast.qemu.launch.Accelerators;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.ProcessIdentity;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;

/** The domains of this node, what is remembered of them, and where new ones are put. */
final class Registry {
    private static final Logger LOG = LoggerFactory.getLogger(Registry.class);

    private final NodeIdentity self;
    private final StateDirectory state;
    private final Path ramDirectory;
    private final Optional<Path> replicaDirectory;
    private final DomainStore<DomainSpec> store;
    private final SessionLedger ledger;
    private final Mirroring mirroring;
    private final ConcurrentHashMap<String, HostedDomain> domains = new ConcurrentHashMap<>();

    Registry(
            NodeIdentity self,
            StateDirectory state,
            Path ramDirectory,
            Optional<Path> replicaDirectory,
            DomainStore<DomainSpec> store,
            SessionLedger ledger,
            Mirroring mirroring) {
        this.self = self;
        this.state = state;
        this.ramDirectory = ramDirectory;
        this.replicaDirectory = replicaDirectory;
        this.store = store;
        this.ledger = ledger;
        this.mirroring = mirroring;
    }

    NodeIdentity self() {
        return self;
    }

    Path ramDirectory() {
        return ramDirectory;
    }

    /**
     * Memory is reserved whole when it is made; this only says so earlier and nicer.
     *
     * @param givenBytes of memory that is freed before
     */
    void requireRoom(DomainSpec spec, long givenBytes) {
        try {
            long free = Files.getFileStore(ramDirectory).getUsableSpace() + givenBytes;
            if (free < spec.memoryBytes()) {
                throw ApiException.badRequest(
                        "no room for the domain's memory: "
                                + ramDirectory
                                + " on node "
                                + self.name()
                                + " has "
                                + (free >> 20)
                                + " MiB free, needed are "
                                + (spec.memoryBytes() >> 20)
                                + " MiB; enlarge it with mount -o remount,size=... "
                                + ramDirectory);
            }
        } catch (IOException e) {
            throw ApiException.failed(ramDirectory + ": " + e.getMessage(), e);
        }
    }

    /**
     * A tap belongs to one QEMU, and QEMU says only that it is busy.
     *
     * @throws ApiException if another domain of this node has one that {@code spec} names
     */
    void requireFreeTaps(DomainSpec spec) {
        for (DomainSpec.Nic nic : spec.nics()) {
            if (nic instanceof DomainSpec.TapNic(String _, String tap, Optional<String> _)) {
                domains.values().stream()
                        .filter(domain -> !domain.name().equals(spec.name()))
                        .filter(domain -> domain.view().isLive() && hasTap(domain, tap))
                        .findFirst()
                        .ifPresent(
                                domain -> {
                                    throw tapInUse(tap, domain);
                                });
            }
        }
    }

    private static boolean hasTap(HostedDomain domain, String name) {
        return domain.view().spec().nics().stream()
                .anyMatch(nic -> nic instanceof DomainSpec.TapNic is && is.tap().equals(name));
    }

    private ApiException tapInUse(String tap, HostedDomain domain) {
        return ApiException.badRequest(
                "tap "
                        + tap
                        + " is in use on node "
                        + self.name()
                        + " by domain \""
                        + domain.name()
                        + "\" ("
                        + domain.view().role().text()
                        + "); give each domain a tap of its own in `nics`, or end that one with"
                        + " `holdfast destroy "
                        + domain.name()
                        + "`");
    }

    DomainStore<DomainSpec> store() {
        return store;
    }

    SessionLedger ledger() {
        return ledger;
    }

    Mirroring mirroring() {
        return mirroring;
    }

    StateDirectory state() {
        return state;
    }

    /** Where replicas of disks lie, whatever descriptions say. */
    Optional<Path> replicaDirectory() {
        return replicaDirectory;
    }

    /** Where the disks of replicas keep what is not in their images yet. */
    Path journals() {
        return state.path().resolve("journals");
    }

    /** Where monitors and filters put their sockets. */
    Path runDirectory() {
        return state.run();
    }

    DomainPlace freshPlace(String name) {
        return DomainPlace.fresh(runDirectory(), ramDirectory, name);
    }

    /** {@code spec} with an accelerator that works here. */
    DomainSpec resolved(DomainSpec spec) {
        return spec.accelerator() == Accelerator.AUTO
                ? spec.withAccelerator(Accelerators.resolve(spec.accelerator(), findings()))
                : spec;
    }

    /** Where what was found out about this machine is kept. */
    Path findings() {
        return Accelerators.cacheDirectory(state.path());
    }

    Collection<HostedDomain> all() {
        return new TreeMap<>(domains).values();
    }

    /**
     * @throws ApiException if there is none
     */
    HostedDomain require(String name) {
        HostedDomain domain = domains.get(name);
        if (domain == null) {
            throw ApiException.unknownDomain(name);
        }
        return domain;
    }

    /**
     * Takes the name. A domain of that name that has ended gives way.
     *
     * @throws ApiException if a live one has it
     */
    void add(HostedDomain domain) {
        domains.compute(
                domain.name(),
                (name, present) -> {
                    if (present != null && present.view().isLive()) {
                        throw ApiException.exists(name);
                    }
                    return domain;
                });
    }

    /** Forgets this very domain; another one that has its name by now stays. */
    void forget(HostedDomain domain) {
        if (domains.remove(domain.name(), domain)) {
            store.remove(domain.name());
        }
    }

    Map<String, HostedDomain> byName() {
        return domains;
    }

    /**
     * Writes down where the domain runs now.
     *
     * @param peer the secondary, {@code host:port}; empty while there is none
     * @throws StoreException if that is not possible; a restarted daemon would be wrong
     */
    void remember(HostedDomain domain, String peer) {
        HostedDomain.View view = domain.view();
        store.putSpec(domain.name(), view.spec());
        if (view.body().isPresent()) {
            HostedDomain.Body body = view.body().get();
            RunningQemu qemu = body.qemu().qemu();
            store.putRuntime(
                    domain.name(),
                    new DomainRuntime(
                            view.role(),
                            view.generation(),
                            qemu.process().pid(),
                            qemu.process().startTicks(),
                            body.place().files().ram().toString(),
                            body.qemu().qmp().socket().toString(),
                            "",
                            peer,
                            view.origin()));
            rememberPause(domain);
        }
    }

    /**
     * Writes down whether an operator has paused the domain: it stays so whatever becomes of this
     * daemon.
     */
    void rememberPause(HostedDomain domain) {
        boolean paused =
                domain.view()
                        .body()
                        .filter(body -> body.operated().isHeld(OperatedDomain.Hold.OPERATOR))
                        .isPresent();
        store.putWanted(
                domain.name(), paused ? DomainStore.Wanted.PAUSED : DomainStore.Wanted.RUNNING);
    }

    /**
     * Writes down where the domain will be, before anything of it is there: a daemon that dies from
     * here on leaves nothing behind that the next one does not find.
     *
     * @throws StoreException if that is not possible
     */
    void rememberAhead(HostedDomain domain, DomainPlace place) {
        store.putSpec(domain.name(), domain.view().spec());
        putRuntime(domain, place, Optional.empty());
    }

    /** Writes down the process of what was {@link #rememberAhead remembered ahead}. */
    void rememberProcess(HostedDomain domain, DomainPlace place, ProcessIdentity process) {
        putRuntime(domain, place, Optional.of(process));
    }

    private void putRuntime(
            HostedDomain domain, DomainPlace place, Optional<ProcessIdentity> process) {
        HostedDomain.View view = domain.view();
        store.putRuntime(domain.name(), place.runtime(view.role(), view.generation(), process));
    }

    /** As {@link #remember}; a failure is told to the operator and changes nothing else. */
    void tryRemember(HostedDomain domain, String peer) {
        try {
            remember(domain, peer);
        } catch (StoreException e) {
            LOG.error(
                    "event=not-remembered domain={} reason=\"{}\"", domain.name(), e.getMessage());
            domain.replace(view -> view.telling(e.getMessage()));
        }
    }

    /** Its process is gone for good: what it occupied is freed, the operator sees why. */
    void ended(HostedDomain domain, String reason) {
        // Nobody may read ENDED while something of it still runs.
        domain.removeBody();
        domain.replace(
                view ->
                        view.with(DomainStatus.State.ENDED, DomainStatus.Role.UNPROTECTED)
                                .telling(reason));
        try {
            if (domains.get(domain.name()) == domain) {
                store.remove(domain.name());
            }
        } catch (StoreException e) {
            LOG.error("event=not-forgotten domain={} reason=\"{}\"", domain.name(), e.getMessage());
        }
    }

    static holdfast.node.session.Arbiters arbiter(RemusRequest.ArbiterKind kind) {
        return switch (kind) {
            case OPERATOR -> holdfast.node.session.Arbiters.OPERATOR;
            case NONE -> holdfast.node.session.Arbiters.NONE;
        };
    }

    static BulkCompression compression(MigrateRequest.Compress wish) {
        return switch (wish) {
            case AUTO -> BulkCompression.AUTO;
            case NONE -> BulkCompression.NONE;
            case ZSTD -> BulkCompression.ZSTD;
        };
    }
}
