package holdfast.node.session;

import holdfast.engine.ReplicationException;
import holdfast.engine.port.Domain;
import holdfast.engine.port.ReplicaDisks;
import holdfast.engine.port.Standby;
import holdfast.engine.remus.SecondaryEvent;
import holdfast.engine.remus.SecondaryObserver;
import holdfast.engine.remus.SecondaryOutcome;
import holdfast.engine.remus.SecondarySession;
import holdfast.engine.remus.SecondaryState;
import holdfast.node.disk.DiskFigures;
import holdfast.node.disk.ReplicaImages;
import holdfast.node.link.SessionAccepter;
import holdfast.node.link.TcpSecondaryLink;
import holdfast.wire.link.LinkMessage;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/** A secondary's session on this node: owns the thread, the queue, the link and the inbound log. */
public final class RemusSecondary {
    private static final Logger LOG = LoggerFactory.getLogger(RemusSecondary.class);
    private static final long IDLE_NANOS = TimeUnit.SECONDS.toNanos(5);

    /** Hears what becomes of a session, on its thread. */
    public interface Listener {
        /** The session's state changed, other than from epoch to epoch. */
        void changed();

        /**
         * The session is over and everything of it was given back.
         *
         * @param survivor the domain, where it runs here now
         */
        void finished(SecondaryOutcome outcome, Optional<Domain> survivor);

        /** The session broke an invariant of its own and stopped where it was. */
        void broken(RuntimeException failure);
    }

    private final LinkMessage.OpenSession opening;
    private final String peerName;
    private final String peerAddress;
    private final Arbiters arbiter;
    private final Supplier<Standby> prepareStandby;
    private final Optional<ReplicaImages> disks;
    private final Listener listener;
    private final SessionQueue<SecondaryEvent> queue =
            new SessionQueue<>(
                    new SecondaryEvent.StandbyFailed(
                            "more events than the session could handle in time"));
    private final InboundReplica inbound = new InboundReplica();
    private final RecentSamples pages = new RecentSamples(PrimaryMeters.KEPT);
    private final RecentSamples apply = new RecentSamples(PrimaryMeters.KEPT);
    private final CommitClock commits = new CommitClock();
    private final CountDownLatch over = new CountDownLatch(1);
    private volatile SecondaryState state = new SecondaryState.Preparing();
    private volatile Optional<SecondaryOutcome> outcome = Optional.empty();
    private volatile Optional<String> rehearsalFailure = Optional.empty();

    /**
     * @param prepareStandby starts the waiting domain; called on the session's thread
     * @param disks open, one for each that {@code opening} names; empty where it names none. Closed
     *     by the session
     */
    public RemusSecondary(
            LinkMessage.OpenSession opening,
            String peerName,
            String peerAddress,
            Arbiters arbiter,
            Supplier<Standby> prepareStandby,
            Optional<ReplicaImages> disks,
            Listener listener) {
        this.opening = opening;
        this.peerName = peerName;
        this.peerAddress = peerAddress;
        this.arbiter = arbiter;
        this.prepareStandby = prepareStandby;
        this.disks = disks;
        this.listener = listener;
    }

    /** What the listener of links needs to begin this session. */
    public SessionAccepter.Decision.Accepted accepted() {
        return new SessionAccepter.Decision.Accepted(
                queue::post,
                inbound,
                disks.map(ReplicaDisks.class::cast),
                this::start,
                this::neverStarted);
    }

    private void start(TcpSecondaryLink link) {
        Thread.ofPlatform()
                .name("remus-secondary-" + opening.domain())
                .daemon()
                .start(() -> run(link));
    }

    private void neverStarted(String reason) {
        SecondaryOutcome ended = new SecondaryOutcome.Discarded(reason);
        outcome = Optional.of(ended);
        closeDisks();
        listener.finished(ended, Optional.empty());
        over.countDown();
    }

    private void closeDisks() {
        try {
            disks.ifPresent(ReplicaDisks::close);
        } catch (ReplicationException e) {
            LOG.warn("event=not-closed domain={} reason=\"{}\"", opening.domain(), e.getMessage());
        }
    }

    private void run(TcpSecondaryLink link) {
        LOG.info(
                "event=session-started role=secondary domain={} session={} generation={} peer={}"
                        + " encoding={} arbiter={}",
                opening.domain(),
                opening.session(),
                opening.generation(),
                peerName,
                opening.encoding(),
                arbiter.kind());
        SecondarySession session =
                new SecondarySession(
                        opening.domain(),
                        opening.generation(),
                        disks.isEmpty()
                                ? SecondaryState.DiskWrites.WHOLE
                                : SecondaryState.DiskWrites.TRAVELLING,
                        new SecondarySession.Ports(
                                prepareStandby,
                                disks.map(ReplicaDisks.class::cast).orElseGet(ReplicaDisks::none),
                                link,
                                inbound,
                                link,
                                arbiter,
                                System::nanoTime,
                                new Observer(this)),
                        this::postFromSession);
        try {
            drive(session);
            listener.finished(outcome.orElseThrow(), session.survivor());
            over.countDown();
        } catch (InterruptedException e) {
            broken(link, new IllegalStateException("the session's thread was interrupted", e));
        } catch (RuntimeException e) {
            broken(link, e);
        } catch (Error e) {
            // No memory, say. Heartbeats would go on for a session that nobody drives any more.
            broken(link, new IllegalStateException("the session's thread failed: " + e, e));
        }
    }

