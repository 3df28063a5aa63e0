package holdfast.engine.remus;

import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.port.Arbiter;
import holdfast.engine.remus.PrimaryEffect.AskArbiter;
import holdfast.engine.remus.PrimaryEffect.Capture;
import holdfast.engine.remus.PrimaryEffect.CollectDirty;
import holdfast.engine.remus.PrimaryEffect.CopyRound;
import holdfast.engine.remus.PrimaryEffect.Dismiss;
import holdfast.engine.remus.PrimaryEffect.Finish;
import holdfast.engine.remus.PrimaryEffect.HoldOutput;
import holdfast.engine.remus.PrimaryEffect.ReleaseOutput;
import holdfast.engine.remus.PrimaryEffect.Send;
import holdfast.engine.remus.PrimaryEffect.SendDigest;
import holdfast.engine.remus.PrimaryEffect.StartDeadline;
import holdfast.engine.remus.PrimaryEffect.StartDismissalDeadline;
import holdfast.engine.remus.PrimaryEffect.StartInterval;
import holdfast.engine.remus.PrimaryEffect.StartRoundDeadline;
import holdfast.engine.remus.PrimaryEffect.SynchroniseDisks;
import holdfast.engine.remus.PrimaryEffect.Transmit;
import holdfast.engine.remus.PrimaryEvent.CaptureFailed;
import holdfast.engine.remus.PrimaryEvent.Captured;
import holdfast.engine.remus.PrimaryEvent.CheckpointOverdue;
import holdfast.engine.remus.PrimaryEvent.DisksFailed;
import holdfast.engine.remus.PrimaryEvent.DisksSynchronised;
import holdfast.engine.remus.PrimaryEvent.DismissalOverdue;
import holdfast.engine.remus.PrimaryEvent.Dismissed;
import holdfast.engine.remus.PrimaryEvent.DomainEnded;
import holdfast.engine.remus.PrimaryEvent.FromSecondary;
import holdfast.engine.remus.PrimaryEvent.IntervalElapsed;
import holdfast.engine.remus.PrimaryEvent.LiveStageOverdue;
import holdfast.engine.remus.PrimaryEvent.PeerClosed;
import holdfast.engine.remus.PrimaryEvent.PeerLost;
import holdfast.engine.remus.PrimaryEvent.PeerTookOver;
import holdfast.engine.remus.PrimaryEvent.PeerViolated;
import holdfast.engine.remus.PrimaryEvent.RoundCopied;
import holdfast.engine.remus.PrimaryEvent.RoundSent;
import holdfast.engine.remus.PrimaryEvent.SessionFailed;
import holdfast.engine.remus.PrimaryEvent.Transmitted;
import holdfast.engine.remus.PrimaryEvent.Unprotect;
import holdfast.engine.remus.PrimaryEvent.Verdict;
import holdfast.engine.remus.PrimaryState.Capturing;
import holdfast.engine.remus.PrimaryState.Copying;
import holdfast.engine.remus.PrimaryState.Deciding;
import holdfast.engine.remus.PrimaryState.Dismissing;
import holdfast.engine.remus.PrimaryState.Finished;
import holdfast.engine.remus.PrimaryState.Granted;
import holdfast.engine.remus.PrimaryState.Interval;
import holdfast.engine.remus.PrimaryState.Loading;
import holdfast.engine.remus.PrimaryState.Requested;
import holdfast.engine.remus.PrimaryState.Sending;
import holdfast.engine.remus.PrimaryState.Starting;
import holdfast.engine.remus.PrimaryState.Synchronising;
import holdfast.engine.remus.PrimaryState.Transit;
import holdfast.wire.ProtocolException;
import holdfast.wire.colo.ToPrimary;
import holdfast.wire.colo.ToSecondary;

import java.util.List;

/**
 * The primary's half of Remus as a pure function. The commit point is the arrival of
 * VMSTATE_RECEIVED in {@link Sending} with every byte written: only there does output leave.
 */
public final class PrimaryMachine {
    /** Captures of one epoch that may fail before protection is given up. */
    public static final int CAPTURE_FAILURES_MAX = 3;

    private final LivePolicy live;

    public PrimaryMachine(LivePolicy live) {
        this.live = live;
    }

    /** The next state and what to do on the way. */
    public record Step(PrimaryState state, List<PrimaryEffect> effects) {
        Step(PrimaryState state, PrimaryEffect... effects) {
            this(state, List.of(effects));
        }
    }

