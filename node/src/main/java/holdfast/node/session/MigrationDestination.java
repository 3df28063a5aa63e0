package holdfast.node.session;

import holdfast.engine.migrate.Arrival;
import holdfast.engine.migrate.DestinationEvent;
import holdfast.engine.migrate.DestinationMachine;
import holdfast.engine.migrate.DestinationObserver;
import holdfast.engine.migrate.DestinationOutcome;
import holdfast.engine.migrate.DestinationSession;
import holdfast.engine.migrate.DestinationState;
import holdfast.engine.migrate.FeaturePlan;
import holdfast.engine.migrate.FeatureReport;
import holdfast.engine.migrate.Storage;
import holdfast.engine.port.DiskWrites;
import holdfast.engine.port.Domain;
import holdfast.engine.port.GuestMemory;
import holdfast.node.link.AcceptCookie;
import holdfast.node.link.MigrationAccepter;
import holdfast.node.link.TcpDestinationLink;
import holdfast.qemu.linux.PauseThreads;
import holdfast.wire.link.LinkMessage;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** A migration's destination on this node: owns the thread, the queue and the link. */
public final class MigrationDestination {
    private static final Logger LOG = LoggerFactory.getLogger(MigrationDestination.class);
    private static final long IDLE_NANOS = TimeUnit.SECONDS.toNanos(5);

    /** Hears what becomes of a migration, on its thread. */
    public interface Listener {
        void changed();

        /** It is over; {@code domain} is there where it runs here. */
        void finished(DestinationOutcome outcome, Optional<Domain> domain);

        /** It broke an invariant of its own and stopped where it was. */
        void broken(RuntimeException failure);
    }

    private final LinkMessage.OpenMigration opening;
    private final String peerName;
    private final String peerAddress;
    private final FeaturePlan plan;
    private final Storage storage;
    private final Arrival arrival;
    private final Listener listener;
    private final SessionQueue<DestinationEvent> queue =
            new SessionQueue<>(
                    new DestinationEvent.Failed(
                            "more events than the session could handle in time"));
    private final CountDownLatch over = new CountDownLatch(1);
    private final PauseLines lines = new PauseLines();
    private final MigrationPhases phases = new MigrationPhases();
    private Optional<PauseThreads.Held> pause = Optional.empty();
    private volatile DestinationState state = DestinationMachine.begin();
    private volatile List<FeatureReport> reports = List.of();
    private volatile Optional<DestinationOutcome> outcome = Optional.empty();

    public MigrationDestination(
            LinkMessage.OpenMigration opening,
            String peerName,
            String peerAddress,
            FeaturePlan plan,
            Storage storage,
            Arrival arrival,
            Listener listener) {
        this.opening = opening;
        this.peerName = peerName;
        this.peerAddress = peerAddress;
        this.plan = plan;
        this.storage = storage;
        this.arrival = arrival;
        this.listener = listener;
        phases.enter(MigrationPhases.of(state));
    }

    /**
     * What the listener of links needs to begin.
     *
     * @param copies for a source that can send disks
     * @param disks where they go
     */
    public MigrationAccepter.Decision.Accepted accepted(
            GuestMemory memory, Optional<AcceptCookie> copies, Optional<DiskWrites> disks) {
        return new MigrationAccepter.Decision.Accepted(
                memory, copies, disks, this::post, this::start, this::neverStarted);
    }

    private void start(TcpDestinationLink link) {
        Thread.ofPlatform()
                .name("migrate-destination-" + opening.domain())
                .daemon()
                .start(PauseThreads.body(() -> run(link)));
    }

    private void neverStarted(String reason) {
        arrival.discard(reason, List.of());
        DestinationOutcome ended = new DestinationOutcome.RolledBack(reason, List.of());
        listener.finished(ended, Optional.empty());
        outcome = Optional.of(ended);
        over.countDown();
    }

    private void run(TcpDestinationLink link) {
        LOG.info(
                "event=migration-started role=destination domain={} migration={} generation={}"
                        + " peer={} address={} connections={}",
                opening.domain(),
                opening.migration(),
                opening.generation(),
                peerName,
                peerAddress,
                opening.connections());
        DestinationSession session =
                new DestinationSession(
                        new DestinationMachine(plan, opening.generation(), storage),
                        new DestinationSession.Ports(
                                arrival, link, link.pages(), System::nanoTime, new Observer(link)));
        try {
            session.start();
            while (!(session.state() instanceof DestinationState.Finished)) {
                Optional<DestinationEvent> event = queue.take(IDLE_NANOS);
                if (event.isPresent()) {
                    session.handle(event.get());
                }
            }
            DestinationOutcome ended = ((DestinationState.Finished) session.state()).outcome();
            listener.finished(ended, session.domain());
            outcome = Optional.of(ended);
            over.countDown();
        } catch (InterruptedException e) {
            broken(link, new IllegalStateException("the session's thread was interrupted", e));
        } catch (RuntimeException e) {
            broken(link, e);
        } catch (Error e) {
            broken(link, new IllegalStateException("the session's thread failed: " + e, e));
        }
    }

    private void broken(TcpDestinationLink link, RuntimeException failure) {
        lines.write();
        LOG.error(
                "event=session-broken role=destination domain={} state={} next=\"find the domain's"
                        + " owner with holdfast status on both nodes\"",
                opening.domain(),
                state,
                failure);
        try {
            link.close();
        } catch (RuntimeException e) {
            failure.addSuppressed(e);
        }
        pause.ifPresent(PauseThreads.Held::close);
        listener.broken(failure);
        over.countDown();
    }

