package holdfast.engine.remus;

import holdfast.engine.GuestShutDownException;
import holdfast.engine.ReplicationException;
import holdfast.engine.memory.CheckpointCapture;
import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.memory.CheckpointEncoder;
import holdfast.engine.memory.Encoded;
import holdfast.engine.memory.PfnSet;
import holdfast.engine.port.Arbiter;
import holdfast.engine.port.Clock;
import holdfast.engine.port.DeviceState;
import holdfast.engine.port.DirtyTracker;
import holdfast.engine.port.Domain;
import holdfast.engine.port.ForwardedDisks;
import holdfast.engine.port.GuestMemory;
import holdfast.engine.port.OutputGate;
import holdfast.engine.port.PrimaryLink;
import holdfast.engine.port.Timer;
import holdfast.wire.ProtocolException;

import java.util.ArrayDeque;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * Performs on real or simulated ports what {@link PrimaryMachine} decides. One thread owns a
 * session and calls {@link #handle}; events that arise elsewhere reach it through the {@code post}
 * given to the constructor, which must queue them for that thread.
 */
public final class PrimarySession {
    /**
     * What a session drives. The session closes the tracker, the disks' forwarding, the gate and
     * the link; the domain and its memory stay the caller's.
     *
     * @param disks not yet forwarded
     * @param holdOutput attaches the gate to the running domain
     */
    public record Ports(
            Domain domain,
            GuestMemory memory,
            DirtyTracker tracker,
            ForwardedDisks disks,
            Supplier<OutputGate> holdOutput,
            PrimaryLink link,
            Arbiter arbiter,
            Timer<PrimaryEvent> timer,
            Clock clock,
            PrimaryObserver observer) {}

    private final PrimarySettings settings;
    private final Ports ports;
    private final CheckpointEncoder encoder;
    private final Consumer<PrimaryEvent> post;
    private final PrimaryMachine machine;
    private final ArrayDeque<PrimaryEvent> followUps = new ArrayDeque<>();
    private final CheckpointCapture capture;
    private final PfnSet dirty;
    private OutputGate gate = OutputGate.open();
    private DeviceState.DeviceBase base;
    private long suspendedAtNanos;
    private PrimaryState state = new PrimaryState.Starting();

    public PrimarySession(
            PrimarySettings settings,
            Ports ports,
            CheckpointEncoder encoder,
            Consumer<PrimaryEvent> post) {
        this.settings = settings;
        this.ports = ports;
        this.encoder = encoder;
        this.post = post;
        this.machine = new PrimaryMachine(settings.live());
        this.dirty = new PfnSet(ports.memory().pages());
        this.capture =
                new CheckpointCapture(ports.memory().pages(), 2L * CheckpointCapture.CHUNK_PAGES);
    }

    public PrimaryState state() {
        return state;
    }

    /** What the gate holds now. */
    public OutputGate.Held held() {
        return gate.held();
    }

    /**
     * Steps and performs, until no follow-up is left. A secondary that broke the protocol ends the
     * session; nothing escapes but a broken invariant.
     */
    public void handle(PrimaryEvent event) {
        followUps.add(event);
        for (PrimaryEvent next = followUps.poll(); next != null; next = followUps.poll()) {
            PrimaryMachine.Step step;
            try {
                step = machine.step(state, next);
            } catch (ProtocolException e) {
                next = new PrimaryEvent.PeerViolated(e.getMessage());
                step = machine.step(state, next);
            }
            install(next, step.state());
            for (PrimaryEffect effect : step.effects()) {
                perform(effect);
            }
        }
    }

    private void install(PrimaryEvent event, PrimaryState next) {
        PrimaryState from = state;
        state = next;
        ports.observer().transition(from, event, next);
    }

    private void perform(PrimaryEffect effect) {
        switch (effect) {
            case PrimaryEffect.SynchroniseDisks _ -> synchroniseDisks();
            case PrimaryEffect.CopyRound(int round) -> copyRound(round);
            case PrimaryEffect.CollectDirty(int round, long sentPages) -> {
                if (collectDirty()) {
                    followUps.add(new PrimaryEvent.RoundCopied(round, sentPages, dirty.count()));
                }
            }
            case PrimaryEffect.HoldOutput _ -> holdOutput();
            case PrimaryEffect.Send(long epoch, var message) -> ports.link().send(epoch, message);
            case PrimaryEffect.Capture(long epoch) -> capture(epoch);
            case PrimaryEffect.Transmit(long epoch) -> transmit(epoch);
            case PrimaryEffect.SendDigest(long epoch, CheckpointDigest digest) ->
                    ports.link().sendDigest(epoch, digest);
            case PrimaryEffect.StartInterval(long epoch) ->
                    ports.timer()
                            .after(
                                    settings.intervalNanos(),
                                    new PrimaryEvent.IntervalElapsed(epoch));
            case PrimaryEffect.StartDeadline(long epoch) ->
                    ports.timer()
                            .after(
                                    settings.intervalNanos() + settings.deadlineNanos(),
                                    new PrimaryEvent.CheckpointOverdue(epoch));
            case PrimaryEffect.StartRoundDeadline(int round) ->
                    ports.timer()
                            .after(
                                    settings.deadlineNanos(),
                                    new PrimaryEvent.LiveStageOverdue(round));
            case PrimaryEffect.StartDismissalDeadline _ ->
                    ports.timer()
                            .after(settings.deadlineNanos(), new PrimaryEvent.DismissalOverdue());
            case PrimaryEffect.ReleaseOutput(long epoch) -> releaseOutput(epoch);
            case PrimaryEffect.Dismiss(String reason) -> ports.link().dismiss(reason);
            case PrimaryEffect.AskArbiter _ ->
                    ports.arbiter()
                            .ask(
                                    settings.domain(),
                                    settings.generation(),
                                    Arbiter.Role.PRIMARY,
                                    verdict -> post.accept(new PrimaryEvent.Verdict(verdict)));
            case PrimaryEffect.Finish(PrimaryOutcome outcome) -> finish(outcome);
        }
    }

    private void synchroniseDisks() {
        try {
            ports.disks()
                    .synchronise(
                            () -> post.accept(new PrimaryEvent.DisksSynchronised()),
                            reason -> post.accept(new PrimaryEvent.DisksFailed(reason)));
        } catch (ReplicationException e) {
            followUps.add(
                    new PrimaryEvent.DisksFailed(
                            "disk writes cannot be forwarded: " + e.getMessage()));
        }
    }

    /** Round 0 sends everything; what the guest writes meanwhile is the next round's. */
    private void copyRound(int round) {
        if (round == 0) {
            if (!collectDirty()) {
                return;
            }
            dirty.fill();
        }
        PfnSet sending = new PfnSet(dirty.endPfn());
        sending.addAll(dirty);
        dirty.clear();
        ports.link()
                .transmit(
                        () -> {
                            ports.observer().encoded(encoder.round(sending, ports.memory()));
                            post.accept(new PrimaryEvent.RoundSent(round, sending.count()));
                        });
    }

    private boolean collectDirty() {
        try {
            ports.tracker().collect(dirty);
            return true;
        } catch (ReplicationException e) {
            followUps.add(
                    new PrimaryEvent.SessionFailed("dirty tracking failed: " + e.getMessage()));
            return false;
        }
    }

    private void holdOutput() {
        try {
            gate = ports.holdOutput().get();
        } catch (ReplicationException e) {
            followUps.add(
                    new PrimaryEvent.SessionFailed("output cannot be held: " + e.getMessage()));
        }
    }

    /** Output that cannot be released stays held: protection ends, and all of it leaves then. */
    private void releaseOutput(long epoch) {
        try {
            gate.release(epoch);
        } catch (ReplicationException e) {
            followUps.add(
                    failedOrEnded(
                            "the output of epoch "
                                    + epoch
                                    + " cannot be released: "
                                    + e.getMessage()));
        }
        ports.observer().committed(epoch, ports.clock().nanos() - suspendedAtNanos);
    }

    /**
     * A gate fails, too, where the domain's process is gone: then the replica is all that is left
     * of it and must not be dismissed. Only the domain itself can say which of both it is.
     */
    private PrimaryEvent failedOrEnded(String reason) {
        try {
            ports.domain().suspend();
        } catch (ReplicationException e) {
            ports.observer().trouble("asking whether the domain still obeys", e);
        }
        try {
            ports.domain().resume();
            return new PrimaryEvent.SessionFailed(reason);
        } catch (GuestShutDownException e) {
            return new PrimaryEvent.DomainEnded(e.getMessage(), PrimaryOutcome.Ending.SHUT_DOWN);
        } catch (ReplicationException e) {
            return new PrimaryEvent.DomainEnded(
                    reason + "; the domain does not obey either: " + e.getMessage(),
                    PrimaryOutcome.Ending.DIED);
        }
    }

    /**
     * The guest's pause. Whatever fails in it, the guest runs again, the dirty pages stay in {@code
     * dirty}, and output assigned to the epoch stays with it: the next attempt's state comes after
     * all of that. The epoch of disk writes is closed last, when nothing of the checkpoint can fail
     * any more: its end is on its way to the secondary from then on, and cannot be taken back.
     */
    private void capture(long epoch) {
        Clock clock = ports.clock();
        long start = clock.nanos();
        long suspended = start;
        long saved = start;
        long closed = start;
        long tracked = start;
        long copied = start;
        PrimaryEvent result;
        try {
            ports.domain().suspend();
            suspended = clock.nanos();
            DeviceState device = ports.domain().saveDeviceState();
            saved = clock.nanos();
            gate.closeEpoch(epoch);
            closed = clock.nanos();
            collectWhileSuspended();
            tracked = clock.nanos();
            capture.clear();
            capture.copyPages(dirty, ports.memory());
            capture.copySections(device.sections());
            base = device.base();
            ports.disks().closeEpoch(epoch);
            copied = clock.nanos();
            result = new PrimaryEvent.Captured(epoch, device.sections().byteSize());
        } catch (RuntimeException | VirtualMachineError e) {
            // Whatever it was, the guest must run again; a lasting fault ends protection after a
            // few attempts. A fault in mapped memory is an Error, too.
            result = new PrimaryEvent.CaptureFailed(epoch, e.getMessage());
        }
        try {
            ports.domain().resume();
        } catch (GuestShutDownException e) {
            followUps.add(
                    new PrimaryEvent.DomainEnded(e.getMessage(), PrimaryOutcome.Ending.SHUT_DOWN));
            return;
        } catch (ReplicationException e) {
            followUps.add(
                    new PrimaryEvent.DomainEnded(
                            "the domain could not be resumed after a checkpoint: " + e.getMessage(),
                            PrimaryOutcome.Ending.DIED));
            return;
        }
        long resumed = clock.nanos();
        Optional<String> disturbance = ports.domain().disturbance();
        if (disturbance.isPresent()) {
            // The end of the epoch's disk writes may be on its way: there is no second attempt.
            followUps.add(
                    new PrimaryEvent.SessionFailed(
                            "the checkpoint of epoch "
                                    + epoch
                                    + " is of no use: "
                                    + disturbance.get()));
            return;
        }
        if (result instanceof PrimaryEvent.Captured) {
            dirty.clear();
            suspendedAtNanos = start;
            ports.observer()
                    .paused(
                            new PrimaryObserver.Pause(
                                    epoch,
                                    capture.pages(),
                                    suspended - start,
                                    saved - suspended,
                                    closed - saved,
                                    tracked - closed,
                                    copied - tracked,
                                    resumed - copied));
        }
        followUps.add(result);
    }

    /** A collect that fails may have taken marks with it: then every page counts as written. */
    private void collectWhileSuspended() {
        try {
            ports.tracker().collect(dirty);
        } catch (RuntimeException | VirtualMachineError e) {
            dirty.fill();
            throw e;
        }
    }

    private void transmit(long epoch) {
        ports.link()
                .transmit(
                        () -> {
                            Encoded encoded = encoder.checkpoint(epoch, capture, base);
                            ports.observer().encoded(encoded);
                            capture.reserve(2 * capture.pages());
                            post.accept(new PrimaryEvent.Transmitted(epoch, encoder.takeDigest()));
                        });
    }

    private void finish(PrimaryOutcome outcome) {
        switch (outcome) {
            case PrimaryOutcome.Unprotected _ -> {
                // A domain whose gate stays in place runs, but nobody hears it: worth a second try.
                if (!attempt("letting held output out", gate::detach)) {
                    attempt("letting held output out once more", gate::detach);
                }
            }
            case PrimaryOutcome.StoodDown _ -> {
                boolean destroyed =
                        attempt("stopping the domain for good", ports.domain()::destroy);
                attempt("dropping held output", gate::close);
                if (destroyed) {
                    attempt("confirming the stop", ports.link()::stoodDown);
                }
            }
            case PrimaryOutcome.DomainEnded(String reason, PrimaryOutcome.Ending ending) -> {
                boolean destroyed =
                        attempt("ending what is left of the domain", ports.domain()::destroy);
                attempt("dropping held output", gate::close);
                switch (ending) {
                    case SHUT_DOWN ->
                            attempt("telling the secondary", () -> ports.link().dismiss(reason));
                    case DIED -> {
                        if (destroyed) {
                            attempt("telling the secondary", () -> ports.link().domainDied(reason));
                        }
                    }
                }
            }
        }
        attempt("closing the gate", gate::close);
        // While the link still takes what QEMU waits to get rid of.
        if (!attempt("ending the forwarding of disk writes", ports.disks()::close)) {
            attempt("ending the forwarding of disk writes once more", ports.disks()::close);
        }
        // The link joins its sender: only then may what the sender reads be freed.
        attempt("closing the link", ports.link()::close);
        attempt("ending dirty tracking", ports.tracker()::close);
        attempt("freeing the capture", capture::close);
        attempt("freeing the encoder", encoder::close);
        ports.observer().finished(outcome);
    }

    /**
     * Every step of an ending is tried; one that fails is reported and does not keep the others
     * from happening.
     */
    private boolean attempt(String what, Runnable step) {
        try {
            step.run();
            return true;
        } catch (RuntimeException e) {
            ports.observer().trouble(what, e);
            return false;
        }
    }
}