    /**
     * @throws ProtocolException if the secondary sent a message that is not legal in {@code state};
     *     the caller ends the session with {@link PeerClosed}
     */
    public Step step(PrimaryState state, PrimaryEvent event) {
        return switch (state) {
            case Finished finished -> new Step(finished);
            case Deciding deciding -> decide(deciding, event);
            case Dismissing dismissing -> dismissing(dismissing, event);
            case Starting _,
                    Synchronising _,
                    Copying _,
                    Requested _,
                    Granted _,
                    Capturing _,
                    Sending _,
                    Loading _ ->
                    switch (event) {
                        case PeerLost(String reason) -> peerLost(state, reason);
                        case PeerClosed(String reason) -> unprotected(state, reason);
                        case PeerViolated(String reason) -> dismiss(state, reason);
                        case PeerTookOver(String reason) ->
                                finish(state, new PrimaryOutcome.StoodDown(reason));
                        case Unprotect _ -> dismiss(state, "the operator ended protection");
                        case SessionFailed(String reason) -> dismiss(state, reason);
                        case DisksFailed(String reason) -> dismiss(state, reason);
                        case DisksSynchronised _ -> disksSynchronised(state);
                        case DomainEnded(String reason, PrimaryOutcome.Ending ending) ->
                                finish(state, new PrimaryOutcome.DomainEnded(reason, ending));
                        case FromSecondary(long epoch, ToPrimary message) ->
                                received(state, epoch, message);
                        case RoundSent(int round, long sentPages) ->
                                new Step(state, new CollectDirty(round, sentPages));
                        case RoundCopied copied -> roundCopied(state, copied);
                        case IntervalElapsed(long epoch) -> intervalElapsed(state, epoch);
                        case Captured(long epoch, long stateBytes) ->
                                captured(state, epoch, stateBytes);
                        case CaptureFailed(long epoch, String reason) ->
                                captureFailed(state, epoch, reason);
                        case Transmitted(long epoch, CheckpointDigest digest) ->
                                transmitted(state, epoch, digest);
                        case CheckpointOverdue(long epoch) -> overdue(state, epoch);
                        case LiveStageOverdue(int round) -> liveStageOverdue(state, round);
                        case Verdict _, Dismissed _, DismissalOverdue _ ->
                                throw unexpected(state, event);
                    };
        };
    }

    /**
     * A secondary that never had a whole checkpoint has nothing to go on from: then there is
     * nothing to ask.
     */
    private static Step peerLost(PrimaryState state, String reason) {
        boolean mayHaveCommitted =
                switch (state) {
                    case Starting _, Synchronising _, Copying _ -> false;
                    case Requested(long epoch, Interval _) -> epoch > 0;
                    case Granted(long epoch, int _) -> epoch > 0;
                    case Capturing(long epoch, int _) -> epoch > 0;
                    case Sending(long epoch, Transit transit, Interval _) ->
                            epoch > 0 || transit == Transit.WRITTEN;
                    case Loading _, Dismissing _, Deciding _, Finished _ -> true;
                };
        return mayHaveCommitted
                ? new Step(new Deciding(state.epoch(), reason), new AskArbiter())
                : unprotected(
                        state,
                        "the secondary was lost before the first commit ("
                                + reason
                                + "); the domain goes on here");
    }

    private static Step decide(Deciding state, PrimaryEvent event) {
        return switch (event) {
            case Verdict(Arbiter.Verdict verdict) ->
                    switch (verdict) {
                        case GO_ON ->
                                unprotected(
                                        state,
                                        "the secondary is lost ("
                                                + state.reason()
                                                + "); the domain goes on here alone");
                        case STAND_DOWN ->
                                finish(
                                        state,
                                        new PrimaryOutcome.StoodDown(
                                                "the secondary is lost ("
                                                        + state.reason()
                                                        + ") and the arbiter gave the domain to the"
                                                        + " other node"));
                    };
            case PeerTookOver(String reason) -> finish(state, new PrimaryOutcome.StoodDown(reason));
            case PeerClosed(String reason) -> unprotected(state, reason);
            case Dismissed _ -> unprotected(state, state.reason());
            case DomainEnded(String reason, PrimaryOutcome.Ending ending) ->
                    finish(state, new PrimaryOutcome.DomainEnded(reason, ending));
            // What was on its way when the peer was lost, and timers of epochs that no longer
            // matter. The operator asked the secondary to end protection, not to be declared dead.
            case Unprotect _,
                    PeerLost _,
                    PeerViolated _,
                    SessionFailed _,
                    FromSecondary _,
                    DisksSynchronised _,
                    DisksFailed _,
                    RoundSent _,
                    RoundCopied _,
                    IntervalElapsed _,
                    Captured _,
                    CaptureFailed _,
                    Transmitted _,
                    CheckpointOverdue _,
                    LiveStageOverdue _,
                    DismissalOverdue _ ->
                    new Step(state);
        };
    }

