package holdfast.node;

import holdfast.engine.HypervisorException;
import holdfast.engine.ReplicationException;
import holdfast.engine.port.Arbiter;
import holdfast.engine.port.Domain;
import holdfast.engine.port.GuestMemory;
import holdfast.engine.port.InboundFrames;
import holdfast.engine.port.Standby;
import holdfast.engine.remus.SecondaryEvent;
import holdfast.engine.remus.SecondaryOutcome;
import holdfast.engine.remus.SecondaryState;
import holdfast.node.api.ApiException;
import holdfast.node.api.DomainStatus;
import holdfast.node.config.ConfigException;
import holdfast.node.config.DomainFile;
import holdfast.node.disk.ReplicaImages;
import holdfast.node.disk.ReplicaRoom;
import holdfast.node.link.SessionAccepter;
import holdfast.node.session.Arbiters;
import holdfast.node.session.RemusSecondary;
import holdfast.node.store.DomainRuntime;
import holdfast.node.store.ProtectionWish;
import holdfast.node.store.StoreException;
import holdfast.qemu.domain.QemuDomain;
import holdfast.qemu.domain.QemuStandby;
import holdfast.qemu.launch.DomainSpec;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.Standing;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;

/** Holding replicas for other nodes. */
final class SecondaryHost implements SessionAccepter {
    private static final Logger LOG = LoggerFactory.getLogger(SecondaryHost.class);
    private static final Duration DISMISS_LIMIT = Duration.ofSeconds(15);
    private static final Duration MOVE_LIMIT = Duration.ofSeconds(60);
    private static final Duration DISMISS_LOOK = Duration.ofMillis(20);

    private final Registry registry;
    private final Reprotector reprotector;
    private final FormerOwner formerOwner;
    private final ReplicaRoom room = new ReplicaRoom();
    private final ConcurrentHashMap<UUID, Replica> replicas = new ConcurrentHashMap<>();

    SecondaryHost(Registry registry, Reprotector reprotector) {
        this.registry = registry;
        this.reprotector = reprotector;
        this.formerOwner = new FormerOwner(registry);
    }

    @Override
    public Decision decide(
            LinkMessage.Hello peer,
            String address,
            LinkMessage.OpenSession session,
            Optional<LinkMessage.StayProtected> staying) {
        try {
            Arbiters arbiter =
                    Arbiters.of(session.arbiter())
                            .orElseThrow(
                                    () ->
                                            ApiException.badRequest(
                                                    "arbiter \""
                                                            + session.arbiter()
                                                            + "\" is unknown here, known are "
                                                            + Arrays.toString(Arbiters.values())));
            DomainSpec spec = spec(session);
            Optional<ProtectionWish> wish =
                    staying.map(stay -> Reprotector.inherited(stay, address));
            formerOwner.giveWay(spec, session.generation(), peer.nodeName());
            registry.requireRoom(spec, 0);
            HostedDomain domain =
                    new HostedDomain(
                            spec,
                            DomainStatus.State.STANDBY,
                            DomainStatus.Role.SECONDARY,
                            session.generation(),
                            DomainRuntime.Origin.STARTED);
            Replica replica =
                    new Replica(
                            domain,
                            registry.freshPlace(spec.name()),
                            new SessionLedger.Entry(
                                    session.session(),
                                    spec.name(),
                                    SessionLedger.Side.SECONDARY,
                                    Standing.UNDECIDED,
                                    session.generation(),
                                    peer.nodeName(),
                                    arbiter.kind(),
                                    session.intervalMillis()));
            domain.wish(wish);
            registry.add(domain);
            try {
                replica.disks = images(spec, session);
                registry.ledger().put(replica.entry);
                remember(replica, wish);
            } catch (UncheckedIOException
                    | StoreException
                    | ApiException
                    | ReplicationException e) {
                replica.disks.ifPresent(ReplicaImages::close);
                registry.forget(domain);
                throw e;
            }
            RemusSecondary shell =
                    new RemusSecondary(
                            session,
                            peer.nodeName(),
                            address,
                            arbiter,
                            replica::prepare,
                            replica.disks,
                            replica);
            replica.shell = Optional.of(shell);
            replicas.put(session.session(), replica);
            domain.replace(view -> view.with(new HostedDomain.Session.Secondary(shell)));
            return shell.accepted();
        } catch (ApiException | ReplicationException | UncheckedIOException | StoreException e) {
            return new Decision.Refused(e.getMessage());
        }
    }

