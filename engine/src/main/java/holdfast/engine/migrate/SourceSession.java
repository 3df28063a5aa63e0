package holdfast.engine.migrate;

import holdfast.engine.GuestShutDownException;
import holdfast.engine.HypervisorException;
import holdfast.engine.ReplicationException;
import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.memory.Encoded;
import holdfast.engine.memory.PageSender;
import holdfast.engine.memory.PfnSet;
import holdfast.engine.port.Clock;
import holdfast.engine.port.DeviceState;
import holdfast.engine.port.DeviceState.DeviceBase;
import holdfast.engine.port.DirtyTracker;
import holdfast.engine.port.Domain;
import holdfast.engine.port.GuestMemory;
import holdfast.engine.port.StateSave;
import holdfast.engine.port.Timer;
import holdfast.wire.ProtocolException;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.function.Consumer;

/**
 * Performs on real or simulated ports what {@link SourceMachine} decides. One thread owns it and
 * calls {@link #handle}; events that arise elsewhere reach it through the {@code post} given to the
 * constructor, which must queue them for that thread.
 */
public final class SourceSession {
    /** Pages go to connections by runs of this many, each run always to the same one. */
    private static final int STRIPE_PAGES = 1024;

    /**
     * What a session drives. It closes the tracker, the link, the throttle and its senders; the
     * domain and its memory stay the caller's, unless it moved.
     *
     * @param senders one for each connection of the link
     * @param askPeer asks the destination once; the answer arrives as an event
     * @param disks those that the destination does not share; closed with the session
     */
    public record Ports(
            Domain domain,
            GuestMemory memory,
            DirtyTracker tracker,
            ThrottledGuest throttle,
            SourceLink link,
            List<PageSender> senders,
            Consumer<SourceState.Handover> askPeer,
            Timer<SourceEvent> timer,
            Clock clock,
            SourceObserver observer,
            Optional<DepartingDisks> disks) {
        public Ports {
            senders = List.copyOf(senders);
        }

        /** Of a domain whose disks are all shared. */
        public Ports(
                Domain domain,
                GuestMemory memory,
                DirtyTracker tracker,
                ThrottledGuest throttle,
                SourceLink link,
                List<PageSender> senders,
                Consumer<SourceState.Handover> askPeer,
                Timer<SourceEvent> timer,
                Clock clock,
                SourceObserver observer) {
            this(
                    domain,
                    memory,
                    tracker,
                    throttle,
                    link,
                    senders,
                    askPeer,
                    timer,
                    clock,
                    observer,
                    Optional.empty());
        }

        private Storage storage() {
            return disks.isPresent() ? Storage.COPIED : Storage.SHARED;
        }
    }

    /**
     * How long to wait for what.
     *
     * @param prepareNanos for the destination's hypervisor
     * @param finalNanos for the last bytes to leave
     * @param finishNanos for the destination's features, hooks included
     * @param rollbackNanos for it to take everything down
     * @param resumeAgainNanos between two attempts to resume
     */
    public record Deadlines(
            long prepareNanos,
            long finalNanos,
            long finishNanos,
            long rollbackNanos,
            long resumeAgainNanos) {}

    private final SourceMachine machine;
    private final Deadlines deadlines;
    private final Ports ports;
    private final Consumer<SourceEvent> post;
    private final ArrayDeque<SourceEvent> followUps = new ArrayDeque<>();
    private final Arena arena = Arena.ofShared();
    private final PfnSet dirty;
    private SourceState state;
    private long baseSent = -1;
    private int throttlePercent;
    private int rounds;
    private int diskBoundaries;
    private long stageNanos;
    private long suspendedNanos;

    public SourceSession(
            SourceMachine machine, Deadlines deadlines, Ports ports, Consumer<SourceEvent> post) {
        this.machine = machine;
        this.deadlines = deadlines;
        this.ports = ports;
        this.post = post;
        this.dirty = new PfnSet(ports.memory().pages());
        this.state = SourceMachine.begin(ports.storage()).state();
    }

    public SourceState state() {
        return state;
    }

    /** When the guest was told to stop for good, on the clock; 0 before. */
    public long suspendedNanos() {
        return suspendedNanos;
    }

