package holdfast.node;

import holdfast.engine.HypervisorException;
import holdfast.node.api.DomainStatus;
import holdfast.node.disk.ReplicaRecovery;
import holdfast.node.link.NodeAddress;
import holdfast.node.link.PeerInquiry;
import holdfast.node.store.DomainRuntime;
import holdfast.node.store.DomainStore;
import holdfast.node.store.StoreException;
import holdfast.qemu.disk.DiskMirror;
import holdfast.qemu.domain.QemuDomain;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.ProcessIdentity;
import holdfast.qemu.launch.QemuProcess;
import holdfast.qemu.linux.PauseThreads;
import holdfast.qemu.net.NicGate;
import holdfast.qemu.qmp.QmpClient;
import holdfast.wire.ProtocolException;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.Standing;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.EnumSet;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * Finds the domains of a daemon that was killed. An unprotected one runs on and is met again. A
 * replica is discarded, for it may be half way between two epochs, unless it was taken over and has
 * run: then it is the survivor. A protected one stays suspended until the other node has said that
 * it did not take it over. The images of a replica's disks are brought to its last commit.
 */
final class Recovery {
    private static final Logger LOG = LoggerFactory.getLogger(Recovery.class);
    private static final Duration KILL_LIMIT = Duration.ofSeconds(10);
    private static final Duration CONNECT_LIMIT = Duration.ofSeconds(5);
    private static final long ASK_AGAIN_SECONDS = 5;
    private static final String RUNNING = "running";

    /** Whatever ran before the host was started anew: the kernel's own number is nobody's. */
    private static final ProcessIdentity NO_PROCESS = new ProcessIdentity(0, 0);

    private final Registry registry;
    private final Reprotector reprotector;
    private final LostPeer lostPeer;
    private final LeftArrivals leftArrivals;
    private final ScheduledExecutorService timer;

    Recovery(
            Registry registry,
            Reprotector reprotector,
            LostPeer lostPeer,
            ArrivingFeatures.HookPlace hooks,
            ScheduledExecutorService timer) {
        this.registry = registry;
        this.reprotector = reprotector;
        this.lostPeer = lostPeer;
        leftArrivals = new LeftArrivals(registry, hooks);
        this.timer = timer;
    }

    void run() {
        boolean hostRestarted = registry.state().hostRestarted();
        DomainStore.Contents<DomainSpec> contents = registry.store().load();
        if (!hostRestarted) {
            contents.domains().forEach(Recovery::calm);
        }
        for (DomainStore.Damage damage : contents.damages()) {
            LOG.error("event=store-damaged text=\"{}\"", damage.text());
        }
        for (DomainStore.Stored<DomainSpec> stored : contents.domains()) {
            try {
                meet(stored, hostRestarted);
            } catch (HypervisorException | UncheckedIOException e) {
                LOG.error(
                        "event=not-met domain={} reason=\"{}\" next=\"its QEMU, if it runs, can be"
                                + " taken over with holdfast attach\"",
                        stored.name(),
                        e.getMessage());
            }
        }
        // Their standbys are gone by now: nobody else writes to these images.
        ReplicaRecovery.redoAll(registry.journals());
        leftArrivals.giveBackAll(hostRestarted);
    }

    /**
     * Before anything else: a daemon that died in a pause has left its QEMU scheduled before all
     * others, and meeting the domains takes a while.
     */
    private static void calm(DomainStore.Stored<DomainSpec> stored) {
        stored.runtime()
                .map(runtime -> new ProcessIdentity(runtime.pid(), runtime.pidStartTicks()))
                .filter(process -> alive(process, stored.name()))
                .ifPresent(process -> PauseThreads.calm(process.pid()));
    }

    private static boolean alive(ProcessIdentity process, String domain) {
        try {
            return process.alive();
        } catch (HypervisorException e) {
            LOG.warn("event=not-calmed domain={} reason=\"{}\"", domain, e.getMessage());
            return false;
        }
    }

