package holdfast.node.session;

import holdfast.engine.ReplicationException;
import holdfast.engine.memory.CheckpointEncoder;
import holdfast.engine.memory.Encoded;
import holdfast.engine.port.ForwardedDisks;
import holdfast.engine.port.OutputGate;
import holdfast.engine.remus.LivePolicy;
import holdfast.engine.remus.PrimaryEvent;
import holdfast.engine.remus.PrimaryObserver;
import holdfast.engine.remus.PrimaryOutcome;
import holdfast.engine.remus.PrimarySession;
import holdfast.engine.remus.PrimarySettings;
import holdfast.engine.remus.PrimaryState;
import holdfast.node.link.BulkCompression;
import holdfast.node.link.DiskStream;
import holdfast.node.link.NodeAddress;
import holdfast.node.link.NodeIdentity;
import holdfast.node.link.TcpPrimaryLink;
import holdfast.qemu.linux.PauseThreads;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.StreamEncoding;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** A primary's session on this node: owns the thread, the queue, the link and the tracker. */
public final class RemusPrimary {
    private static final Logger LOG = LoggerFactory.getLogger(RemusPrimary.class);

    /** A standby takes about a second; a first look for an accelerator some dozens. */
    private static final long STANDBY_START_NANOS = TimeUnit.SECONDS.toNanos(60);

    private static final long IDLE_NANOS = TimeUnit.SECONDS.toNanos(5);

    /** Hears what becomes of a session, on its thread. */
    public interface Listener {
        /** The session's state changed, other than from epoch to epoch. */
        void changed();

        /** The first checkpoint is committed: the domain is protected from here on. */
        void protectedNow();

        /** Protection is over and everything of it was given back. */
        void finished(PrimaryOutcome outcome);

        /**
         * The session broke an invariant of its own: it stopped where it was, output stays held.
         */
        void broken(RuntimeException failure);
    }

    /**
     * @param opening what the secondary is asked for
     * @param staying what a survivor is to do so that the domain stays protected
     * @param arbiter of the kind that {@code opening} names
     * @param interval the guest runs this long between two checkpoints
     * @param compression of the bulk stream
     * @param tee a file that gets a copy of the bulk stream
     */
    public record Settings(
            NodeAddress peer,
            LinkMessage.OpenSession opening,
            Optional<LinkMessage.StayProtected> staying,
            Arbiters arbiter,
            Duration interval,
            BulkCompression compression,
            Optional<Path> tee) {
        /** Compressed where that is quicker. */
        public Settings(
                NodeAddress peer,
                LinkMessage.OpenSession opening,
                Optional<LinkMessage.StayProtected> staying,
                Arbiters arbiter,
                Duration interval,
                Optional<Path> tee) {
            this(peer, opening, staying, arbiter, interval, BulkCompression.AUTO, tee);
        }
    }

    private final Settings settings;
    private final ProtectedGuest.Tracking tracking;
    private final TcpPrimaryLink link;
    private final Optional<ProtectedGuest.Forwarding> disks;
    private final SessionQueue<PrimaryEvent> queue;
    private final Listener listener;
    private final PrimaryMeters meters = new PrimaryMeters();
    private final PrimarySession session;
    private final Thread owner;
    private volatile PrimaryState state = new PrimaryState.Starting();
    private volatile OutputGate.Held held = OutputGate.open().held();
    private volatile Optional<PrimaryOutcome> outcome = Optional.empty();
    private volatile Optional<RuntimeException> fault = Optional.empty();

    /** {@link #open}, then {@link #begin}. */
    public static RemusPrimary start(
            Settings settings, ProtectedGuest guest, NodeIdentity self, Listener listener)
            throws IOException {
        RemusPrimary primary = open(settings, guest, self, listener);
        primary.begin();
        return primary;
    }

    /**
     * Connects to the secondary; {@link #begin} must follow, which handles what was posted until
     * then. The domain runs on all the while, and unharmed when this fails.
     *
     * @throws IOException if the other node cannot be reached or refuses
     * @throws ReplicationException if this node lacks something
     */
    public static RemusPrimary open(
            Settings settings, ProtectedGuest guest, NodeIdentity self, Listener listener)
            throws IOException {
        SessionQueue<PrimaryEvent> queue =
                new SessionQueue<>(
                        new PrimaryEvent.SessionFailed(
                                "more events than the session could handle in time"));
        ProtectedGuest.Tracking tracking = guest.openTracker();
        try {
            TcpPrimaryLink link =
                    TcpPrimaryLink.open(
                            settings.peer(),
                            self,
                            settings.opening(),
                            settings.staying(),
                            queue::post,
                            settings.compression(),
                            settings.tee());
            try {
                return new RemusPrimary(settings, guest, tracking, link, queue, listener);
            } catch (RuntimeException | OutOfMemoryError e) {
                link.close();
                throw e;
            }
        } catch (IOException | RuntimeException | OutOfMemoryError e) {
            tracking.tracker().close();
            throw e;
        }
    }