    /** Something happened here. Never blocks. */
    public void post(DestinationEvent event) {
        if (endsIt(event)) {
            // The session's thread may be waiting for a hook, and the guest for that.
            arrival.giveUp();
        }
        queue.post(event);
    }

    private static boolean endsIt(DestinationEvent event) {
        return switch (event) {
            case DestinationEvent.SourceCancelled _,
                    DestinationEvent.SourceLost _,
                    DestinationEvent.SourceViolated _,
                    DestinationEvent.Failed _ ->
                    true;
            case DestinationEvent.Prepared _,
                    DestinationEvent.BaseArrived _,
                    DestinationEvent.SectionsArrived _,
                    DestinationEvent.StreamsWhole _,
                    DestinationEvent.DisksForced _,
                    DestinationEvent.SourcePerformed _,
                    DestinationEvent.FeatureTried _,
                    DestinationEvent.FeatureDown _,
                    DestinationEvent.SourceHandedOver _,
                    DestinationEvent.Runs _,
                    DestinationEvent.NeverRan _,
                    DestinationEvent.MayHaveRun _ ->
                    false;
        };
    }

    public LinkMessage.OpenMigration opening() {
        return opening;
    }

    public FeaturePlan plan() {
        return plan;
    }

    public String peerName() {
        return peerName;
    }

    public String peerAddress() {
        return peerAddress;
    }

    public DestinationState state() {
        return state;
    }

    /** The phases by now, and when each began. */
    public List<MigrationPhases.Entered> phases() {
        return phases.entered();
    }

    /** What became of the features by now. */
    public List<FeatureReport> reports() {
        return reports;
    }

    public Optional<DestinationOutcome> outcome() {
        return outcome;
    }

    /** Waits until the listener has heard of the end. */
    public boolean awaitEnd(Duration limit) throws InterruptedException {
        return over.await(limit.toNanos(), TimeUnit.NANOSECONDS);
    }

    private final class Observer implements DestinationObserver {
        private final TcpDestinationLink link;

        Observer(TcpDestinationLink link) {
            this.link = link;
        }

        @Override
        public void transition(DestinationState from, DestinationEvent event, DestinationState to) {
            state = to;
            reports = reports(to);
            phases.enter(MigrationPhases.of(to));
            holdBack(event, to);
            if (from.getClass() != to.getClass()) {
                lines.add(
                        guest(to),
                        () -> {
                            log(from, event, to);
                            listener.changed();
                        });
            }
        }

        private List<FeatureReport> reports(DestinationState to) {
            return switch (to) {
                case DestinationState.BringingUp(var _, List<FeatureReport> tried) -> tried;
                case DestinationState.Ready(List<FeatureReport> all) -> all;
                case DestinationState.TakingOver(long _, List<FeatureReport> all) -> all;
                case DestinationState.TakingDown(var _, var _, List<FeatureReport> down, var _) ->
                        down;
                case DestinationState.Finished(
                                DestinationOutcome.RolledBack(String _, List<FeatureReport> all)) ->
                        all;
                case DestinationState.Finished _,
                        DestinationState.Preparing _,
                        DestinationState.Receiving _ ->
                        reports;
            };
        }

        private void log(DestinationState from, DestinationEvent event, DestinationState to) {
            LOG.info(
                    "event=state role=destination domain={} migration={} from={} to={}"
                            + " cause={}",
                    opening.domain(),
                    opening.migration(),
                    from.getClass().getSimpleName(),
                    to.getClass().getSimpleName(),
                    event.getClass().getSimpleName());
        }

        /** From the first device sections on the guest is known to stand still. */
        private void holdBack(DestinationEvent event, DestinationState to) {
            boolean begins =
                    event instanceof DestinationEvent.SectionsArrived
                            || guest(to) == PauseLines.Guest.PAUSED;
            if (begins && pause.isEmpty()) {
                pause = Optional.of(PauseThreads.first(link.threads()));
            } else if (to instanceof DestinationState.TakingDown
                    || to instanceof DestinationState.Finished) {
                pause.ifPresent(PauseThreads.Held::close);
            }
        }

        private static PauseLines.Guest guest(DestinationState state) {
            return switch (state) {
                case DestinationState.BringingUp _,
                        DestinationState.Ready _,
                        DestinationState.TakingOver _ ->
                        PauseLines.Guest.PAUSED;
                case DestinationState.Preparing _,
                        DestinationState.Receiving _,
                        DestinationState.TakingDown _,
                        DestinationState.Finished _ ->
                        PauseLines.Guest.ELSE;
            };
        }

        @Override
        public void finished(DestinationOutcome ended) {
            LOG.info(
                    "event=migration-ended role=destination domain={} migration={} outcome={}"
                            + " reason=\"{}\"",
                    opening.domain(),
                    opening.migration(),
                    ended.getClass().getSimpleName(),
                    ended.reason());
        }

        @Override
        public void trouble(String what, RuntimeException failure) {
            LOG.warn(
                    "event=ending-step-failed role=destination domain={} step=\"{}\"",
                    opening.domain(),
                    what,
                    failure);
        }
    }
}