    /** Begins with the disks, or the first round. */
    public void start() {
        SourceMachine.begin(ports.storage()).effects().forEach(this::perform);
        drain();
    }

    /** Steps and performs, until no follow-up is left. */
    public void handle(SourceEvent event) {
        followUps.add(event);
        drain();
    }

    private void drain() {
        for (SourceEvent next = followUps.poll(); next != null; next = followUps.poll()) {
            SourceMachine.Step step;
            try {
                step = machine.step(state, next);
            } catch (ProtocolException e) {
                next = new SourceEvent.PeerViolated(e.getMessage());
                step = machine.step(state, next);
            }
            SourceState from = state;
            state = step.state();
            ports.observer().transition(from, next, state);
            timeStages(next);
            for (SourceEffect effect : step.effects()) {
                perform(effect);
            }
            ports.observer().performed(from, state);
        }
    }

    private void timeStages(SourceEvent event) {
        switch (event) {
            case SourceEvent.FinalSent _ -> stage(SourceObserver.Stage.SEND);
            case SourceEvent.PeerFinished _ -> stage(SourceObserver.Stage.FINISH);
            case SourceEvent.PeerTookOver _ -> stage(SourceObserver.Stage.HAND_OVER);
            case SourceEvent _ -> {}
        }
    }

    private void stage(SourceObserver.Stage stage) {
        long now = ports.clock().nanos();
        ports.observer().stage(stage, now - stageNanos);
        stageNanos = now;
    }

    private void perform(SourceEffect effect) {
        switch (effect) {
            case SourceEffect.CopyDisks _ ->
                    ports.disks()
                            .orElseThrow()
                            .synchronise(
                                    () -> post.accept(new SourceEvent.DisksSynchronised()),
                                    reason -> post.accept(new SourceEvent.SessionFailed(reason)));
            case SourceEffect.CopyRound(int round) -> copyRound(round);
            case SourceEffect.Measure measure -> measure(measure);
            case SourceEffect.Throttle(int percent) -> {
                throttlePercent = percent;
                ports.throttle().throttle(percent);
            }
            case SourceEffect.SendBase _ -> sendBase();
            case SourceEffect.Freeze(int before) -> {
                rounds = before;
                freeze();
            }
            case SourceEffect.SendPerformed(var streams, var cookie) ->
                    ports.link().performed(streams, cookie);
            case SourceEffect.HandOver(SourceState.Handover handover) ->
                    ports.link().handOver(handover.generation());
            case SourceEffect.SendCancel(String reason) -> ports.link().cancel(reason);
            case SourceEffect.Resume _ -> resume();
            case SourceEffect.ResumeLater _ ->
                    ports.timer()
                            .after(deadlines.resumeAgainNanos(), new SourceEvent.ResumeAgain());
            case SourceEffect.AskPeer(SourceState.Handover handover) ->
                    ports.askPeer().accept(handover);
            case SourceEffect.StartDeadline(SourceEvent.Stage stage) ->
                    ports.timer().after(deadline(stage), new SourceEvent.Overdue(stage));
            case SourceEffect.Finish(SourceOutcome outcome) -> finish(outcome);
        }
    }

    private long deadline(SourceEvent.Stage stage) {
        return switch (stage) {
            case PREPARE -> deadlines.prepareNanos();
            case FINAL -> deadlines.finalNanos();
            case FINISH -> deadlines.finishNanos();
            case ROLLBACK -> deadlines.rollbackNanos();
            // Only the operator's own limit bounds the rounds, and the node starts it.
            case ROUND -> throw new IllegalStateException("no deadline of the session's own");
        };
    }

    /** Round 0 sends everything; what the guest writes meanwhile is the next round's. */
    private void copyRound(int round) {
        if (round == 0) {
            if (!collect()) {
                return;
            }
            // What is left out holds zeroes, as the other side does; a later write is reported.
            ports.memory().addPopulated(dirty);
        }
        long pages = dirty.count();
        long begun = ports.clock().nanos();
        AtomicLong bytes = new AtomicLong();
        sendDirty(
                round == 0 ? PageSender.Known.ZEROES : PageSender.Known.OLDER,
                bytes,
                () ->
                        post.accept(
                                new SourceEvent.RoundSent(
                                        round, pages, bytes.get(), ports.clock().nanos() - begun)));
    }

