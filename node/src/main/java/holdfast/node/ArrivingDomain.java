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
import holdfast.node.disk.ArrivingImages;
import holdfast.node.link.BeginCookie;
import holdfast.node.session.Telling;
import holdfast.node.store.StoreException;
import holdfast.qemu.domain.QemuArrival;
import holdfast.qemu.domain.QemuDomain;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.memory.MappedMemory;
import holdfast.wire.link.Standing;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** A domain on its way to this node: its QEMU, its features, and what is remembered of it. */
final class ArrivingDomain implements Arrival {
    private static final Logger LOG = LoggerFactory.getLogger(ArrivingDomain.class);

    /** For all of a guest's memory, on a machine that is short of it. */
    private static final Duration RESERVE_LIMIT = Duration.ofSeconds(60);

    private final Registry registry;
    private final HostedDomain domain;
    private final DomainPlace place;
    private final SessionLedger.Entry entry;
    private final MappedMemory memory;
    private final Optional<ArrivingImages> images;
    private final FeaturePlan plan;
    private final BeginCookie begin;
    private final ArrivingFeatures features;
    private Runnable died = () -> {};
    private Consumer<QemuDomain> settled = _ -> {};
    private Optional<SessionLedger.Staged> staged = Optional.empty();
    private Optional<QemuArrival> qemu = Optional.empty();

    ArrivingDomain(
            Registry registry,
            HostedDomain domain,
            DomainPlace place,
            SessionLedger.Entry entry,
            MappedMemory memory,
            Optional<ArrivingImages> images,
            FeaturePlan plan,
            BeginCookie begin,
            ArrivingFeatures features) {
        this.registry = registry;
        this.domain = domain;
        this.place = place;
        this.entry = entry;
        this.memory = memory;
        this.images = images;
        this.plan = plan;
        this.begin = begin;
        this.features = features;
    }

    /** What to do when QEMU dies before the domain runs; set before the session begins. */
    void died(Runnable action) {
        died = action;
    }

    /** Who hears, right after it, that the guest runs here; set before the session begins. */
    void settled(Consumer<QemuDomain> action) {
        settled = action;
    }

    @Override
    public Cookies.Prepared prepare() {
        DomainSpec spec = domain.view().spec();
        FutureTask<SessionLedger.Staged> reservation = new FutureTask<>(this::reserve);
        Thread reserving =
                Thread.ofPlatform().name("reserve-" + domain.name()).daemon().start(reservation);
        try {
            place.makeTaps(
                    spec,
                    plan.isBestEffort(Feature.NETWORK)
                            ? DomainPlace.NoBridge.LEFT_OUT
                            : DomainPlace.NoBridge.FAILS);
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
        } finally {
            // Whatever failed, what was staged meanwhile must be known to be taken back.
            staged = ended(reserving, reservation);
        }
        requireReserved(reservation);
        return new Cookies.Prepared(
                Cookies.VERSION,
                registry.self().name(),
                qemu.orElseThrow().domain().qemu().version().toString(),
                features.prepare(plan));
    }

    /** What takes a while and needs no QEMU, beside its start. */
    private SessionLedger.Staged reserve() {
        memory.reserve();
        return registry.ledger().stage(entry.with(Standing.TOOK_OVER, entry.generation() + 1));
    }

    private static Optional<SessionLedger.Staged> ended(
            Thread reserving, FutureTask<SessionLedger.Staged> reservation) {
        try {
            return reserving.join(RESERVE_LIMIT) && reservation.state() == Future.State.SUCCESS
                    ? Optional.of(reservation.resultNow())
                    : Optional.empty();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return Optional.empty();
        }
    }

