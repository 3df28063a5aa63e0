package holdfast.engine.remus;

import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.port.Arbiter;
import holdfast.engine.remus.SecondaryEffect.Apply;
import holdfast.engine.remus.SecondaryEffect.AskArbiter;
import holdfast.engine.remus.SecondaryEffect.ClaimDomain;
import holdfast.engine.remus.SecondaryEffect.CommitDisks;
import holdfast.engine.remus.SecondaryEffect.DiscardPartial;
import holdfast.engine.remus.SecondaryEffect.Finish;
import holdfast.engine.remus.SecondaryEffect.PrepareStandby;
import holdfast.engine.remus.SecondaryEffect.Rehearse;
import holdfast.engine.remus.SecondaryEffect.Send;
import holdfast.engine.remus.SecondaryEffect.TakeOver;
import holdfast.engine.remus.SecondaryEvent.Applied;
import holdfast.engine.remus.SecondaryEvent.CheckpointArrived;
import holdfast.engine.remus.SecondaryEvent.DigestReceived;
import holdfast.engine.remus.SecondaryEvent.DiskWritesArrived;
import holdfast.engine.remus.SecondaryEvent.DisksCommitted;
import holdfast.engine.remus.SecondaryEvent.DisksFailed;
import holdfast.engine.remus.SecondaryEvent.Dismiss;
import holdfast.engine.remus.SecondaryEvent.FailOver;
import holdfast.engine.remus.SecondaryEvent.FromPrimary;
import holdfast.engine.remus.SecondaryEvent.PeerLost;
import holdfast.engine.remus.SecondaryEvent.PeerViolated;
import holdfast.engine.remus.SecondaryEvent.PrimaryStoodDown;
import holdfast.engine.remus.SecondaryEvent.RehearsalFailed;
import holdfast.engine.remus.SecondaryEvent.Rehearsed;
import holdfast.engine.remus.SecondaryEvent.StandbyFailed;
import holdfast.engine.remus.SecondaryEvent.StandbyReady;
import holdfast.engine.remus.SecondaryEvent.TookOver;
import holdfast.engine.remus.SecondaryEvent.Verdict;
import holdfast.engine.remus.SecondaryState.Announcement;
import holdfast.engine.remus.SecondaryState.Applying;
import holdfast.engine.remus.SecondaryState.Arrival;
import holdfast.engine.remus.SecondaryState.Awaiting;
import holdfast.engine.remus.SecondaryState.Claiming;
import holdfast.engine.remus.SecondaryState.Committing;
import holdfast.engine.remus.SecondaryState.Deciding;
import holdfast.engine.remus.SecondaryState.DiskWrites;
import holdfast.engine.remus.SecondaryState.Finished;
import holdfast.engine.remus.SecondaryState.Preparing;
import holdfast.engine.remus.SecondaryState.Receiving;
import holdfast.engine.remus.SecondaryState.Rehearsing;
import holdfast.engine.remus.SecondaryState.TakingOver;
import holdfast.wire.ProtocolException;
import holdfast.wire.colo.ToPrimary;
import holdfast.wire.colo.ToSecondary;

import java.util.List;

/**
 * The secondary's half of Remus as a pure function. The commit point is the step from {@link
 * Committing} into {@link Applying}: the whole checkpoint is here and is what the primary says it
 * sent, and its disk writes are durable. From then on a survivor resumes from it, even if the
 * primary dies before it hears so.
 */
public final class SecondaryMachine {
    private final DiskWrites writesAtFirst;

    /**
     * @param writesAtFirst what is here of an epoch's disk writes when its checkpoint begins:
     *     {@link DiskWrites#WHOLE} for a domain without disks
     */
    public SecondaryMachine(DiskWrites writesAtFirst) {
        this.writesAtFirst = writesAtFirst;
    }

    /** The next state and what to do on the way. */
    public record Step(SecondaryState state, List<SecondaryEffect> effects) {
        Step(SecondaryState state, SecondaryEffect... effects) {
            this(state, List.of(effects));
        }
    }

    /** The first step: nothing has happened yet. */
    public Step start() {
        return new Step(new Preparing(), new PrepareStandby());
    }