    private static Step received(PrimaryState state, long epoch, ToPrimary message) {
        return switch (state) {
            case Starting _ when message instanceof ToPrimary.CheckpointReady && epoch == 0 ->
                    new Step(new Synchronising(), new SynchroniseDisks());
            case Requested(long current, Interval interval)
                    when message instanceof ToPrimary.CheckpointReply && epoch == current ->
                    switch (interval) {
                        case RUNNING -> new Step(new Granted(current, 0));
                        case ELAPSED -> capture(current, 0);
                    };
            case Sending(long current, Transit transit, Interval interval)
                    when message instanceof ToPrimary.VmstateReceived
                            && epoch == current
                            && transit == Transit.WRITTEN ->
                    new Step(new Loading(current, interval), new ReleaseOutput(current));
            case Loading(long current, Interval interval)
                    when message instanceof ToPrimary.VmstateLoaded && epoch == current ->
                    request(current + 1, interval);
            case Starting _,
                    Synchronising _,
                    Copying _,
                    Requested _,
                    Granted _,
                    Capturing _,
                    Sending _,
                    Loading _,
                    Dismissing _,
                    Deciding _,
                    Finished _ ->
                    throw new ProtocolException(
                            "back channel",
                            ProtocolException.OFFSET_UNKNOWN,
                            "message order",
                            "what follows " + state + " in the checkpoint handshake",
                            message + " for epoch " + epoch);
        };
    }

    /** Memory comes after the disks: copied before, it would all be old by the time they are. */
    private static Step disksSynchronised(PrimaryState state) {
        if (!(state instanceof Synchronising)) {
            throw unexpected(state, new DisksSynchronised());
        }
        return new Step(new Copying(0, 0), new CopyRound(0), new StartRoundDeadline(0));
    }

    private Step roundCopied(PrimaryState state, RoundCopied copied) {
        if (!(state instanceof Copying(int round, long _)) || round != copied.round()) {
            throw unexpected(state, copied);
        }
        if (live.another(round, copied.sentPages(), copied.dirtyPages())) {
            return new Step(
                    new Copying(round + 1, copied.dirtyPages()),
                    new CopyRound(round + 1),
                    new StartRoundDeadline(round + 1));
        }
        // Held from before the first checkpoint, so that the first epoch after it has nowhere to
        // leak.
        return new Step(
                new Requested(0, Interval.ELAPSED),
                new HoldOutput(),
                new Send(0, new ToSecondary.CheckpointRequest()),
                new StartDeadline(0));
    }

    private static Step intervalElapsed(PrimaryState state, long epoch) {
        return switch (state) {
            case Requested(long current, Interval _) when epoch == current ->
                    new Step(new Requested(current, Interval.ELAPSED));
            case Granted(long current, int failures) when epoch == current ->
                    capture(current, failures);
            case Sending(long current, Transit transit, Interval _) when epoch == current + 1 ->
                    new Step(new Sending(current, transit, Interval.ELAPSED));
            case Loading(long current, Interval _) when epoch == current + 1 ->
                    new Step(new Loading(current, Interval.ELAPSED));
            // A timer that a full output hold overtook.
            case Starting _,
                    Synchronising _,
                    Copying _,
                    Requested _,
                    Granted _,
                    Capturing _,
                    Sending _,
                    Loading _,
                    Dismissing _,
                    Deciding _,
                    Finished _ ->
                    new Step(state);
        };
    }

    private static Step captured(PrimaryState state, long epoch, long stateBytes) {
        if (!(state instanceof Capturing(long current, int _)) || current != epoch) {
            throw unexpected(state, new Captured(epoch, stateBytes));
        }
        return new Step(
                new Sending(epoch, Transit.WRITING, Interval.RUNNING),
                new StartInterval(epoch + 1),
                new Send(epoch, new ToSecondary.VmstateSend()),
                new Send(epoch, new ToSecondary.VmstateSize(stateBytes)),
                new Transmit(epoch));
    }

    private static Step captureFailed(PrimaryState state, long epoch, String reason) {
        if (!(state instanceof Capturing(long current, int failures)) || current != epoch) {
            throw unexpected(state, new CaptureFailed(epoch, reason));
        }
        int failed = failures + 1;
        return failed < CAPTURE_FAILURES_MAX
                ? new Step(new Granted(epoch, failed), new StartInterval(epoch))
                : dismiss(
                        state,
                        "the checkpoint of epoch "
                                + epoch
                                + " failed "
                                + failed
                                + " times, last: "
                                + reason);
    }