    private void meet(DomainStore.Stored<DomainSpec> stored, boolean hostRestarted) {
        if (stored.runtime().isEmpty()) {
            registry.store().remove(stored.name());
            return;
        }
        DomainRuntime runtime = stored.runtime().get();
        DomainPlace place = place(runtime);
        ProcessIdentity process =
                hostRestarted
                        ? NO_PROCESS
                        : new ProcessIdentity(runtime.pid(), runtime.pidStartTicks());
        if (runtime.role() == DomainStatus.Role.SECONDARY) {
            meetReplica(stored, runtime, process, place);
            return;
        }
        if (runtime.role() == DomainStatus.Role.ARRIVING) {
            meetArrival(stored, runtime, process, place);
            return;
        }
        if (!process.alive()) {
            endUnknown(runtime, place);
            place.remove();
            registry.store().remove(stored.name());
            HostedDomain domain = domain(stored.spec(), runtime, DomainStatus.State.ENDED);
            domain.replace(
                    view ->
                            view.with(DomainStatus.State.ENDED, DomainStatus.Role.UNPROTECTED)
                                    .telling(ended(runtime, hostRestarted)));
            registry.add(domain);
            return;
        }
        switch (runtime.role()) {
            case UNPROTECTED, SURVIVOR -> adoptAlone(stored, runtime, place);
            case PRIMARY -> mute(stored, runtime, place);
            case MOVING -> meetMoving(stored, runtime, place);
            case SECONDARY, ARRIVING -> throw new IllegalStateException("handled above");
        }
    }

    private static String ended(DomainRuntime runtime, boolean hostRestarted) {
        if (runtime.pid() == 0) {
            return "the daemon died while it was being started, and what there was of it was"
                    + " ended; start it again";
        }
        return hostRestarted
                ? "it ended with its host, which was started anew"
                : "its process ended while the daemon was away";
    }

    /** One that was being started when the daemon died has its number in its own files only. */
    private static void endUnknown(DomainRuntime runtime, DomainPlace place) {
        if (runtime.pid() == 0) {
            QemuProcess.endAll(place.files(), KILL_LIMIT);
        }
    }

    /**
     * A domain that was being moved away. One that runs was never handed over: it is suspended
     * before that, and nothing lets it run after. Of one that stands still the destination knows
     * whose it is.
     */
    private void meetMoving(
            DomainStore.Stored<DomainSpec> stored, DomainRuntime runtime, DomainPlace place) {
        if (!runs(runtime)) {
            mute(stored, runtime, place);
            return;
        }
        DomainRuntime stays = runtime.alone(DomainStatus.Role.UNPROTECTED, runtime.generation());
        registry.tryRemember(adopt(stored, stays, place), "");
        registry.ledger()
                .newestAsPrimary(stored.name())
                .ifPresent(
                        entry ->
                                registry.ledger()
                                        .put(entry.with(Standing.DISCARDED, entry.generation())));
    }

    /**
     * A domain that was being moved here. Where it was handed over it is this node's, whether it
     * has run yet or not: its whole state was loaded before. Else it is given back, unless the host
     * died: the last word of a hand-over may not have been on its disk.
     */
    private void meetArrival(
            DomainStore.Stored<DomainSpec> stored,
            DomainRuntime runtime,
            ProcessIdentity process,
            DomainPlace place) {
        Optional<SessionLedger.Entry> newest = registry.ledger().newestAsSecondary(stored.name());
        Optional<SessionLedger.Entry> session = newest.filter(entry -> belongs(entry, runtime));
        boolean tookOver =
                session.filter(entry -> entry.standing() == Standing.TOOK_OVER).isPresent();
        if (tookOver && process.alive()) {
            DomainRuntime here =
                    runtime.alone(DomainStatus.Role.UNPROTECTED, session.get().generation());
            boolean ran = runs(here);
            HostedDomain domain = adopt(stored, here, place);
            if (!ran) {
                domain.requireBody().operated().release(OperatedDomain.Hold.OPERATOR);
                domain.requireBody().qemu().announce();
                domain.replace(
                        view ->
                                view.with(DomainStatus.State.RUNNING, view.role())
                                        .telling(
                                                "it had been handed over when the daemon died, and"
                                                        + " runs here now"));
            }
            registry.tryRemember(domain, "");
            return;
        }
        boolean gone = !process.alive();
        process.kill(KILL_LIMIT);
        endUnknown(runtime, place);
        leftArrivals.add(
                new LeftArrivals.Left(
                        stored.spec(),
                        runtime,
                        place,
                        newest,
                        session,
                        tookOver && gone
                                ? LeftArrivals.Verdict.STAYS_HANDED_OVER
                                : LeftArrivals.Verdict.GIVEN_BACK));
    }