    /** Gives the dirty pages to the connections and forgets them. */
    private void sendDirty(PageSender.Known known, AtomicLong bytes, Runnable sent) {
        int connections = ports.link().connections();
        List<PfnSet> parts = split(connections);
        dirty.clear();
        AtomicInteger left = new AtomicInteger(connections);
        for (int i = 0; i < connections; i++) {
            PageSender sender = ports.senders().get(i);
            PfnSet part = parts.get(i);
            ports.link()
                    .transmit(
                            i,
                            () -> {
                                Encoded encoded = sender.pages(part, ports.memory(), known);
                                bytes.addAndGet(encoded.streamBytes());
                                if (left.decrementAndGet() == 0) {
                                    sent.run();
                                }
                            });
        }
    }

    private List<PfnSet> split(int connections) {
        List<PfnSet> parts = new ArrayList<>();
        for (int i = 0; i < connections; i++) {
            parts.add(new PfnSet(dirty.endPfn()));
        }
        if (connections == 1) {
            parts.getFirst().addAll(dirty);
            return parts;
        }
        dirty.forEachRun(
                (firstPfn, endPfn) -> {
                    for (long pfn = firstPfn; pfn < endPfn; ) {
                        long stripe = pfn / STRIPE_PAGES;
                        long end = Math.min(endPfn, (stripe + 1) * STRIPE_PAGES);
                        parts.get((int) (stripe % connections)).addRun(pfn, end);
                        pfn = end;
                    }
                });
        return parts;
    }

    private void measure(SourceEffect.Measure sent) {
        if (!collect()) {
            return;
        }
        PrecopyPolicy.Measured measured =
                new PrecopyPolicy.Measured(
                        sent.round(),
                        sent.sentPages(),
                        sent.sentBytes(),
                        sent.nanos(),
                        dirty.count());
        ports.observer().round(measured, throttlePercent);
        followUps.add(new SourceEvent.RoundMeasured(measured));
    }

    private boolean collect() {
        try {
            ports.tracker().collect(dirty);
            return true;
        } catch (ReplicationException e) {
            followUps.add(
                    new SourceEvent.SessionFailed("dirty tracking failed: " + e.getMessage()));
            return false;
        }
    }

    private void sendBase() {
        try {
            DeviceState device;
            ports.domain().suspend();
            try {
                // What the guest wrote by now is made durable there while the last round travels.
                closeDiskEpoch();
                device = ports.domain().saveDeviceState();
            } finally {
                ports.domain().resume();
            }
            sendBase(device.base());
        } catch (GuestShutDownException e) {
            followUps.add(new SourceEvent.DomainEnded(e.getMessage()));
        } catch (ReplicationException e) {
            followUps.add(
                    new SourceEvent.SessionFailed(
                            "the device state cannot be saved: " + e.getMessage()));
        }
    }

    private MemorySegment copied(MemorySegment bytes) {
        return arena.allocate(bytes.byteSize(), 8).copyFrom(bytes);
    }

    /**
     * The guest's pause. Its last pages, and its device state as it comes, leave while the state is
     * saved. That must not write to the guest's memory, which is looked at.
     */
    private void freeze() {
        try {
            suspendedNanos = ports.clock().nanos();
            stageNanos = suspendedNanos;
            ports.domain().suspendForHandOver();
            // Only now: a guest that is let go for a moment first writes what the rounds have sent.
            ports.throttle().throttle(0);
            stage(SourceObserver.Stage.SUSPEND);
            closeDiskEpoch();
            // A mirror that is in force keeps the images from being let go of.
            ports.disks().ifPresent(DepartingDisks::detach);
            StateSave save = ports.domain().beginHandOver();
            collectFrozen();
            long pages = dirty.count();
            sendDirty(PageSender.Known.OLDER, new AtomicLong(), () -> {});
            sendBase(save.base());
            long stateBytes = sendSections(save);
            collectFrozen();
            if (!dirty.isEmpty()) {
                // Devices that look into memory when they are loaded would have seen older pages.
                throw new HypervisorException(
                        "save the device state",
                        "saving it wrote "
                                + dirty.count()
                                + " pages of the guest's memory, the first at page frame "
                                + dirty.next(0)
                                + "; no device of QEMU is known to do that, tell us which this"
                                + " guest has");
            }
            stage(SourceObserver.Stage.SAVE);
            followUps.add(new SourceEvent.Frozen(pages, stateBytes));
            end(pages, stateBytes);
        } catch (RuntimeException | VirtualMachineError e) {
            // Whatever it was, the guest must run again. A fault in mapped memory is an Error, too.
            followUps.add(new SourceEvent.FreezeFailed(e.getMessage()));
        }
    }

