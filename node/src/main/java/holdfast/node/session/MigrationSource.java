package holdfast.node.session;

import holdfast.engine.ReplicationException;
import holdfast.engine.memory.PageSender;
import holdfast.engine.migrate.Cookies;
import holdfast.engine.migrate.DepartingDisks;
import holdfast.engine.migrate.FeaturePlan;
import holdfast.engine.migrate.PrecopyPolicy;
import holdfast.engine.migrate.SourceEvent;
import holdfast.engine.migrate.SourceMachine;
import holdfast.engine.migrate.SourceObserver;
import holdfast.engine.migrate.SourceOutcome;
import holdfast.engine.migrate.SourceSession;
import holdfast.engine.migrate.SourceState;
import holdfast.engine.migrate.ThrottledGuest;
import holdfast.node.link.AcceptCookie;
import holdfast.node.link.BulkCompression;
import holdfast.node.link.DiskStream;
import holdfast.node.link.NodeAddress;
import holdfast.node.link.NodeIdentity;
import holdfast.node.link.PeerInquiry;
import holdfast.node.link.TcpSourceLink;
import holdfast.qemu.linux.PauseThreads;
import holdfast.wire.ProtocolException;
import holdfast.wire.link.LinkMessage;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** A migration's source on this node: owns the thread, the queue, the link and the tracker. */
public final class MigrationSource {
    private static final Logger LOG = LoggerFactory.getLogger(MigrationSource.class);
    private static final long IDLE_NANOS = TimeUnit.SECONDS.toNanos(5);
    private static final long ASK_AGAIN_NANOS = TimeUnit.SECONDS.toNanos(1);

    /** A link that is slower is not waited for. */
    private static final long SLOW_BYTES_PER_SECOND = 1_000_000;

    /** Memory of what was sent, for differences: 64 MiB on all connections together. */
    private static final int KEPT_PAGES_MAX = 16 << 10;

    /** Hears what becomes of a migration, on its thread. */
    public interface Listener {
        /** The state changed, or a round is over. */
        void changed(Telling telling);

        /** The guest runs on the destination; its copy here stands still and is ended next. */
        default void runsThere() {}

        /** It is over and everything of it was given back. */
        void finished(SourceOutcome outcome);

        /** It broke an invariant of its own and stopped where it was. */
        void broken(RuntimeException failure);
    }

    /** Disks that the destination does not share, and how far they are. */
    public interface Disks extends DepartingDisks {
        /** One for each disk, in their order. Any thread. */
        List<ProtectedGuest.DiskFigures> figures();
    }

    /** Prepares to copy disks; the session begins and ends it. */
    @FunctionalInterface
    public interface DiskCopying {
        /**
         * @param copies what the destination wants
         * @param stream present where it wants any
         * @throws ReplicationException if that is not what is wanted here
         */
        Optional<Disks> prepare(List<AcceptCookie.Copy> copies, Optional<DiskStream> stream);
    }

    /** What happens when the operator's time is over. */
    public enum OnTimeout {
        /** The guest stays here. */
        CANCEL,
        /** It is suspended for what is left. */
        STOP
    }

    /**
     * When a round began.
     *
     * @param sentBytes on the connections by then
     */
    public record Mark(long sentBytes, long nanos) {}

    /** The operator's time for the rounds. */
    public record Limit(Duration time, OnTimeout then) {}

    /**
     * @param opening what the destination is asked for
     * @param bytesPerSecond the bound for pages and disks; 0: none
     * @param compression of pages
     * @param finishLimit for the destination's features
     * @param orderedNanos when the operator gave the order, on the clock of {@link
     *     System#nanoTime()}
     */
    public record Settings(
            NodeAddress peer,
            LinkMessage.OpenMigration opening,
            FeaturePlan plan,
            PrecopyPolicy policy,
            Optional<Limit> limit,
            long bytesPerSecond,
            BulkCompression compression,
            Duration finishLimit,
            long orderedNanos) {}

    private final Settings settings;
    private final NodeIdentity self;
    private final TcpSourceLink link;
    private final Optional<Disks> disks;
    private final SessionQueue<SourceEvent> queue;
    private final Listener listener;
    private final SourceSession session;
    private final Thread owner;
    private final long beginNanos;
    private final Map<SourceObserver.Stage, Long> stages =
            new EnumMap<>(SourceObserver.Stage.class);
    private final PauseLines lines = new PauseLines();
    private final MigrationPhases phases = new MigrationPhases();
    private Optional<PauseThreads.Held> pause = Optional.empty();
    private volatile SourceState state;
    private volatile Mark copied;
    private volatile Optional<Cookies.Prepared> prepared = Optional.empty();
    private volatile Optional<SourceOutcome> outcome = Optional.empty();
    private volatile Optional<RuntimeException> fault = Optional.empty();
    private volatile MigrationFigures figures =
            new MigrationFigures(Optional.empty(), 0, 0, Map.of(), 0, 0, 0, 0);