    private RemusPrimary(
            Settings settings,
            ProtectedGuest guest,
            ProtectedGuest.Tracking tracking,
            TcpPrimaryLink link,
            SessionQueue<PrimaryEvent> queue,
            Listener listener) {
        this.settings = settings;
        this.tracking = tracking;
        this.link = link;
        this.disks = link.disks().map(guest::forwardDisks);
        this.queue = queue;
        this.listener = listener;
        LinkMessage.OpenSession opening = settings.opening();
        CheckpointEncoder encoder =
                new CheckpointEncoder(
                        opening.encoding() == StreamEncoding.PLAIN
                                ? CheckpointEncoder.Encoding.PLAIN
                                : CheckpointEncoder.Encoding.DELTA,
                        guest.memory().pages(),
                        link.bulk());
        this.session =
                new PrimarySession(
                        new PrimarySettings(
                                opening.domain(),
                                opening.generation(),
                                settings.interval().toNanos(),
                                checkpointDeadline(opening).toNanos(),
                                LivePolicy.DEFAULT),
                        new PrimarySession.Ports(
                                guest.domain(),
                                guest.memory(),
                                tracking.tracker(),
                                disks.map(ForwardedDisks.class::cast)
                                        .orElseGet(ForwardedDisks::none),
                                () ->
                                        guest.holdOutput(
                                                () ->
                                                        queue.post(
                                                                new PrimaryEvent.IntervalElapsed(
                                                                        runningEpoch())),
                                                link::sendInbound),
                                link,
                                settings.arbiter(),
                                queue,
                                System::nanoTime,
                                new Observer()),
                        encoder,
                        queue::post);
        this.owner =
                Thread.ofPlatform()
                        .name("remus-primary-" + opening.domain())
                        .daemon()
                        .unstarted(PauseThreads.body(this::run));
    }

    /** Starts the session's thread; once. */
    public void begin() {
        queue.after(
                STANDBY_START_NANOS,
                new PrimaryEvent.LiveStageOverdue(PrimaryEvent.LiveStageOverdue.STANDBY_START));
        owner.start();
    }

    /** The epoch whose output the guest makes now. */
    private long runningEpoch() {
        return switch (state) {
            case PrimaryState.Sending(long epoch, var _, var _) -> epoch + 1;
            case PrimaryState.Loading(long epoch, var _) -> epoch + 1;
            case PrimaryState other -> other.epoch();
        };
    }

    /**
     * Generous: a checkpoint may carry all of memory over a slow network while heartbeats go on.
     */
    private static Duration checkpointDeadline(LinkMessage.OpenSession opening) {
        return Duration.ofSeconds(10)
                .plusMillis(opening.memoryBytes() / 10_000)
                .plusMillis(opening.deadlineMillis());
    }

    private void run() {
        LOG.info(
                "event=session-started role=primary domain={} session={} generation={} peer={}"
                        + " address={} encoding={} arbiter={} tracker={} refused={}",
                domain(),
                settings.opening().session(),
                settings.opening().generation(),
                link.peer().nodeName(),
                settings.peer(),
                settings.opening().encoding(),
                settings.arbiter().kind(),
                tracking.kind(),
                tracking.refused());
        try {
            while (outcome.isEmpty()) {
                Optional<PrimaryEvent> event = queue.take(IDLE_NANOS);
                if (event.isPresent()) {
                    session.handle(event.get());
                }
                held = session.held();
            }
        } catch (InterruptedException e) {
            // Nobody interrupts a session's thread.
            broken(new IllegalStateException("the session's thread was interrupted", e));
        } catch (RuntimeException e) {
            broken(e);
        } catch (Error e) {
            // No memory, say. Heartbeats would go on for a session that nobody drives any more.
            broken(new IllegalStateException("the session's thread failed: " + e, e));
        }
    }

    /**
     * Fail-stop: the guest runs, its output stays held, nothing is guessed. The secondary sees a
     * lost peer and asks its arbiter.
     */
    private void broken(RuntimeException failure) {
        fault = Optional.of(failure);
        LOG.error(
                "event=session-broken role=primary domain={} state={} next=\"the output is held;"
                        + " find the domain's owner with holdfast status on both nodes\"",
                domain(),
                state,
                failure);
        // A guest that a tracker watches needs somebody who answers the tracker; one whose disk
        // writes are forwarded, somebody who takes them.
        for (Runnable step :
                List.<Runnable>of(
                        link::close,
                        () -> disks.ifPresent(ForwardedDisks::close),
                        tracking.tracker()::close)) {
            try {
                step.run();
            } catch (RuntimeException e) {
                failure.addSuppressed(e);
            }
        }
        listener.broken(failure);
    }