    private void remember(Replica replica, Optional<ProtectionWish> wish) {
        try {
            registry.rememberAhead(replica.domain, replica.place);
            wish.ifPresent(is -> registry.store().putWish(replica.domain.name(), is));
        } catch (StoreException e) {
            registry.ledger().remove(replica.entry.session());
            throw e;
        }
    }

    private DomainSpec spec(LinkMessage.OpenSession session) {
        DomainSpec spec;
        try {
            spec =
                    DomainFile.parse(
                            "OPEN_SESSION",
                            new String(session.specJson().toArray(), StandardCharsets.UTF_8));
        } catch (ConfigException e) {
            throw ApiException.badRequest(
                    "the domain's description is not understood here: " + e.getMessage());
        }
        if (!spec.name().equals(session.domain()) || spec.memoryBytes() != session.memoryBytes()) {
            throw ApiException.badRequest(
                    "the session is for "
                            + session.domain()
                            + " with "
                            + session.memoryBytes()
                            + " bytes, its description for "
                            + spec.name()
                            + " with "
                            + spec.memoryBytes());
        }
        return registry.resolved(
                ReplicaPlaces.onThisNode(spec, session.disks(), registry.replicaDirectory()));
    }

    /** Before the standby has them open: an image that is in use is somebody else's. */
    private Optional<ReplicaImages> images(DomainSpec spec, LinkMessage.OpenSession session) {
        return session.disks().isEmpty()
                ? Optional.empty()
                : Optional.of(
                        room.open(
                                registry.journals(),
                                session.session(),
                                spec.name(),
                                ReplicaPlaces.images(
                                        spec, session.disks(), registry.replicaDirectory())));
    }

    @Override
    public LinkMessage.Answer answer(LinkMessage.Hello peer, LinkMessage.Inquire inquiry) {
        Replica replica = replicas.get(inquiry.session());
        if (replica == null) {
            return registry.ledger()
                    .get(inquiry.session())
                    .map(this::remembered)
                    .orElse(
                            new LinkMessage.Answer(
                                    Standing.UNKNOWN,
                                    0,
                                    "node "
                                            + registry.self().name()
                                            + " does not remember this session"));
        }
        RemusSecondary shell = replica.shell.orElseThrow();
        if (inquiry.question() == LinkMessage.Question.DISMISS) {
            dismiss(shell, "node " + peer.nodeName() + " came back and goes on");
        }
        return replica.standing();
    }

    private LinkMessage.Answer remembered(SessionLedger.Entry entry) {
        HostedDomain domain = registry.byName().get(entry.domain());
        if (entry.standing() == Standing.TOOK_OVER
                && domain != null
                && domain.view().generation() == entry.generation()) {
            announceAgain(domain);
        }
        return new LinkMessage.Answer(
                entry.standing(),
                entry.standing() == Standing.UNDECIDED ? forAPerson(entry) : entry.generation(),
                "as remembered by node " + registry.self().name());
    }

    /**
     * The generation of an answer for a session that is undecided and not in force any more: never
     * 0, which says that it is about to be decided, though a domain's first generation is that.
     */
    private static long forAPerson(SessionLedger.Entry entry) {
        return Math.max(1, entry.generation());
    }