    /**
     * Asks the destination; {@link #begin} must follow. The domain runs on all the while, and
     * unharmed when this fails.
     *
     * @throws IOException if the other node cannot be reached or refuses
     * @throws ReplicationException if this node lacks something
     */
    public static MigrationSource open(
            Settings settings,
            ProtectedGuest guest,
            ThrottledGuest throttle,
            DiskCopying copying,
            NodeIdentity self,
            Listener listener)
            throws IOException {
        SessionQueue<SourceEvent> queue =
                new SessionQueue<>(
                        new SourceEvent.SessionFailed(
                                "more events than the session could handle in time"));
        TcpSourceLink link =
                TcpSourceLink.open(
                        settings.peer(),
                        self,
                        settings.opening(),
                        settings.bytesPerSecond(),
                        settings.compression(),
                        queue::post);
        try {
            ProtectedGuest.Tracking tracking = guest.openTracker();
            try {
                Optional<Disks> disks = copying.prepare(link.copies(), link.disks());
                return new MigrationSource(
                        settings, guest, throttle, disks, tracking, link, queue, self, listener);
            } catch (RuntimeException | Error e) {
                tracking.tracker().close();
                throw e;
            }
        } catch (RuntimeException | Error e) {
            link.cancel("the source lacks something: " + e.getMessage());
            link.close();
            throw e;
        }
    }

    private MigrationSource(
            Settings settings,
            ProtectedGuest guest,
            ThrottledGuest throttle,
            Optional<Disks> disks,
            ProtectedGuest.Tracking tracking,
            TcpSourceLink link,
            SessionQueue<SourceEvent> queue,
            NodeIdentity self,
            Listener listener) {
        this.settings = settings;
        this.beginNanos = settings.orderedNanos();
        this.self = self;
        this.link = link;
        this.disks = disks;
        this.queue = queue;
        this.listener = listener;
        List<PageSender> senders = new ArrayList<>();
        for (int i = 0; i < link.connections(); i++) {
            senders.add(
                    new PageSender(
                            guest.memory().pages(),
                            KEPT_PAGES_MAX / link.connections(),
                            link.bulk(i)));
        }
        this.session =
                new SourceSession(
                        new SourceMachine(
                                settings.policy(),
                                settings.plan(),
                                settings.opening().generation()),
                        deadlines(settings),
                        new SourceSession.Ports(
                                guest.domain(),
                                guest.memory(),
                                tracking.tracker(),
                                throttle,
                                link,
                                senders,
                                this::ask,
                                queue,
                                System::nanoTime,
                                new Observer(),
                                disks.map(is -> is)),
                        queue::post);
        this.state = session.state();
        this.copied = new Mark(link.bulkBytes(), System.nanoTime());
        phases.enter(MigrationPhases.of(state, MigrationPhases.Peer.PREPARING));
        this.owner =
                Thread.ofPlatform()
                        .name("migrate-source-" + domain())
                        .daemon()
                        .unstarted(PauseThreads.body(() -> run(tracking)));
    }

    private static SourceSession.Deadlines deadlines(Settings settings) {
        return new SourceSession.Deadlines(
                TimeUnit.SECONDS.toNanos(60),
                // All of memory may be left, over a slow link.
                TimeUnit.SECONDS.toNanos(60)
                        + (long)
                                (settings.opening().memoryBytes()
                                        * 1e9
                                        / (settings.bytesPerSecond() == 0
                                                ? SLOW_BYTES_PER_SECOND
                                                : settings.bytesPerSecond())),
                settings.finishLimit().toNanos(),
                TimeUnit.SECONDS.toNanos(15) + settings.finishLimit().toNanos(),
                TimeUnit.MILLISECONDS.toNanos(200));
    }

    /** Starts the session's thread; once. */
    public void begin() {
        settings.limit()
                .ifPresent(
                        limit ->
                                queue.after(
                                        limit.time().toNanos(),
                                        switch (limit.then()) {
                                            case CANCEL ->
                                                    new SourceEvent.Overdue(
                                                            SourceEvent.Stage.ROUND);
                                            case STOP -> new SourceEvent.StopRounds();
                                        }));
        owner.start();
    }