    private String domain() {
        return settings.opening().domain();
    }

    /** Something happened to the guest. Never blocks. */
    public void post(PrimaryEvent event) {
        queue.post(event);
    }

    /** An operator wants something; handled when nothing more urgent waits. */
    public void request(PrimaryEvent event) {
        if (!queue.request(event)) {
            throw new IllegalStateException("too many requests wait for domain " + domain());
        }
    }

    public Settings settings() {
        return settings;
    }

    /** The session's newest state. */
    public PrimaryState state() {
        return state;
    }

    /** How protection ended, once it has. */
    public Optional<PrimaryOutcome> outcome() {
        return outcome;
    }

    /** What broke the session, where it did not end in order: nobody handles requests any more. */
    public Optional<RuntimeException> fault() {
        return fault;
    }

    /** Bytes on the bulk stream by now, a round in the middle included. */
    public long sentBytes() {
        return link.bulkBytes();
    }

    /** How far the domain's replicated disks are; empty where it has none. */
    public List<ProtectedGuest.DiskFigures> diskFigures() {
        return disks.map(ProtectedGuest.Forwarding::figures).orElse(List.of());
    }

    /** What became of their writes; empty where there are none. */
    public Optional<DiskStream.Figures> diskStream() {
        return link.disks().map(DiskStream::figures);
    }

    public PrimaryFigures figures() {
        return meters.figures();
    }

    /** What is held back, as of the last event. */
    public OutputGate.Held held() {
        return held;
    }

    public ProtectedGuest.Tracking tracking() {
        return tracking;
    }

    /** The secondary's node, by its own name. */
    public String peerName() {
        return link.peer().nodeName();
    }

    /** Waits until the session's thread has ended. */
    public boolean awaitEnd(Duration limit) throws InterruptedException {
        return owner.join(limit);
    }

    private final class Observer implements PrimaryObserver {
        @Override
        public void transition(PrimaryState from, PrimaryEvent event, PrimaryState to) {
            state = to;
            meters.transition(from, event, to);
            if (from.getClass() == to.getClass()) {
                return;
            }
            if (periodic(from) && periodic(to)) {
                LOG.debug("domain={} epoch={} from={} to={}", domain(), to.epoch(), from, to);
                return;
            }
            LOG.info(
                    "event=state role=primary domain={} session={} epoch={} from={} to={} cause={}",
                    domain(),
                    settings.opening().session(),
                    to.epoch(),
                    from.getClass().getSimpleName(),
                    to.getClass().getSimpleName(),
                    event);
            listener.changed();
        }

        private static boolean periodic(PrimaryState state) {
            return switch (state) {
                case PrimaryState.Requested _,
                        PrimaryState.Granted _,
                        PrimaryState.Capturing _,
                        PrimaryState.Sending _,
                        PrimaryState.Loading _ ->
                        true;
                case PrimaryState.Starting _,
                        PrimaryState.Synchronising _,
                        PrimaryState.Copying _,
                        PrimaryState.Dismissing _,
                        PrimaryState.Deciding _,
                        PrimaryState.Finished _ ->
                        false;
            };
        }

        @Override
        public void paused(Pause pause) {
            meters.paused(domain(), pause);
        }

        @Override
        public void encoded(Encoded encoded) {
            meters.encoded(encoded);
        }

        @Override
        public void committed(long epoch, long nanos) {
            meters.committed();
            if (epoch == 0) {
                LOG.info(
                        "event=protected domain={} session={} peer={} firstCommitMillis={}",
                        domain(),
                        settings.opening().session(),
                        link.peer().nodeName(),
                        TimeUnit.NANOSECONDS.toMillis(nanos));
                listener.protectedNow();
            }
        }

        @Override
        public void finished(PrimaryOutcome ended) {
            LOG.info(
                    "event=session-ended role=primary domain={} session={} outcome={}"
                            + " reason=\"{}\"",
                    domain(),
                    settings.opening().session(),
                    ended.getClass().getSimpleName(),
                    ended.reason());
            outcome = Optional.of(ended);
            listener.finished(ended);
        }

        @Override
        public void trouble(String what, RuntimeException failure) {
            LOG.warn(
                    "event=ending-step-failed role=primary domain={} step=\"{}\"",
                    domain(),
                    what,
                    failure);
        }
    }
}
