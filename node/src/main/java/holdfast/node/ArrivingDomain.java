package holdfast.node;

import holdfast.engine.HypervisorException;
import holdfast.engine.ReplicationException;
import holdfast.engine.migrate.Arrival;
import holdfast.engine.migrate.Cookies;
import holdfast.engine.migrate.Feature;
import holdfast.engine.migrate.FeaturePlan;
import holdfast.engine.migrate.FeatureReport;
import holdfast.engine.port.Domain;
import holdfast.node.api.DomainStatus;
import holdfast.node.link.BeginCookie;
import holdfast.node.store.DomainRuntime;
import holdfast.node.store.StoreException;
import holdfast.qemu.domain.QemuArrival;
import holdfast.qemu.domain.QemuDomain;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.ProcessIdentity;
import holdfast.qemu.memory.MappedMemory;
import holdfast.wire.link.Standing;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** A domain on its way to this node: its QEMU, its features, and what is remembered of it. */
final class ArrivingDomain implements Arrival {
    private static final Logger LOG = LoggerFactory.getLogger(ArrivingDomain.class);

    private final Registry registry;
    private final HostedDomain domain;
    private final DomainPlace place;
    private final SessionLedger.Entry entry;
    private final MappedMemory memory;
    private final FeaturePlan plan;
    private final BeginCookie begin;
    private final ArrivingFeatures features;
    private Runnable died = () -> {};
    private Optional<SessionLedger.Staged> taken = Optional.empty();
    private Optional<QemuArrival> qemu = Optional.empty();

    ArrivingDomain(
            Registry registry,
            HostedDomain domain,
            DomainPlace place,
            SessionLedger.Entry entry,
            MappedMemory memory,
            FeaturePlan plan,
            BeginCookie begin,
            ArrivingFeatures features) {
        this.registry = registry;
        this.domain = domain;
        this.place = place;
        this.entry = entry;
        this.memory = memory;
        this.plan = plan;
        this.begin = begin;
        this.features = features;
    }

    /** What to do when QEMU dies before the domain runs; set before the session begins. */
    void died(Runnable action) {
        died = action;
    }

    @Override
    public Cookies.Prepared prepare() {
        DomainSpec spec = domain.view().spec();
        place.makeTaps(spec);
        QemuArrival started =
                QemuArrival.start(
                        spec,
                        place.files(),
                        memory,
                        spec.accelerator(),
                        place.deviceState(),
                        StandbyStart.LIMIT);
        qemu = Optional.of(started);
        started.qmp().onClosed(died);
        requireCpu(started);
        remember(started);
        // Of what is written in the pause only the name is left.
        taken =
                Optional.of(
                        registry.ledger()
                                .stage(entry.with(Standing.TOOK_OVER, entry.generation() + 1)));
        return new Cookies.Prepared(
                Cookies.VERSION,
                registry.self().name(),
                started.domain().qemu().version().toString(),
                features.prepare(plan));
    }

    /** A guest may use whatever its CPU had when it started. */
    private void requireCpu(QemuArrival started) {
        Map<String, Long> here = QemuArrival.cpuFeatures(started.qmp());
        begin.cpuFeatures()
                .forEach(
                        (register, wanted) -> {
                            long missing = wanted & ~here.getOrDefault(register, 0L);
                            if (missing != 0) {
                                throw ArrivalHost.lacking(
                                        "compare CPUs",
                                        "the guest's CPU has features that node "
                                                + registry.self().name()
                                                + " cannot give it: "
                                                + register
                                                + " bits 0x"
                                                + Long.toHexString(missing)
                                                + "; start the domain with a CPU model that both"
                                                + " nodes have");
                            }
                        });
    }

    private void remember(QemuArrival started) {
        try {
            registry.store()
                    .putRuntime(
                            domain.name(),
                            runtime(entry, place, Optional.of(started.process().identity())));
        } catch (StoreException e) {
            throw new HypervisorException("remember the domain", e.getMessage(), e);
        }
    }

    /**
     * What a restarted daemon must know to remove all of it.
     *
     * @param process its QEMU, once there is one
     */
    static DomainRuntime runtime(
            SessionLedger.Entry entry, DomainPlace place, Optional<ProcessIdentity> process) {
        return new DomainRuntime(
                DomainStatus.Role.ARRIVING,
                entry.generation(),
                process.map(ProcessIdentity::pid).orElse(0L),
                process.map(ProcessIdentity::startTicks).orElse(0L),
                place.files().ram().toString(),
                place.files().qmp().toString(),
                "",
                "",
                DomainRuntime.Origin.STARTED);
    }

    @Override
    public void offerBase(MemorySegment base) {
        qemu.orElseThrow().offerBase(base);
    }

    @Override
    public void arrived(MemorySegment base, MemorySegment sections) {
        features.arrived(base, sections);
    }

    @Override
    public FeatureReport bringUp(Feature feature) {
        return features.bringUp(feature, qemu.orElseThrow());
    }

    @Override
    public FeatureReport takeDown(FeatureReport up) {
        return features.takeDown(up);
    }

    @Override
    public Run run(long generation) {
        // Whatever dies next, nobody resurrects the other copy.
        registry.ledger().commit(taken.orElseThrow());
        List<String> problems = new ArrayList<>();
        QemuArrival.Run ran = qemu.orElseThrow().run(problems);
        return switch (ran) {
            case RUNS -> new Run.Ran(qemu.orElseThrow().domain());
            case NEVER_RAN -> new Run.NeverRan(String.join("; ", problems));
            case MAY_HAVE_RUN -> {
                registry.ledger().put(entry.with(Standing.UNDECIDED, entry.generation()));
                yield new Run.MayHaveRun(String.join("; ", problems));
            }
        };
    }

    @Override
    public void settle(Domain runs) {
        QemuDomain body = (QemuDomain) runs;
        domain.replace(
                view ->
                        view.with(DomainStatus.State.RUNNING, DomainStatus.Role.UNPROTECTED)
                                .withGeneration(entry.generation() + 1)
                                .with(Optional.of(HostedDomain.Body.running(body, place)))
                                .telling("moved here from node " + entry.peer()));
        GuestWatch.begin(registry, domain, body);
        qemu.orElseThrow().settle();
        registry.tryRemember(domain, "");
    }

    @Override
    public void discard(String reason, List<FeatureReport> reports) {
        for (FeatureReport report : reports) {
            if (report.result() == FeatureReport.Result.DOWN_FAILED) {
                LOG.warn(
                        "event=feature-left domain={} feature={} reason=\"{}\"",
                        domain.name(),
                        report.name(),
                        report.detail());
            }
        }
        try {
            qemu.ifPresent(QemuArrival::close);
        } catch (ReplicationException e) {
            LOG.warn("event=not-discarded domain={} reason=\"{}\"", domain.name(), e.getMessage());
        }
        if (qemu.isEmpty()) {
            memory.close();
        }
        taken.ifPresent(registry.ledger()::unstage);
        place.remove();
        registry.ledger().put(entry.with(Standing.DISCARDED, entry.generation()));
    }
}