    private static boolean runs(DomainRuntime runtime) {
        return status(runtime).equals(RUNNING);
    }

    /** QEMU's run state. */
    private static String status(DomainRuntime runtime) {
        try (QmpClient qmp = QmpClient.connect(Path.of(runtime.qmpSocket()), CONNECT_LIMIT)) {
            return qmp.execute("query-status").path("status").asText();
        }
    }

    /**
     * A replica, unless the ledger says that it was taken over and its QEMU that it has run: then
     * it is the domain, and the only copy of it. One that never ran is given back to its primary.
     */
    private void meetReplica(
            DomainStore.Stored<DomainSpec> stored,
            DomainRuntime runtime,
            ProcessIdentity process,
            DomainPlace place) {
        Optional<SessionLedger.Entry> session =
                registry.ledger()
                        .newestAsSecondary(stored.name())
                        .filter(entry -> belongs(entry, runtime));
        boolean tookOver =
                session.filter(entry -> entry.standing() == Standing.TOOK_OVER).isPresent();
        if (tookOver && process.alive()) {
            DomainRuntime survivor =
                    runtime.alone(DomainStatus.Role.SURVIVOR, session.get().generation());
            if (hasRun(survivor)) {
                registry.tryRemember(adoptAlone(stored, survivor, place), "");
                return;
            }
        }
        boolean gone = !process.alive();
        process.kill(KILL_LIMIT);
        endUnknown(runtime, place);
        place.remove();
        registry.store().remove(stored.name());
        // A survivor that ended by itself stays taken over: its primary must not go back in time.
        if (!(tookOver && gone)) {
            session.ifPresent(
                    entry ->
                            registry.ledger()
                                    .put(entry.with(Standing.DISCARDED, runtime.generation())));
        }
        LOG.info(
                "event=replica-discarded domain={} reason=\"the daemon that held it died\"",
                stored.name());
    }

    /**
     * One that may have run here, and is undecided for that, has the generation of one that did.
     */
    private static boolean belongs(SessionLedger.Entry entry, DomainRuntime runtime) {
        return entry.generation()
                == (entry.standing() == Standing.TOOK_OVER
                        ? runtime.generation() + 1
                        : runtime.generation());
    }

    /** QEMU leaves this state at its first {@code cont} and never comes back to it. */
    private static boolean hasRun(DomainRuntime runtime) {
        return !status(runtime).equals("prelaunch");
    }

    /** An attached domain's monitor is in a directory of others: nothing there is ours. */
    private DomainPlace place(DomainRuntime runtime) {
        Path ram = Path.of(runtime.ramFile());
        return switch (runtime.origin()) {
            case STARTED -> DomainPlace.of(Path.of(runtime.qmpSocket()).getParent(), ram);
            case ATTACHED -> DomainPlace.besideAttached(registry.runDirectory(), ram);
        };
    }

    private static HostedDomain domain(
            DomainSpec spec, DomainRuntime runtime, DomainStatus.State state) {
        return new HostedDomain(
                spec, state, runtime.role(), runtime.generation(), runtime.origin());
    }

    /**
     * Before the domain's state is saved: that flushes its disks, and a mirror whose other end died
     * with the daemon fails then, where a guest that stood still did not find it out before.
     */
    private static void removeMirrors(DomainRuntime runtime, DomainPlace place) {
        try (QmpClient qmp = QmpClient.connect(Path.of(runtime.qmpSocket()), CONNECT_LIMIT)) {
            int removed = DiskMirror.removeLeftovers(qmp, place.files().qmpOutOfBand());
            LOG.info("event=mirrors-removed pid={} mirrors={}", runtime.pid(), removed);
        }
    }