    /**
     * Who asks could not be heard before: if it was the network that broke, switches beyond the cut
     * still send the guest's frames to the old place.
     */
    private static void announceAgain(HostedDomain domain) {
        domain.view()
                .body()
                .ifPresent(
                        body ->
                                Thread.ofVirtual()
                                        .name("announce-" + domain.name())
                                        .start(() -> announce(domain, body.qemu())));
    }

    private static void announce(HostedDomain domain, QemuDomain qemu) {
        try {
            qemu.announce();
        } catch (HypervisorException e) {
            LOG.info("event=not-announced domain={} reason=\"{}\"", domain.name(), e.getMessage());
        }
    }

    /** Whether this secondary waits for a person to say who may go on. */
    private static boolean undecided(RemusSecondary session) {
        return session.arbiter() == Arbiters.OPERATOR
                && session.state() instanceof SecondaryState.Deciding;
    }

    /**
     * The operator makes this node's replica the domain: together with its primary, or as the word
     * that the primary is dead. Which of both they mean is what was so when they said it. The
     * caller holds the domain's operation.
     */
    void failover(HostedDomain domain, RemusSecondary session) {
        if (session.state().committed() < 0) {
            throw ApiException.badRequest(
                    "no checkpoint of \""
                            + domain.name()
                            + "\" is committed yet: there is nothing to go on from; wait for"
                            + " `protectedSince` in its status");
        }
        boolean verdict = undecided(session);
        session.request(
                verdict
                        ? new SecondaryEvent.Verdict(Arbiter.Verdict.GO_ON)
                        : new SecondaryEvent.FailOver());
        awaitEnd(
                session,
                () -> {
                    if (!verdict && undecided(session)) {
                        throw lostMeanwhile(domain, session);
                    }
                    if (session.outcome().isEmpty() && session.rehearsalFailure().isPresent()) {
                        throw ApiException.failed(
                                "\""
                                        + domain.name()
                                        + "\" is not moved: the standby here cannot load its state"
                                        + " ("
                                        + session.rehearsalFailure().get()
                                        + "); nothing was changed, it runs on node "
                                        + session.peerName(),
                                null);
                    }
                });
        SecondaryOutcome outcome = session.outcome().orElseThrow();
        if (!(outcome instanceof SecondaryOutcome.Survived)) {
            throw ApiException.failed("not taken over: " + outcome.reason(), null);
        }
    }