    /**
     * @throws ProtocolException if the primary sent what is not legal in {@code state}; the caller
     *     ends the session with {@link PeerViolated}
     */
    public Step step(SecondaryState state, SecondaryEvent event) {
        return switch (state) {
            case Finished finished -> new Step(finished);
            case TakingOver takingOver -> takingOver(takingOver, event);
            case Deciding deciding -> deciding(deciding, event);
            case Claiming claiming -> claiming(claiming, event);
            case Preparing _, Awaiting _, Receiving _, Committing _, Applying _, Rehearsing _ ->
                    switch (event) {
                        case PeerLost(String reason) -> peerLost(state, reason);
                        case PeerViolated(String reason) -> discarded(state, reason);
                        case Dismiss(String reason) -> discarded(state, reason);
                        case StandbyFailed(String reason) -> discarded(state, reason);
                        case DisksFailed(String reason) -> discarded(state, reason);
                        case FailOver _
                                when state.committed() >= 0
                                        && !(state instanceof Committing)
                                        && !(state instanceof Applying)
                                        && !(state instanceof Rehearsing) ->
                                // The claim ends the primary's copy: not before this one is known
                                // to load.
                                new Step(state, new Rehearse(state.committed()));
                        // Nothing committed to go on from; the shell has told the operator so.
                        case FailOver _ -> new Step(state);
                        case StandbyReady _ -> standbyReady(state);
                        case FromPrimary(long epoch, ToSecondary message) ->
                                received(state, epoch, message);
                        case DigestReceived(long epoch, CheckpointDigest digest) ->
                                digestReceived(state, epoch, digest);
                        case CheckpointArrived arrived -> arrived(state, arrived);
                        case DiskWritesArrived(long epoch) -> writesArrived(state, epoch);
                        case DisksCommitted(long epoch) -> disksCommitted(state, epoch);
                        case Applied(long epoch) -> applied(state, epoch);
                        case Rehearsed(long epoch) -> rehearsed(state, epoch);
                        case RehearsalFailed(String reason) when state instanceof Rehearsing ->
                                discarded(
                                        state,
                                        "the standby cannot load the domain's state: " + reason);
                        // A fail-over that is not begun changes nothing; the shell tells the
                        // operator.
                        case RehearsalFailed _ -> new Step(state);
                        case PrimaryStoodDown _ -> primaryStoodDown(state);
                        case Verdict _, TookOver _ -> throw unexpected(state, event);
                    };
        };
    }

    private static Step peerLost(SecondaryState state, String reason) {
        return state.committed() < 0
                ? discarded(
                        state,
                        reason
                                + "; no checkpoint was committed yet, so there is nothing to go on"
                                + " from")
                : new Step(
                        new Deciding(state.committed(), reason),
                        new DiscardPartial(),
                        new AskArbiter());
    }

    /** The arbiter told the primary to stop before this side noticed anything. */
    private static Step primaryStoodDown(SecondaryState state) {
        String reason = "the primary stood down";
        return state.committed() < 0
                ? discarded(state, reason + " before the first commit")
                : takeOver(state.committed(), reason);
    }

    private static Step deciding(Deciding state, SecondaryEvent event) {
        return switch (event) {
            case Verdict(Arbiter.Verdict verdict) ->
                    switch (verdict) {
                        case GO_ON -> takeOver(state.committed(), state.reason());
                        case STAND_DOWN ->
                                discarded(
                                        state,
                                        state.reason()
                                                + "; the arbiter did not give the domain to this"
                                                + " node");
                    };
            case StandbyFailed(String reason) ->
                    finish(state, new SecondaryOutcome.TakeOverFailed(state.committed(), reason));
            // Nobody else runs it any more.
            case PrimaryStoodDown _ -> takeOver(state.committed(), state.reason());
            // What was on its way when the peer was lost. A dismissal, too: the arbiter may have
            // given the domain to this side already, and will then stop the primary. The operator
            // asked the primary to make way, not for it to be declared dead.
            case Dismiss _,
                    FailOver _,
                    PeerLost _,
                    PeerViolated _,
                    StandbyReady _,
                    FromPrimary _,
                    DigestReceived _,
                    CheckpointArrived _,
                    DiskWritesArrived _,
                    DisksCommitted _,
                    DisksFailed _,
                    Applied _,
                    Rehearsed _,
                    RehearsalFailed _,
                    TookOver _ ->
                    new Step(state);
        };
    }