    private static void requireReserved(FutureTask<SessionLedger.Staged> reservation) {
        switch (reservation.state()) {
            case SUCCESS -> {}
            case FAILED -> {
                Throwable failure = reservation.exceptionNow();
                throw failure instanceof ReplicationException known
                        ? known
                        : new HypervisorException(
                                "reserve memory", String.valueOf(failure.getMessage()), failure);
            }
            case RUNNING, CANCELLED ->
                    throw new HypervisorException(
                            "reserve memory",
                            "not done within " + RESERVE_LIMIT.toSeconds() + " s");
        }
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
            registry.rememberProcess(domain, place, started.process().identity());
        } catch (StoreException e) {
            throw new HypervisorException("remember the domain", e.getMessage(), e);
        }
    }

    @Override
    public void offerBase(MemorySegment base) {
        qemu.orElseThrow().offerBase(base);
    }

    @Override
    public void offerSections(MemorySegment base, MemorySegment part) {
        features.offerSections(base, part, qemu.orElseThrow());
    }

    @Override
    public void giveUp() {
        features.giveUp();
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
        long begun = System.nanoTime();
        try {
            // Whatever dies next, nobody resurrects the other copy.
            registry.ledger().take(staged.orElseThrow());
        } catch (UncheckedIOException e) {
            return new Run.NeverRan(e.getMessage());
        }
        long written = System.nanoTime();
        List<String> problems = new ArrayList<>();
        QemuArrival.Run ran = qemu.orElseThrow().run(problems);
        LOG.info(
                "event=let-run domain={} result={} writtenMicros={} runMicros={}",
                domain.name(),
                ran,
                TimeUnit.NANOSECONDS.toMicros(written - begun),
                TimeUnit.NANOSECONDS.toMicros(System.nanoTime() - written));
        return switch (ran) {
            case RUNS -> {
                QemuDomain body = qemu.orElseThrow().domain();
                // Before the source says that it has moved: whoever looks here then sees it run.
                // Whoever orders something waits until it is settled. The operation of before is
                // not waited for: it may wait for this thread.
                boolean _ = domain.operation.tryLock();
                domain.replace(view -> running(view, body), Telling.WHEN_ASKED);
                yield new Run.Ran(body);
            }
            case NEVER_RAN -> {
                // Before anything else: a daemon that dies now must not leave it taken.
                registry.ledger().unstage(staged.orElseThrow());
                yield new Run.NeverRan(String.join("; ", problems));
            }
            case MAY_HAVE_RUN -> {
                // With the generation that it may have run with: a daemon that is started anew must
                // not take it for one that never ran. Never TOOK_OVER on the disk before: what
                // cannot be written then leaves the mark, and that without a QEMU is undecided.
                registry.ledger().put(entry.with(Standing.UNDECIDED, entry.generation() + 1));
                registry.ledger().unstage(staged.orElseThrow());
                yield new Run.MayHaveRun(String.join("; ", problems));
            }
        };
    }

    /**
     * A source that was told asks no more. Until this one that was not is left to a person by a
     * host that dies.
     */
    private void commit() {
        try {
            registry.ledger().commit(staged.orElseThrow());
        } catch (UncheckedIOException e) {
            LOG.warn(
                    "event=take-over-not-on-disk domain={} reason=\"{}\" effect=\"if this host dies"
                            + " node {} has to be told that the domain was here\"",
                    domain.name(),
                    e.getMessage(),
                    entry.peer());
        }
    }

    private HostedDomain.View running(HostedDomain.View view, QemuDomain body) {
        return view.with(DomainStatus.State.RUNNING, DomainStatus.Role.UNPROTECTED)
                .withGeneration(entry.generation() + 1)
                .with(Optional.of(HostedDomain.Body.running(body, place)))
                .telling("moved here from node " + entry.peer());
    }

    @Override
    public void settle(Domain runs) {
        try {
            // Nobody who watches was woken when it began to run.
            domain.replace(view -> view);
            commit();
            QemuDomain body = (QemuDomain) runs;
            GuestWatch.begin(registry, domain, body);
            qemu.orElseThrow().settle();
            settled.accept(body);
            images.ifPresent(ArrivingDomain::close);
            registry.tryRemember(domain, "");
        } finally {
            domain.endOwnOperation();
        }
    }

    /**
     * They are on stable storage since before the hand-over; what fails here costs a descriptor.
     */
    private static void close(ArrivingImages images) {
        try {
            images.close();
        } catch (ReplicationException e) {
            LOG.warn("event=images-not-closed reason=\"{}\"", e.getMessage());
        }
    }

    /** The QEMU that had them open is gone. */
    private void discardImages(Remains remains) {
        try {
            images.ifPresent(ArrivingImages::discard);
        } catch (ReplicationException e) {
            LOG.warn(
                    "event=images-not-discarded domain={} reason=\"{}\"",
                    domain.name(),
                    e.getMessage());
            remains.add(Feature.DISK, e.getMessage());
        }
    }

    @Override
    public List<FeatureReport> discard(String reason, List<FeatureReport> reports) {
        Remains remains = new Remains(plan);
        try {
            qemu.ifPresent(QemuArrival::close);
        } catch (ReplicationException e) {
            LOG.warn("event=not-discarded domain={} reason=\"{}\"", domain.name(), e.getMessage());
            for (Throwable failure : e.getSuppressed()) {
                remains.add(Feature.DEVICES, failure.getMessage());
            }
        }
        if (qemu.isEmpty()) {
            memory.close();
        }
        place.remove((part, what) -> remains.add(feature(part), what));
        discardImages(remains);
        staged.ifPresent(registry.ledger()::unstage);
        registry.ledger().put(entry.with(Standing.DISCARDED, entry.generation()));
        List<FeatureReport> all = remains.in(reports);
        for (FeatureReport report : all) {
            if (report.result() == FeatureReport.Result.DOWN_FAILED) {
                LOG.warn(
                        "event=feature-left domain={} feature={} reason=\"{}\"",
                        domain.name(),
                        report.name(),
                        report.detail());
            }
        }
        return all;
    }

    private static String feature(DomainPlace.Part part) {
        return switch (part) {
            case TAPS -> Feature.NETWORK;
            case MEMORY -> Feature.MEMORY;
            case PROCESS -> Feature.DEVICES;
        };
    }
}