    /**
     * Waits until what belonged to sessions that are over is given back, their files above all: a
     * node that has stopped touches nothing any more.
     */
    void awaitEnded() {
        long until = System.nanoTime() + DISMISS_LIMIT.toNanos();
        try {
            for (Replica replica : replicas.values()) {
                Optional<RemusSecondary> over =
                        replica.shell.filter(shell -> shell.outcome().isPresent());
                if (over.isPresent()
                        && !over.get().awaitEnd(Duration.ofNanos(until - System.nanoTime()))) {
                    LOG.warn(
                            "event=not-given-back domain={} session={}",
                            replica.domain.name(),
                            replica.entry.session());
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Discards the replica; the primary goes on unprotected. */
    void discard(HostedDomain domain, RemusSecondary session) {
        dismiss(
                session,
                "the operator of node " + registry.self().name() + " discards the replica");
        if (session.outcome().isEmpty()) {
            throw ApiException.failed(
                    "the replica of \""
                            + domain.name()
                            + "\" is not discarded yet; it is "
                            + StatusReport.name(session.state()),
                    null);
        }
        registry.ended(domain, "the replica was discarded by the operator");
    }

    /**
     * Ends a session in order. One that has lost its primary listens to its arbiter alone: where
     * that is the operator, being dismissed is the verdict; it and a fail-over are handled one
     * after the other by the session, so that only one of them happens.
     */
    static void dismiss(RemusSecondary session, String reason) {
        session.post(new SecondaryEvent.Dismiss(reason));
        long until = System.nanoTime() + DISMISS_LIMIT.toNanos();
        try {
            while (!session.awaitEnd(DISMISS_LOOK) && System.nanoTime() - until < 0) {
                if (session.arbiter() == Arbiters.OPERATOR
                        && session.state() instanceof SecondaryState.Deciding) {
                    session.post(new SecondaryEvent.Verdict(Arbiter.Verdict.STAND_DOWN));
                    session.awaitEnd(DISMISS_LIMIT);
                    return;
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static ApiException lostMeanwhile(HostedDomain domain, RemusSecondary session) {
        String reason =
                session.state() instanceof SecondaryState.Deciding(long _, String why) ? why : "";
        return ApiException.failed(
                "\""
                        + domain.name()
                        + "\" is not moved: its primary was lost ("
                        + reason
                        + ") before it said that it has stopped. Find out what became of node "
                        + session.peerName()
                        + ": `holdfast failover` here now means that the copy there is dead",
                null);
    }

    private static void awaitEnd(RemusSecondary session, Runnable look) {
        long until = System.nanoTime() + MOVE_LIMIT.toNanos();
        try {
            while (!session.awaitEnd(DISMISS_LOOK)) {
                look.run();
                if (System.nanoTime() - until > 0) {
                    throw ApiException.failed(
                            "the session has not ended within "
                                    + MOVE_LIMIT.toSeconds()
                                    + " s; it is "
                                    + StatusReport.name(session.state()),
                            null);
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw ApiException.failed("interrupted while the session ended", e);
        }
    }

    /** One replica, from its session's begin to its end. */
    private final class Replica implements RemusSecondary.Listener {
        private final HostedDomain domain;
        private final DomainPlace place;
        private final SessionLedger.Entry entry;
        private volatile Optional<RemusSecondary> shell = Optional.empty();
        private volatile Optional<ReplicaImages> disks = Optional.empty();

        /** Used by the session's thread alone. */
        private boolean lossTold;

        Replica(HostedDomain domain, DomainPlace place, SessionLedger.Entry entry) {
            this.domain = domain;
            this.place = place;
            this.entry = entry;
        }

        /** Called on the session's thread. */
        Standby prepare() {
            DomainSpec spec = domain.view().spec();
            place.makeTaps(spec);
            QemuStandby standby = StandbyStart.start(spec, place);
            standby.qmp()
                    .onClosed(
                            () ->
                                    shell.orElseThrow()
                                            .post(
                                                    new SecondaryEvent.StandbyFailed(
                                                            "the waiting QEMU died")));
            try {
                registry.rememberProcess(domain, place, standby.process().identity());
            } catch (StoreException e) {
                standby.close();
                throw new HypervisorException("start standby", e.getMessage(), e);
            }
            return new Remembered(standby);
        }

        @Override
        public void changed() {
            HostedDomain.View view = domain.replace(v -> v);
            if (view.session() instanceof HostedDomain.Session.Secondary(RemusSecondary session)
                    && undecided(session)
                    && !lossTold) {
                lossTold = true;
                domain.replace(
                        v ->
                                v.telling(
                                        "the primary is lost; the replica waits. Make sure that"
                                                + " node "
                                                + session.peerName()
                                                + " is dead, then `holdfast failover "
                                                + domain.name()
                                                + "` here"));
            }
        }

        @Override
        public void finished(SecondaryOutcome outcome, Optional<Domain> survivor) {
            switch (outcome) {
                case SecondaryOutcome.Survived(long epoch, String reason) ->
                        survived((QemuDomain) survivor.orElseThrow(), epoch, reason);
                case SecondaryOutcome.Discarded(String reason) -> {
                    disks.ifPresent(images -> room.over(domain.name(), images));
                    over(Standing.DISCARDED, entry.generation());
                    registry.ended(domain, "the replica was discarded: " + reason);
                    place.remove();
                    registry.forget(domain);
                }
                case SecondaryOutcome.TakeOverFailed(long epoch, String reason) -> {
                    over(Standing.UNDECIDED, entry.generation());
                    domain.replace(
                            view ->
                                    view.with(
                                                    DomainStatus.State.STOPPED,
                                                    DomainStatus.Role.SECONDARY)
                                            .telling(
                                                    "taking over from epoch "
                                                            + epoch
                                                            + " failed: "
                                                            + reason
                                                            + "; the replica is kept in "
                                                            + place.files().ram()
                                                            + ", `holdfast destroy` frees it"));
                }
            }
        }

        private void survived(QemuDomain qemu, long epoch, String reason) {
            domain.replace(
                    view ->
                            view.with(DomainStatus.State.RUNNING, DomainStatus.Role.SURVIVOR)
                                    .withGeneration(entry.generation() + 1)
                                    .with(Optional.of(HostedDomain.Body.running(qemu, place)))
                                    .telling("took over from epoch " + epoch + ": " + reason));
            registry.tryRemember(domain, "");
            over(Standing.TOOK_OVER, entry.generation() + 1);
            GuestWatch.begin(registry, domain, qemu);
            reprotector.runsAlone(domain);
        }

        @Override
        public void broken(RuntimeException failure) {
            domain.replace(
                    view ->
                            view.with(DomainStatus.State.STOPPED, DomainStatus.Role.SECONDARY)
                                    .telling(
                                            "an internal fault ended the session; look at the other"
                                                    + " node, then destroy one copy: "
                                                    + failure));
        }

        LinkMessage.Answer standing() {
            RemusSecondary session = shell.orElseThrow();
            Standing standing =
                    session.outcome()
                            .map(
                                    outcome ->
                                            switch (outcome) {
                                                case SecondaryOutcome.Survived _ ->
                                                        Standing.TOOK_OVER;
                                                case SecondaryOutcome.Discarded _ ->
                                                        Standing.DISCARDED;
                                                case SecondaryOutcome.TakeOverFailed _ ->
                                                        Standing.UNDECIDED;
                                            })
                            .orElse(
                                    session.state() instanceof SecondaryState.TakingOver
                                            ? Standing.TOOK_OVER
                                            : Standing.UNDECIDED);
            if (standing == Standing.TOOK_OVER) {
                announceAgain(domain);
            }
            return new LinkMessage.Answer(
                    standing,
                    switch (standing) {
                        case TOOK_OVER -> entry.generation() + 1;
                        case UNDECIDED -> session.outcome().isPresent() ? forAPerson(entry) : 0;
                        case DISCARDED, UNKNOWN -> 0;
                    },
                    "node " + registry.self().name() + ": " + StatusReport.name(session.state()));
        }

        /** What is written down answers for the session from now on: it need not be kept. */
        private void over(Standing standing, long generation) {
            if (note(standing, generation)) {
                replicas.remove(entry.session(), this);
            }
        }

        /** Whether it is written down. */
        private boolean note(Standing standing, long generation) {
            try {
                registry.ledger().put(entry.with(standing, generation));
                return true;
            } catch (UncheckedIOException e) {
                LOG.error(
                        "event=not-remembered session={} reason=\"{}\"",
                        entry.session(),
                        e.getMessage());
                return false;
            }
        }

        /**
         * Writes the take-over down before it happens: whatever dies next, nobody resurrects the
         * other copy.
         */
        private final class Remembered implements Standby {
            private final QemuStandby standby;

            Remembered(QemuStandby standby) {
                this.standby = standby;
            }

            @Override
            public GuestMemory replica() {
                return standby.replica();
            }

            @Override
            public void rehearse(MemorySegment base, MemorySegment sections) {
                standby.rehearse(base, sections);
            }

            @Override
            public Domain takeOver(
                    MemorySegment base, MemorySegment sections, InboundFrames inbound) {
                note(Standing.TOOK_OVER, entry.generation() + 1);
                return standby.takeOver(base, sections, inbound);
            }

            @Override
            public void close() {
                standby.close();
            }
        }
    }
}