    private HostedDomain adopt(
            DomainStore.Stored<DomainSpec> stored, DomainRuntime runtime, DomainPlace place) {
        removeMirrors(runtime, place);
        QemuDomain qemu = QemuDomain.attachAgain(Path.of(runtime.qmpSocket()), place.deviceState());
        NicGate.removeLeftovers(qemu.qmp());
        boolean runs = qemu.status().equals(RUNNING);
        HostedDomain domain =
                domain(
                        stored.spec(),
                        runtime,
                        runs ? DomainStatus.State.RUNNING : DomainStatus.State.PAUSED);
        Set<OperatedDomain.Hold> holds =
                runs
                        ? EnumSet.noneOf(OperatedDomain.Hold.class)
                        : EnumSet.of(OperatedDomain.Hold.OPERATOR);
        domain.replace(
                view ->
                        view.with(Optional.of(HostedDomain.Body.of(qemu, place, holds)))
                                .telling("met again after the daemon was started anew"));
        domain.wish(stored.wish());
        registry.add(domain);
        GuestWatch.begin(registry, domain, qemu);
        return domain;
    }

    /**
     * As {@link #adopt}, one that this node has alone: where the dead daemon stopped it, it runs.
     */
    private HostedDomain adoptAlone(
            DomainStore.Stored<DomainSpec> stored, DomainRuntime runtime, DomainPlace place) {
        // Taking charge of a guest that stands still changes what QEMU says.
        String status = status(runtime);
        HostedDomain domain = adopt(stored, runtime, place);
        if (domain.view().state() == DomainStatus.State.PAUSED) {
            SuspendedGuest.staysBecause(stored, runtime, status, registry.ledger())
                    .ifPresentOrElse(why -> staySuspended(domain, why), () -> runAgain(domain));
        }
        return domain;
    }

    private static void runAgain(HostedDomain domain) {
        try {
            domain.requireBody().operated().release(OperatedDomain.Hold.OPERATOR);
            domain.replace(
                    view ->
                            view.with(DomainStatus.State.RUNNING, view.role())
                                    .telling(
                                            "met again after the daemon was started anew; the one"
                                                    + " that died had suspended it, and it runs"
                                                    + " again"));
        } catch (HypervisorException e) {
            domain.replace(view -> view.telling(suspended(domain, e.getMessage())));
        }
    }

    private void staySuspended(HostedDomain domain, String why) {
        domain.replace(view -> view.telling(suspended(domain, why)));
        try {
            // What QEMU says now is no sign any more of who suspended it.
            registry.rememberPause(domain);
        } catch (StoreException e) {
            LOG.error(
                    "event=not-remembered domain={} reason=\"{}\"", domain.name(), e.getMessage());
        }
    }

    private static String suspended(HostedDomain domain, String why) {
        return "met again after the daemon was started anew, suspended: "
                + why
                + "; `holdfast unpause "
                + domain.name()
                + "` lets it go on";
    }

    /** Its output is dropped by the filters the dead daemon left; now it does not run either. */
    private void mute(
            DomainStore.Stored<DomainSpec> stored, DomainRuntime runtime, DomainPlace place) {
        removeMirrors(runtime, place);
        Path monitor = Path.of(runtime.qmpSocket());
        QemuDomain qemu =
                runtime.role() == DomainStatus.Role.MOVING
                        ? QemuDomain.attachSuspended(monitor, place.deviceState())
                        : QemuDomain.attachAgain(monitor, place.deviceState());
        qemu.suspend();
        HostedDomain domain = domain(stored.spec(), runtime, DomainStatus.State.STOPPED);
        domain.wish(stored.wish());
        Set<OperatedDomain.Hold> holds =
                switch (stored.wanted()) {
                    case RUNNING -> EnumSet.of(OperatedDomain.Hold.UNDECIDED);
                    case PAUSED ->
                            EnumSet.of(OperatedDomain.Hold.UNDECIDED, OperatedDomain.Hold.OPERATOR);
                };
        HostedDomain.Body body = HostedDomain.Body.of(qemu, place, holds);
        domain.replace(
                view ->
                        view.with(Optional.of(body))
                                .telling(
                                        "the daemon died while this was "
                                                + doing(runtime.role())
                                                + ": asking "
                                                + runtime.peer()
                                                + " whether it took over"));
        registry.add(domain);
        GuestWatch.begin(registry, domain, qemu);
        Thread.ofVirtual().name("recovery-" + stored.name()).start(() -> ask(domain));
    }