    private void drive(SecondarySession session) throws InterruptedException {
        try {
            session.start();
            while (outcome.isEmpty()) {
                Optional<SecondaryEvent> event = queue.take(IDLE_NANOS);
                if (event.isPresent()) {
                    session.handle(event.get());
                }
            }
        } catch (RuntimeException | Error e) {
            if (outcome.isPresent()) {
                throw e;
            }
            LOG.error(
                    "event=session-fault role=secondary domain={} state={} effect=\"the session"
                            + " ends; while the primary is there the replica is discarded\"",
                    opening.domain(),
                    state,
                    e);
            // In order, if that still works: the primary hears it and need not ask anybody.
            session.handle(
                    new SecondaryEvent.StandbyFailed(
                            "an internal fault on the secondary's node: " + e));
            if (outcome.isEmpty()) {
                throw e;
            }
        }
    }

    /**
     * The end of the bulk stream alone says nothing about the primary, least of all when this side
     * closed it: only CONTROL reports a lost peer, and BULK waits for its word.
     */
    private void postFromSession(SecondaryEvent event) {
        if (!(event instanceof SecondaryEvent.PeerLost)) {
            queue.post(event);
        }
    }

    private void broken(TcpSecondaryLink link, RuntimeException failure) {
        LOG.error(
                "event=session-broken role=secondary domain={} state={} next=\"the replica is kept;"
                        + " find the domain's owner with holdfast status on both nodes\"",
                opening.domain(),
                state,
                failure);
        try {
            link.close();
        } catch (RuntimeException e) {
            failure.addSuppressed(e);
        }
        // The images stay as they are: at the last commit.
        closeDisks();
        listener.broken(failure);
        over.countDown();
    }

    /** Something happened to the standby. Never blocks. */
    public void post(SecondaryEvent event) {
        queue.post(event);
    }

    /** An operator wants something; handled when nothing more urgent waits. */
    public void request(SecondaryEvent event) {
        rehearsalFailure = Optional.empty();
        if (!queue.request(event)) {
            throw new IllegalStateException(
                    "too many requests wait for domain " + opening.domain());
        }
    }

    public LinkMessage.OpenSession opening() {
        return opening;
    }

    public String peerName() {
        return peerName;
    }

    /** Where its CONTROL connection came from. */
    public String peerAddress() {
        return peerAddress;
    }

    public Arbiters arbiter() {
        return arbiter;
    }

    public SecondaryState state() {
        return state;
    }

    /**
     * Why the standby could not load the committed state when an operator last wanted it to take
     * over; nothing was changed by that.
     */
    public Optional<String> rehearsalFailure() {
        return rehearsalFailure;
    }

    /** How the session ended, once it has. */
    public Optional<SecondaryOutcome> outcome() {
        return outcome;
    }

    /** What the replica's disks have done; empty where there are none. */
    public Optional<DiskFigures> diskFigures() {
        return disks.map(ReplicaImages::figures);
    }

    public SecondaryFigures figures() {
        RecentSamples.Sorted sorted = pages.sorted();
        RecentSamples.Sorted applied = apply.sorted();
        return new SecondaryFigures(
                commits.first(),
                commits.count(),
                commits.ageMillis(),
                sorted.percentile(50),
                sorted.percentile(99),
                TimeUnit.NANOSECONDS.toMicros(applied.percentile(50)),
                TimeUnit.NANOSECONDS.toMicros(applied.percentile(99)),
                commits.perSecond());
    }

    private record Observer(RemusSecondary shell) implements SecondaryObserver {
        @Override
        public void transition(SecondaryState from, SecondaryEvent event, SecondaryState to) {
            shell.state = to;
            if (event instanceof SecondaryEvent.RehearsalFailed(String reason)) {
                shell.rehearsalFailure = Optional.of(reason);
            }
            if (from.getClass() == to.getClass()) {
                return;
            }
            if (periodic(from) && periodic(to)) {
                LOG.debug(
                        "domain={} committed={} from={} to={}",
                        shell.opening.domain(),
                        to.committed(),
                        from,
                        to);
                return;
            }
            LOG.info(
                    "event=state role=secondary domain={} session={} committed={} from={} to={}"
                            + " cause={}",
                    shell.opening.domain(),
                    shell.opening.session(),
                    to.committed(),
                    from.getClass().getSimpleName(),
                    to.getClass().getSimpleName(),
                    event);
            shell.listener.changed();
        }

        private static boolean periodic(SecondaryState state) {
            return switch (state) {
                case SecondaryState.Awaiting _,
                        SecondaryState.Receiving _,
                        SecondaryState.Committing _,
                        SecondaryState.Applying _ ->
                        true;
                case SecondaryState.Preparing _,
                        SecondaryState.Rehearsing _,
                        SecondaryState.Deciding _,
                        SecondaryState.Claiming _,
                        SecondaryState.TakingOver _,
                        SecondaryState.Finished _ ->
                        false;
            };
        }

        @Override
        public void applied(long epoch, long pages, long nanos) {
            shell.pages.add(pages);
            shell.apply.add(nanos);
            shell.commits.committed();
        }

        @Override
        public void finished(SecondaryOutcome ended) {
            LOG.info(
                    "event=session-ended role=secondary domain={} session={} outcome={}"
                            + " reason=\"{}\"",
                    shell.opening.domain(),
                    shell.opening.session(),
                    ended.getClass().getSimpleName(),
                    ended.reason());
            shell.outcome = Optional.of(ended);
        }

        @Override
        public void trouble(String what, RuntimeException failure) {
            LOG.warn(
                    "event=ending-step-failed role=secondary domain={} step=\"{}\"",
                    shell.opening.domain(),
                    what,
                    failure);
        }
    }

    /** Waits until the listener has heard of the end. */
    public boolean awaitEnd(Duration limit) throws InterruptedException {
        return over.await(limit.toNanos(), TimeUnit.NANOSECONDS);
    }
}