    private void closeDiskEpoch() {
        ports.disks().ifPresent(disks -> disks.closeEpoch(diskBoundaries++));
    }

    private void sendBase(DeviceBase base) {
        if (base.number() != baseSent) {
            MemorySegment copy = copied(base.bytes());
            baseSent = base.number();
            ports.link().transmit(0, () -> ports.senders().getFirst().base(copy));
        }
    }

    private long sendSections(StateSave save) {
        long bytes = 0;
        for (var part = save.next(); part.isPresent(); part = save.next()) {
            MemorySegment copy = copied(part.get());
            bytes += copy.byteSize();
            ports.link().transmit(0, () -> ports.senders().getFirst().sections(copy));
        }
        return bytes;
    }

    private void end(long finalPages, long stateBytes) {
        int connections = ports.link().connections();
        AtomicReferenceArray<CheckpointDigest> digests = new AtomicReferenceArray<>(connections);
        AtomicInteger left = new AtomicInteger(connections);
        for (int i = 0; i < connections; i++) {
            int connection = i;
            ports.link()
                    .transmit(
                            connection,
                            () -> {
                                digests.set(connection, ports.senders().get(connection).end());
                                if (left.decrementAndGet() == 0) {
                                    post.accept(finalSent(digests, finalPages, stateBytes));
                                }
                            });
        }
    }

    private SourceEvent finalSent(
            AtomicReferenceArray<CheckpointDigest> digests, long finalPages, long stateBytes) {
        List<CheckpointDigest> streams = new ArrayList<>();
        long streamBytes = 0;
        for (int i = 0; i < digests.length(); i++) {
            streams.add(digests.get(i));
            streamBytes += digests.get(i).streamBytes();
        }
        return new SourceEvent.FinalSent(
                streams,
                new Cookies.Performed(
                        Cookies.VERSION,
                        rounds,
                        finalPages,
                        streamBytes,
                        stateBytes,
                        diskBoundaries));
    }

    /** A collect that fails may have taken marks with it: then nothing is known any more. */
    private void collectFrozen() {
        ports.tracker().collect(dirty);
    }

    private void resume() {
        try {
            ports.throttle().throttle(0);
            // First of all: whatever the guest writes from here on is this copy's alone.
            ports.disks().ifPresent(DepartingDisks::close);
            ports.domain().resume();
            followUps.add(new SourceEvent.Resumed());
        } catch (GuestShutDownException e) {
            followUps.add(new SourceEvent.DomainEnded(e.getMessage()));
        } catch (ReplicationException e) {
            followUps.add(new SourceEvent.ResumeFailed(e.getMessage()));
        }
    }

    private void finish(SourceOutcome outcome) {
        attempt("ending the throttle", ports.throttle()::close);
        switch (outcome) {
            case SourceOutcome.Moved _ -> attempt("ending this copy", ports.domain()::destroy);
            case SourceOutcome.DomainEnded _ ->
                    attempt("ending what is left of the domain", ports.domain()::destroy);
            case SourceOutcome.RolledBack _ -> {}
        }
        ports.disks().ifPresent(disks -> attempt("ending the copies of disks", disks::close));
        // The link joins its senders: only then may what they read be freed.
        attempt("closing the link", ports.link()::close);
        attempt("ending dirty tracking", ports.tracker()::close);
        ports.senders().forEach(sender -> attempt("freeing a sender", sender::close));
        attempt("freeing the state", arena::close);
        ports.observer().finished(outcome);
    }

    private void attempt(String what, Runnable step) {
        try {
            step.run();
        } catch (RuntimeException e) {
            ports.observer().trouble(what, e);
        }
    }
}