    private static Step transmitted(PrimaryState state, long epoch, CheckpointDigest digest) {
        if (!(state instanceof Sending(long current, Transit transit, Interval interval))
                || current != epoch
                || transit != Transit.WRITING) {
            throw unexpected(state, new Transmitted(epoch, digest));
        }
        return new Step(
                new Sending(epoch, Transit.WRITTEN, interval), new SendDigest(epoch, digest));
    }

    private static Step overdue(PrimaryState state, long epoch) {
        boolean waiting =
                switch (state) {
                    case Requested(long current, Interval _) -> current == epoch;
                    case Granted(long current, int _) -> current == epoch;
                    case Capturing(long current, int _) -> current == epoch;
                    case Sending(long current, Transit _, Interval _) -> current == epoch;
                    case Loading(long current, Interval _) -> current == epoch;
                    case Starting _,
                            Synchronising _,
                            Copying _,
                            Dismissing _,
                            Deciding _,
                            Finished _ ->
                            false;
                };
        return waiting
                ? dismiss(
                        state,
                        "the checkpoint of epoch "
                                + epoch
                                + " was not committed and applied in time")
                : new Step(state);
    }

    private static Step liveStageOverdue(PrimaryState state, int overdue) {
        return switch (state) {
            case Starting _ when overdue == LiveStageOverdue.STANDBY_START ->
                    dismiss(state, "the secondary did not start its standby in time");
            case Copying(int round, long _) when round == overdue ->
                    dismiss(
                            state,
                            "round "
                                    + round
                                    + " of the live stage did not reach the secondary in time");
            case Starting _,
                    Synchronising _,
                    Copying _,
                    Requested _,
                    Granted _,
                    Capturing _,
                    Sending _,
                    Loading _,
                    Dismissing _,
                    Deciding _,
                    Finished _ ->
                    new Step(state);
        };
    }

    private static Step request(long epoch, Interval interval) {
        return new Step(
                new Requested(epoch, interval),
                new Send(epoch, new ToSecondary.CheckpointRequest()),
                new StartDeadline(epoch));
    }

    private static Step capture(long epoch, int failures) {
        return new Step(new Capturing(epoch, failures), new Capture(epoch));
    }

    private static Step dismissing(Dismissing state, PrimaryEvent event) {
        return switch (event) {
            case Dismissed _ -> unprotected(state, state.reason());
            case PeerClosed _ -> unprotected(state, state.reason());
            case PeerTookOver(String reason) -> finish(state, new PrimaryOutcome.StoodDown(reason));
            case PeerLost(String reason) -> unconfirmed(state, "then " + reason);
            case DismissalOverdue _ ->
                    unconfirmed(state, "the secondary did not answer the dismissal");
            case DomainEnded(String reason, PrimaryOutcome.Ending ending) ->
                    finish(state, new PrimaryOutcome.DomainEnded(reason, ending));
            // What was on its way when the end was decided.
            case CheckpointOverdue _,
                    LiveStageOverdue _,
                    PeerViolated _,
                    SessionFailed _,
                    Unprotect _,
                    Verdict _,
                    FromSecondary _,
                    DisksSynchronised _,
                    DisksFailed _,
                    RoundSent _,
                    RoundCopied _,
                    IntervalElapsed _,
                    Captured _,
                    CaptureFailed _,
                    Transmitted _ ->
                    new Step(state);
        };
    }

    /** Before the first epoch ends nothing was committed: there is nothing to ask. */
    private static Step unconfirmed(Dismissing state, String what) {
        String reason = state.reason() + "; " + what;
        return state.epoch() < 0
                ? unprotected(state, reason)
                : new Step(new Deciding(state.epoch(), reason), new AskArbiter());
    }

    private static Step dismiss(PrimaryState state, String reason) {
        return new Step(
                new Dismissing(state.epoch(), reason),
                new Dismiss(reason),
                new StartDismissalDeadline());
    }

    private static Step unprotected(PrimaryState state, String reason) {
        return finish(state, new PrimaryOutcome.Unprotected(reason));
    }

    private static Step finish(PrimaryState state, PrimaryOutcome outcome) {
        return new Step(new Finished(state.epoch(), outcome), new Finish(outcome));
    }

    private static IllegalStateException unexpected(PrimaryState state, PrimaryEvent event) {
        return new IllegalStateException(event + " cannot happen in " + state);
    }
}