    private static Step claiming(Claiming state, SecondaryEvent event) {
        return switch (event) {
            case PrimaryStoodDown _ -> takeOver(state.committed(), state.reason());
            case PeerLost(String reason) ->
                    new Step(
                            new Deciding(state.committed(), state.reason() + ", but " + reason),
                            new AskArbiter());
            // The primary obeys the claim whatever became of its words: its copy may not have ended
            // yet, and an arbiter that always agrees would let both run. Its end, or its silence,
            // is still to come.
            case PeerViolated _ -> new Step(state);
            case StandbyFailed(String reason) ->
                    finish(state, new SecondaryOutcome.TakeOverFailed(state.committed(), reason));
            // The rest of a checkpoint that the claim cut off, and a dismissal that crossed the
            // claim: the primary obeys the claim.
            case Dismiss _,
                    FailOver _,
                    Verdict _,
                    StandbyReady _,
                    FromPrimary _,
                    DigestReceived _,
                    CheckpointArrived _,
                    DiskWritesArrived _,
                    DisksCommitted _,
                    DisksFailed _,
                    Applied _,
                    Rehearsed _,
                    RehearsalFailed _,
                    TookOver _ ->
                    new Step(state);
        };
    }

    private static Step takingOver(TakingOver state, SecondaryEvent event) {
        return switch (event) {
            case TookOver _ ->
                    finish(state, new SecondaryOutcome.Survived(state.committed(), state.reason()));
            case StandbyFailed(String reason) ->
                    finish(state, new SecondaryOutcome.TakeOverFailed(state.committed(), reason));
            // The domain is ours: nothing the peer says matters any more.
            case PeerLost _,
                    PeerViolated _,
                    Dismiss _,
                    StandbyReady _,
                    FromPrimary _,
                    DigestReceived _,
                    CheckpointArrived _,
                    DiskWritesArrived _,
                    DisksCommitted _,
                    DisksFailed _,
                    Applied _,
                    Rehearsed _,
                    RehearsalFailed _,
                    Verdict _,
                    PrimaryStoodDown _,
                    FailOver _ ->
                    new Step(state);
        };
    }

    private static Step takeOver(long committed, String reason) {
        return new Step(
                new TakingOver(committed, reason),
                new ClaimDomain(reason),
                new TakeOver(committed));
    }

    private static Step standbyReady(SecondaryState state) {
        if (!(state instanceof Preparing)) {
            throw unexpected(state, new StandbyReady());
        }
        return new Step(new Awaiting(0), new Send(0, new ToPrimary.CheckpointReady()));
    }

    private Step received(SecondaryState state, long epoch, ToSecondary message) {
        return switch (state) {
            case Awaiting(long current)
                    when message instanceof ToSecondary.CheckpointRequest && epoch == current ->
                    new Step(
                            new Receiving(
                                    current,
                                    new Announcement.Silent(),
                                    new Arrival.Travelling(),
                                    writesAtFirst),
                            new Send(current, new ToPrimary.CheckpointReply()));
            case Receiving(long current, Announcement.Silent _, Arrival arrival, DiskWrites writes)
                    when message instanceof ToSecondary.VmstateSend && epoch == current ->
                    new Step(new Receiving(current, new Announcement.Begun(), arrival, writes));
            case Receiving(long current, Announcement.Begun _, Arrival arrival, DiskWrites writes)
                    when message instanceof ToSecondary.VmstateSize(long stateBytes)
                            && epoch == current ->
                    new Step(
                            new Receiving(
                                    current, new Announcement.Sized(stateBytes), arrival, writes));
            case Preparing _,
                    Awaiting _,
                    Receiving _,
                    Committing _,
                    Applying _,
                    Rehearsing _,
                    Claiming _,
                    Deciding _,
                    TakingOver _,
                    Finished _ ->
                    throw new ProtocolException(
                            "control connection",
                            ProtocolException.OFFSET_UNKNOWN,
                            "message order",
                            "what follows " + state + " in the checkpoint handshake",
                            message + " for epoch " + epoch);
        };
    }

    private static Step digestReceived(SecondaryState state, long epoch, CheckpointDigest digest) {
        if (!(state
                        instanceof
                        Receiving(
                                long current,
                                Announcement.Sized(long stateBytes),
                                Arrival arrival,
                                DiskWrites writes))
                || epoch != current) {
            throw new ProtocolException(
                    "control connection",
                    ProtocolException.OFFSET_UNKNOWN,
                    "message order",
                    "a digest only after VMSTATE_SIZE, not in " + state,
                    "digest of epoch " + epoch);
        }
        return commitIfWhole(
                new Receiving(
                        current, new Announcement.Complete(stateBytes, digest), arrival, writes));
    }