    private void run(ProtectedGuest.Tracking tracking) {
        LOG.info(
                "event=migration-started role=source domain={} migration={} generation={} peer={}"
                        + " address={} connections={} copiedDisks={} tracker={}",
                domain(),
                settings.opening().migration(),
                settings.opening().generation(),
                link.peer().nodeName(),
                settings.peer(),
                link.connections(),
                link.copies().size(),
                tracking.kind());
        try {
            session.start();
            while (outcome.isEmpty()) {
                Optional<SourceEvent> event = queue.take(IDLE_NANOS);
                if (event.isPresent()) {
                    session.handle(event.get());
                }
            }
        } catch (InterruptedException e) {
            broken(new IllegalStateException("the session's thread was interrupted", e));
        } catch (RuntimeException e) {
            broken(e);
        } catch (Error e) {
            broken(new IllegalStateException("the session's thread failed: " + e, e));
        }
    }

    /**
     * Fail-stop. Before the hand-over the destination, which hears no more, discards its copy, and
     * the guest may go on; after it nothing is decided here.
     */
    private void broken(RuntimeException failure) {
        lines.write();
        LOG.error(
                "event=session-broken role=source domain={} state={} next=\"find the domain's owner"
                        + " with holdfast status on both nodes\"",
                domain(),
                state,
                failure);
        try {
            link.close();
        } catch (RuntimeException e) {
            failure.addSuppressed(e);
        }
        pause.ifPresent(PauseThreads.Held::close);
        fault = Optional.of(failure);
        listener.broken(failure);
    }

    /** Asks on a thread of its own; where nothing is known yet, again a moment later. */
    private void ask(SourceState.Handover handover) {
        Thread.ofVirtual()
                .name("ask-" + domain())
                .start(
                        () -> {
                            try {
                                answered(
                                        PeerInquiry.ask(
                                                settings.peer(),
                                                self,
                                                settings.opening().migration(),
                                                LinkMessage.Question.DISMISS));
                            } catch (IOException | ProtocolException e) {
                                notAnswered(
                                        "node "
                                                + settings.peer()
                                                + " does not answer: "
                                                + e.getMessage());
                            }
                        });
    }

    private void answered(LinkMessage.Answer answer) {
        String text = "node " + settings.peer() + " answers: " + answer.text();
        switch (answer.standing()) {
            case TOOK_OVER -> queue.post(new SourceEvent.PeerTookOver(answer.generation(), text));
            case DISCARDED ->
                    queue.post(
                            new SourceEvent.PeerRolledBack(
                                    new Cookies.RolledBack(Cookies.VERSION, text, List.of())));
            case UNDECIDED, UNKNOWN -> notAnswered(text);
        }
    }

    private void notAnswered(String reason) {
        queue.after(ASK_AGAIN_NANOS, new SourceEvent.NotAnswered(reason));
    }

    private String domain() {
        return settings.opening().domain();
    }

    /** Something happened to the guest. Never blocks. */
    public void post(SourceEvent event) {
        queue.post(event);
    }

    public Settings settings() {
        return settings;
    }

    /** The phases by now, and when each began. */
    public List<MigrationPhases.Entered> phases() {
        return phases.entered();
    }

    /** Where the present round began, or the copying of disks before the first. */
    public Mark mark() {
        return copied;
    }

    public SourceState state() {
        return state;
    }

    /** What the destination said of itself, once it has. */
    public Optional<Cookies.Prepared> prepared() {
        return prepared;
    }

    public Optional<SourceOutcome> outcome() {
        return outcome;
    }

    public Optional<RuntimeException> fault() {
        return fault;
    }

    /** Bytes on the connections by now. */
    public long sentBytes() {
        return link.bulkBytes();
    }

    /** Disks that the destination does not share. */
    public List<AcceptCookie.Copy> copies() {
        return link.copies();
    }

    /** How far each of {@link #copies} is, in their order. */
    public List<ProtectedGuest.DiskFigures> diskFigures() {
        return disks.map(Disks::figures).orElse(List.of());
    }

    /** What was measured by now. */
    public MigrationFigures figures() {
        MigrationFigures now = figures;
        return outcome.isPresent()
                ? now
                : new MigrationFigures(
                        now.newest(),
                        now.rounds(),
                        now.throttlePercent(),
                        now.stagesMicros(),
                        now.downtimeNanos(),
                        System.nanoTime() - beginNanos,
                        now.finalPages(),
                        now.stateBytes());
    }

    /** The destination's node, by its own name. */
    public String peerName() {
        return link.peer().nodeName();
    }

    /** Waits until the session's thread has ended. */
    public boolean awaitEnd(Duration limit) throws InterruptedException {
        return owner.join(limit);
    }

    /** Whether it stands still, as far as that is bounded. */
    private static PauseLines.Guest guest(SourceState state) {
        return switch (state) {
            case SourceState.Suspending _,
                    SourceState.Sending _,
                    SourceState.Finishing _,
                    SourceState.HandedOver _ ->
                    PauseLines.Guest.PAUSED;
            case SourceState.CopyingDisks _,
                    SourceState.Copying _,
                    SourceState.Waiting _,
                    SourceState.RollingBack _,
                    SourceState.Resuming _,
                    SourceState.Asking _,
                    SourceState.GivenBack _,
                    SourceState.Finished _ ->
                    PauseLines.Guest.ELSE;
        };
    }