    /** Asks the secondary's node; again and again until it knows, or an operator has decided. */
    private void ask(HostedDomain domain) {
        if (!undecided(domain)) {
            return;
        }
        Optional<SessionLedger.Entry> entry;
        try {
            entry = registry.ledger().newestAsPrimary(domain.name());
        } catch (UncheckedIOException e) {
            tell(domain, e.getMessage(), "any other node");
            again(domain);
            return;
        }
        if (entry.isEmpty()) {
            tell(domain, "which session protected it is not known any more", "any");
            return;
        }
        String peer = entry.get().peer();
        try {
            LinkMessage.Answer answer =
                    PeerInquiry.ask(
                            NodeAddress.parse(peer),
                            registry.self(),
                            entry.get().session(),
                            LinkMessage.Question.DISMISS);
            switch (answer.standing()) {
                case TOOK_OVER ->
                        withOperation(
                                domain,
                                () ->
                                        registry.ended(
                                                domain,
                                                "it runs on node "
                                                        + peer
                                                        + " since generation "
                                                        + answer.generation()
                                                        + "; this copy was ended"));
                case DISCARDED ->
                        withOperation(
                                domain,
                                () ->
                                        goOn(
                                                domain,
                                                "node "
                                                        + peer
                                                        + " has discarded the replica: the domain"
                                                        + " goes on here, unprotected"));
                case UNDECIDED, UNKNOWN -> {
                    tell(domain, "node " + peer + " answers: " + answer.text(), peer);
                    again(domain);
                }
            }
        } catch (IOException | ProtocolException e) {
            tell(domain, "node " + peer + " does not answer (" + e.getMessage() + ")", peer);
            again(domain);
        }
    }

    private void again(HostedDomain domain) {
        timer.schedule(
                () -> Thread.ofVirtual().start(() -> ask(domain)),
                ASK_AGAIN_SECONDS,
                TimeUnit.SECONDS);
    }

    /** Whether it waits to hear, or for a person to say, who may go on. */
    static boolean undecided(HostedDomain domain) {
        return domain.view()
                .body()
                .filter(body -> body.operated().isHeld(OperatedDomain.Hold.UNDECIDED))
                .isPresent();
    }

    private void withOperation(HostedDomain domain, Runnable action) {
        domain.operation.lock();
        try {
            if (undecided(domain)) {
                action.run();
            }
        } catch (HypervisorException | UncheckedIOException | StoreException e) {
            domain.replace(view -> view.telling(e.getMessage()));
        } finally {
            domain.operation.unlock();
        }
    }

    private static String doing(DomainStatus.Role role) {
        return role == DomainStatus.Role.MOVING ? "being moved" : "the primary";
    }

    private static void tell(HostedDomain domain, String what, String peer) {
        HostedDomain.View now = domain.view();
        String text =
                "suspended in generation "
                        + now.generation()
                        + ": the daemon died while this was "
                        + doing(now.role())
                        + ", and "
                        + what
                        + "; whoever took over has generation "
                        + (now.generation() + 1)
                        + "; if it does not run on "
                        + peer
                        + ", `holdfast unprotect "
                        + domain.name()
                        + "` lets it go on here, else `holdfast destroy` ends this copy";
        if (domain.view().event().filter(event -> event.text().equals(text)).isEmpty()) {
            domain.replace(view -> view.telling(text));
        }
    }

    /**
     * Lets an undecided domain go on here alone, in a generation of its own: no replica of before
     * is newer. One that an operator has paused stays paused. The caller holds its operation.
     */
    void goOn(HostedDomain domain, String reason) {
        HostedDomain.Body body = domain.requireBody();
        NicGate.removeLeftovers(body.qemu().qmp());
        body.operated().goOn();
        DomainStatus.State state =
                body.operated().isHeld(OperatedDomain.Hold.OPERATOR)
                        ? DomainStatus.State.PAUSED
                        : DomainStatus.State.RUNNING;
        domain.replace(
                view ->
                        view.with(state, DomainStatus.Role.UNPROTECTED)
                                .withGeneration(view.generation() + 1)
                                .telling(reason));
        // Before the domain counts as one that asks nobody: a crash in between must not forget it.
        registry.ledger()
                .newestAsPrimary(domain.name())
                .ifPresent(
                        entry -> {
                            // It may not have heard: a person may have decided without it.
                            lostPeer.dismissLate(NodeAddress.parse(entry.peer()), entry.session());
                            registry.ledger()
                                    .put(entry.with(Standing.DISCARDED, entry.generation()));
                        });
        registry.tryRemember(domain, "");
        reprotector.runsAlone(domain);
    }
}