    private static Step arrived(SecondaryState state, CheckpointArrived event) {
        if (!(state
                        instanceof
                        Receiving(
                                long current,
                                Announcement announcement,
                                Arrival.Travelling _,
                                DiskWrites writes))
                || event.epoch() != current) {
            throw new ProtocolException(
                    "bulk stream",
                    ProtocolException.OFFSET_UNKNOWN,
                    "checkpoint order",
                    "no checkpoint that was not requested; the session is in " + state,
                    "the end of the checkpoint of epoch " + event.epoch());
        }
        return commitIfWhole(
                new Receiving(
                        current,
                        announcement,
                        new Arrival.Whole(event.stateBytes(), event.digest()),
                        writes));
    }

    private static Step writesArrived(SecondaryState state, long epoch) {
        if (!(state
                        instanceof
                        Receiving(
                                long current,
                                Announcement announcement,
                                Arrival arrival,
                                DiskWrites writes))
                || epoch != current
                || writes != DiskWrites.TRAVELLING) {
            throw new ProtocolException(
                    "disk stream",
                    ProtocolException.OFFSET_UNKNOWN,
                    "boundary order",
                    "one boundary of each checkpoint that was requested; the session is in "
                            + state,
                    "the end of the disk writes of epoch " + epoch);
        }
        return commitIfWhole(new Receiving(current, announcement, arrival, DiskWrites.WHOLE));
    }

    private static Step commitIfWhole(Receiving state) {
        if (!(state.announcement()
                        instanceof
                        Announcement.Complete(long announcedBytes, CheckpointDigest sent))
                || !(state.arrival()
                        instanceof Arrival.Whole(long arrivedBytes, CheckpointDigest read))) {
            return new Step(state);
        }
        if (!sent.equals(read)) {
            throw new ProtocolException(
                    "bulk stream",
                    ProtocolException.OFFSET_UNKNOWN,
                    "checkpoint digest of epoch " + state.epoch(),
                    sent.toString(),
                    read.toString());
        }
        if (announcedBytes != arrivedBytes) {
            throw new ProtocolException(
                    "bulk stream",
                    ProtocolException.OFFSET_UNKNOWN,
                    "device state bytes of epoch " + state.epoch(),
                    "the announced " + announcedBytes,
                    Long.toString(arrivedBytes));
        }
        return switch (state.writes()) {
            case TRAVELLING -> new Step(state);
            case WHOLE -> new Step(new Committing(state.epoch()), new CommitDisks(state.epoch()));
        };
    }

    private static Step disksCommitted(SecondaryState state, long epoch) {
        if (!(state instanceof Committing(long current)) || current != epoch) {
            throw unexpected(state, new DisksCommitted(epoch));
        }
        return new Step(
                new Applying(epoch),
                new Send(epoch, new ToPrimary.VmstateReceived()),
                new Apply(epoch));
    }

    private static Step applied(SecondaryState state, long epoch) {
        if (!(state instanceof Applying(long current)) || current != epoch) {
            throw unexpected(state, new Applied(epoch));
        }
        return epoch == 0 ? new Step(new Rehearsing(0), new Rehearse(0)) : loaded(epoch);
    }

    private static Step rehearsed(SecondaryState state, long epoch) {
        if (epoch != state.committed()
                || state instanceof Committing
                || state instanceof Applying) {
            throw unexpected(state, new Rehearsed(epoch));
        }
        return state instanceof Rehearsing
                ? loaded(epoch)
                : new Step(
                        new Claiming(epoch, "the operator moved the domain here"),
                        new ClaimDomain("the operator moved the domain to the secondary"));
    }

    private static Step loaded(long epoch) {
        return new Step(new Awaiting(epoch + 1), new Send(epoch, new ToPrimary.VmstateLoaded()));
    }

    private static Step discarded(SecondaryState state, String reason) {
        return finish(state, new SecondaryOutcome.Discarded(reason));
    }

    private static Step finish(SecondaryState state, SecondaryOutcome outcome) {
        return new Step(new Finished(state.committed(), outcome), new Finish(outcome));
    }

    private static IllegalStateException unexpected(SecondaryState state, SecondaryEvent event) {
        return new IllegalStateException(event + " cannot happen in " + state);
    }
}