    private final class Observer implements SourceObserver {
        private Optional<PrecopyPolicy.Measured> newest = Optional.empty();
        private int rounds;
        private int throttle;
        private long downtimeNanos;
        private long totalNanos;
        private long finalPages;
        private long stateBytes;

        @Override
        public void transition(SourceState from, SourceEvent event, SourceState to) {
            state = to;
            if (guest(from) != guest(to)) {
                pause.ifPresent(PauseThreads.Held::close);
                pause =
                        switch (guest(to)) {
                            case PAUSED -> Optional.of(PauseThreads.first(link.threads()));
                            case ELSE -> Optional.empty();
                        };
            }
            switch (event) {
                case SourceEvent.PeerPrepared(Cookies.Prepared cookie) ->
                        prepared = Optional.of(cookie);
                case SourceEvent.Frozen(long pages, long bytes) -> {
                    finalPages = pages;
                    stateBytes = bytes;
                }
                case SourceEvent.PeerTookOver _ when to instanceof SourceState.Finished -> {
                    long now = System.nanoTime();
                    downtimeNanos = now - session.suspendedNanos();
                    totalNanos = now - beginNanos;
                    publish();
                    listener.runsThere();
                }
                case SourceEvent _ -> {}
            }
            phases.enter(
                    MigrationPhases.of(
                            to,
                            prepared.isPresent()
                                    ? MigrationPhases.Peer.READY
                                    : MigrationPhases.Peer.PREPARING));
            if (to instanceof SourceState.Copying && isAnotherRound(from, to)) {
                copied = new Mark(link.bulkBytes(), System.nanoTime());
            }
            if (from.getClass() != to.getClass()) {
                lines.add(guest(to), () -> log(from, event, to));
            }
        }

        private static boolean isAnotherRound(SourceState from, SourceState to) {
            return !(from instanceof SourceState.Copying before
                    && to instanceof SourceState.Copying now
                    && before.round() == now.round());
        }

        private void log(SourceState from, SourceEvent event, SourceState to) {
            LOG.info(
                    "event=state role=source domain={} migration={} from={} to={} cause={}",
                    domain(),
                    settings.opening().migration(),
                    from.getClass().getSimpleName(),
                    to.getClass().getSimpleName(),
                    event.getClass().getSimpleName());
        }

        /** Not before: whoever watches is woken by it, and takes a core. */
        @Override
        public void performed(SourceState from, SourceState to) {
            if (!from.equals(to)) {
                listener.changed(hurry(to));
            }
        }

        /** Whoever watches looks by itself often enough for a pause that lasts. */
        private static Telling hurry(SourceState state) {
            // The last round is over in a moment, and they would be at it in the pause.
            boolean last =
                    state instanceof SourceState.Copying copying
                            && copying.urgency() == SourceState.Copying.Urgency.LAST;
            return switch (guest(state)) {
                case PAUSED -> Telling.WHEN_ASKED;
                case ELSE -> last ? Telling.WHEN_ASKED : Telling.AT_ONCE;
            };
        }

        @Override
        public void round(PrecopyPolicy.Measured measured, int throttlePercent) {
            newest = Optional.of(measured);
            rounds = measured.round() + 1;
            throttle = throttlePercent;
            publish();
        }

        @Override
        public void stage(Stage stage, long nanos) {
            stages.put(stage, TimeUnit.NANOSECONDS.toMicros(nanos));
        }

        private void publish() {
            figures =
                    new MigrationFigures(
                            newest,
                            rounds,
                            throttle,
                            stages,
                            downtimeNanos,
                            totalNanos,
                            finalPages,
                            stateBytes);
        }

        @Override
        public void finished(SourceOutcome ended) {
            if (totalNanos == 0) {
                totalNanos = System.nanoTime() - beginNanos;
            }
            publish();
            LOG.info(
                    "event=migration-ended role=source domain={} migration={} outcome={}"
                            + " downtimeMicros={} totalMillis={} stages={} reason=\"{}\"",
                    domain(),
                    settings.opening().migration(),
                    ended.getClass().getSimpleName(),
                    downtimeNanos / 1000,
                    totalNanos / 1_000_000,
                    stages,
                    ended.reason());
            listener.finished(ended);
            outcome = Optional.of(ended);
        }

        @Override
        public void trouble(String what, RuntimeException failure) {
            LOG.warn(
                    "event=ending-step-failed role=source domain={} step=\"{}\"",
                    domain(),
                    what,
                    failure);
        }
    }
}
