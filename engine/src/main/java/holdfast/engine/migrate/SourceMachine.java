package holdfast.engine.migrate;

import holdfast.engine.migrate.SourceEvent.Cancel;
import holdfast.engine.migrate.SourceEvent.DomainEnded;
import holdfast.engine.migrate.SourceEvent.FinalSent;
import holdfast.engine.migrate.SourceEvent.FreezeFailed;
import holdfast.engine.migrate.SourceEvent.Frozen;
import holdfast.engine.migrate.SourceEvent.NotAnswered;
import holdfast.engine.migrate.SourceEvent.OperatorGivesUp;
import holdfast.engine.migrate.SourceEvent.OperatorGoesOn;
import holdfast.engine.migrate.SourceEvent.Overdue;
import holdfast.engine.migrate.SourceEvent.PeerFinished;
import holdfast.engine.migrate.SourceEvent.PeerLost;
import holdfast.engine.migrate.SourceEvent.PeerPrepared;
import holdfast.engine.migrate.SourceEvent.PeerRolledBack;
import holdfast.engine.migrate.SourceEvent.PeerTookOver;
import holdfast.engine.migrate.SourceEvent.PeerViolated;
import holdfast.engine.migrate.SourceEvent.ResumeAgain;
import holdfast.engine.migrate.SourceEvent.ResumeFailed;
import holdfast.engine.migrate.SourceEvent.Resumed;
import holdfast.engine.migrate.SourceEvent.RoundMeasured;
import holdfast.engine.migrate.SourceEvent.RoundSent;
import holdfast.engine.migrate.SourceEvent.SessionFailed;
import holdfast.engine.migrate.SourceEvent.Stage;
import holdfast.engine.migrate.SourceEvent.StopRounds;
import holdfast.engine.migrate.SourceState.AfterHandOver;
import holdfast.engine.migrate.SourceState.Asking;
import holdfast.engine.migrate.SourceState.BeforeHandOver;
import holdfast.engine.migrate.SourceState.Copying;
import holdfast.engine.migrate.SourceState.Copying.Urgency;
import holdfast.engine.migrate.SourceState.Finished;
import holdfast.engine.migrate.SourceState.Finishing;
import holdfast.engine.migrate.SourceState.GivenBack;
import holdfast.engine.migrate.SourceState.HandedOver;
import holdfast.engine.migrate.SourceState.Handover;
import holdfast.engine.migrate.SourceState.Peer;
import holdfast.engine.migrate.SourceState.Resuming;
import holdfast.engine.migrate.SourceState.RollingBack;
import holdfast.engine.migrate.SourceState.Sending;
import holdfast.engine.migrate.SourceState.Suspending;
import holdfast.engine.migrate.SourceState.Waiting;
import holdfast.wire.ProtocolException;

import java.util.List;
import java.util.Optional;

/**
 * A migration's source as a pure function. The commit point is the effect {@link
 * SourceEffect.HandOver}: it leads to an {@link AfterHandOver}, and whatever happens there is
 * decided by {@link #after} alone.
 */
public final class SourceMachine {
    private final PrecopyPolicy policy;
    private final FeaturePlan plan;
    private final long generation;

    /**
     * @param generation the domain's, here; the destination's is one more
     */
    public SourceMachine(PrecopyPolicy policy, FeaturePlan plan, long generation) {
        this.policy = policy;
        this.plan = plan;
        this.generation = generation;
    }

    /** The next state and what to do on the way. */
    public record Step(SourceState state, List<SourceEffect> effects) {
        Step(SourceState state, SourceEffect... effects) {
            this(state, List.of(effects));
        }
    }

    /** The first state, and what to do in it. */
    public static Step begin() {
        return new Step(
                new Copying(0, PrecopyPolicy.Course.BEGIN, Peer.PREPARING, Urgency.AS_POLICY_SAYS),
                new SourceEffect.StartDeadline(Stage.PREPARE),
                new SourceEffect.CopyRound(0));
    }

    /**
     * @throws ProtocolException if the destination said what is not legal in {@code state}; the
     *     caller goes on with {@link PeerViolated}
     */
    public Step step(SourceState state, SourceEvent event) {
        return switch (state) {
            case Finished finished -> new Step(finished);
            case AfterHandOver after -> after(after, event);
            case RollingBack rolling -> rollingBack(rolling, event);
            case Resuming resuming -> resuming(resuming, event);
            case Copying _, Waiting _, Suspending _, Sending _, Finishing _ ->
                    forward((BeforeHandOver) state, event);
        };
    }

    private Step forward(BeforeHandOver state, SourceEvent event) {
        return switch (event) {
            case PeerPrepared(Cookies.Prepared cookie) -> prepared(state, cookie);
            case RoundSent sent -> roundSent(state, sent);
            case RoundMeasured(PrecopyPolicy.Measured measured) -> measured(state, measured);
            case Frozen _ -> frozen(state, event);
            case FreezeFailed(String reason) ->
                    rollBack(state, "the guest's state could not be taken: " + reason);
            case FinalSent sent -> finalSent(state, sent);
            case PeerFinished(Cookies.Finished cookie) -> peerFinished(state, cookie);
            case PeerRolledBack(Cookies.RolledBack cookie) ->
                    resume("the destination gave up: " + cookie.reason(), cookie.reports());
            case PeerTookOver _ -> throw illegal(state, "TAKEN_OVER before HAND_OVER");
            case PeerLost(String reason) -> resume("the destination is lost: " + reason, List.of());
            case PeerViolated(String reason) -> rollBack(state, reason);
            case Cancel(String reason) -> rollBack(state, reason);
            case SessionFailed(String reason) -> rollBack(state, reason);
            case StopRounds _ -> stopRounds(state);
            case Overdue(Stage stage) -> overdue(state, stage);
            case DomainEnded(String reason) -> ended(state, reason);
            case NotAnswered _,
                    OperatorGoesOn _,
                    OperatorGivesUp _,
                    Resumed _,
                    ResumeFailed _,
                    ResumeAgain _ ->
                    throw unexpected(state, event);
        };
    }

    private static Step prepared(BeforeHandOver state, Cookies.Prepared cookie) {
        Step next =
                switch (state) {
                    case Copying(int round, var course, Peer peer, Urgency urgency)
                            when peer == Peer.PREPARING ->
                            new Step(new Copying(round, course, Peer.READY, urgency));
                    case Waiting(int round, var course, Urgency urgency) ->
                            new Step(
                                    new Copying(round + 1, course, Peer.READY, urgency),
                                    new SourceEffect.CopyRound(round + 1));
                    case Copying _,
                            Suspending _,
                            Sending _,
                            Finishing _,
                            RollingBack _,
                            Resuming _ ->
                            throw illegal(state, "PREPARED twice");
                };
        Optional<FeatureReport> fatal =
                cookie.reports().stream().filter(FeatureReport::isFatal).findFirst();
        if (fatal.isPresent()) {
            return rollBack(
                    state,
                    "required feature "
                            + fatal.get().name()
                            + " cannot be had there: "
                            + fatal.get().detail());
        }
        return next;
    }

    private static Step roundSent(BeforeHandOver state, RoundSent sent) {
        if (!(state instanceof Copying copying) || copying.round() != sent.round()) {
            throw unexpected(state, sent);
        }
        return new Step(
                state,
                new SourceEffect.Measure(
                        sent.round(), sent.sentPages(), sent.sentBytes(), sent.nanos()));
    }

    private Step measured(BeforeHandOver state, PrecopyPolicy.Measured measured) {
        if (!(state instanceof Copying copying) || copying.round() != measured.round()) {
            throw unexpected(state, new RoundMeasured(measured));
        }
        if (copying.peer() == Peer.PREPARING) {
            // The guest cannot be suspended for a destination that is not there yet, and one more
            // round now would be sent once more then.
            return new Step(new Waiting(copying.round(), copying.course(), copying.urgency()));
        }
        return switch (copying.urgency()) {
            case LAST -> freeze(copying);
            case STOP_NEXT -> last(copying);
            case AS_POLICY_SAYS -> decided(copying, measured);
        };
    }

    private Step decided(Copying copying, PrecopyPolicy.Measured measured) {
        return switch (policy.decide(copying.course(), measured)) {
            case PrecopyPolicy.Decision.Enough _ -> last(copying);
            case PrecopyPolicy.Decision.Again(PrecopyPolicy.Course course) ->
                    again(copying, course);
        };
    }

    private static Step last(Copying copying) {
        int next = copying.round() + 1;
        return new Step(
                new Copying(next, copying.course(), copying.peer(), Urgency.LAST),
                new SourceEffect.SendBase(),
                new SourceEffect.CopyRound(next));
    }

    private static Step freeze(Copying copying) {
        int rounds = copying.round() + 1;
        return new Step(new Suspending(rounds), new SourceEffect.Freeze(rounds));
    }

    private static Step again(Copying copying, PrecopyPolicy.Course course) {
        int next = copying.round() + 1;
        Copying state = new Copying(next, course, copying.peer(), copying.urgency());
        return course.throttlePercent() == copying.course().throttlePercent()
                ? new Step(state, new SourceEffect.CopyRound(next))
                : new Step(
                        state,
                        new SourceEffect.Throttle(course.throttlePercent()),
                        new SourceEffect.CopyRound(next));
    }

    private static Step stopRounds(BeforeHandOver state) {
        return switch (state) {
            case Copying(int round, var course, Peer peer, Urgency urgency) ->
                    new Step(
                            new Copying(
                                    round,
                                    course,
                                    peer,
                                    urgency == Urgency.LAST ? urgency : Urgency.STOP_NEXT));
            case Waiting(int round, var course, Urgency _) ->
                    new Step(new Waiting(round, course, Urgency.STOP_NEXT));
            case Suspending _, Sending _, Finishing _, RollingBack _, Resuming _ -> new Step(state);
        };
    }

    private static Step frozen(BeforeHandOver state, SourceEvent event) {
        if (!(state instanceof Suspending(int rounds))) {
            throw unexpected(state, event);
        }
        return new Step(new Sending(rounds), new SourceEffect.StartDeadline(Stage.FINAL));
    }

    private static Step finalSent(BeforeHandOver state, FinalSent sent) {
        if (!(state instanceof Sending)) {
            throw unexpected(state, sent);
        }
        return new Step(
                new Finishing(),
                new SourceEffect.SendPerformed(sent.streams(), sent.cookie()),
                new SourceEffect.StartDeadline(Stage.FINISH));
    }

    private Step peerFinished(BeforeHandOver state, Cookies.Finished cookie) {
        if (!(state instanceof Finishing)) {
            throw illegal(state, "FINISHED before everything was sent");
        }
        for (Feature feature : plan.features()) {
            Optional<FeatureReport> report =
                    cookie.reports().stream()
                            .filter(each -> each.name().equals(feature.name()))
                            .findFirst();
            boolean up =
                    report.filter(each -> each.result() == FeatureReport.Result.UP).isPresent();
            if (feature.necessity() == Feature.Necessity.REQUIRED && !up) {
                return rollBack(
                        state,
                        "required feature "
                                + feature.name()
                                + " is not up there: "
                                + report.map(FeatureReport::detail).orElse("it was not reported"));
            }
        }
        Handover handover = new Handover(generation + 1, cookie.reports(), Optional.empty());
        return new Step(new HandedOver(handover), new SourceEffect.HandOver(handover));
    }

    private static Step overdue(BeforeHandOver state, Stage stage) {
        boolean waiting =
                switch (stage) {
                    case PREPARE ->
                            state instanceof Waiting
                                    || state instanceof Copying(int _, var _, Peer peer, Urgency _)
                                            && peer == Peer.PREPARING;
                    case ROUND -> state instanceof Copying || state instanceof Waiting;
                    case FINAL -> state instanceof Sending;
                    case FINISH -> state instanceof Finishing;
                    case ROLLBACK -> false;
                };
        return waiting
                ? rollBack(
                        state,
                        switch (stage) {
                            case PREPARE -> "the destination was not ready in time";
                            case ROUND -> "it took longer than --timeout allows";
                            case FINAL -> "the last pages did not leave in time";
                            case FINISH -> "the destination did not bring its features up in time";
                            case ROLLBACK -> throw new IllegalStateException("not waited for");
                        })
                : new Step(state);
    }

    private static Step rollBack(BeforeHandOver state, String reason) {
        return new Step(
                new RollingBack(reason, state.guest()),
                new SourceEffect.SendCancel(reason),
                new SourceEffect.StartDeadline(Stage.ROLLBACK));
    }

    /** HAND_OVER was not sent and never will be: the destination cannot run the guest. */
    private static Step resume(String reason, List<FeatureReport> reports) {
        return new Step(new Resuming(reason, reports), new SourceEffect.Resume());
    }

    private static Step rollingBack(RollingBack state, SourceEvent event) {
        return switch (event) {
            case PeerRolledBack(Cookies.RolledBack cookie) ->
                    resume(state.reason(), cookie.reports());
            case PeerLost(String reason) ->
                    resume(
                            state.reason() + "; then the destination was lost: " + reason,
                            List.of());
            case Overdue(Stage stage) when stage == Stage.ROLLBACK ->
                    resume(state.reason() + "; the destination did not confirm", List.of());
            case DomainEnded(String reason) -> ended(state, reason);
            case PeerTookOver _ -> throw illegal(state, "TAKEN_OVER before HAND_OVER");
            // What was on its way when the end was decided.
            case Overdue _,
                    PeerPrepared _,
                    RoundSent _,
                    RoundMeasured _,
                    Frozen _,
                    FreezeFailed _,
                    FinalSent _,
                    PeerFinished _,
                    PeerViolated _,
                    NotAnswered _,
                    Cancel _,
                    OperatorGoesOn _,
                    OperatorGivesUp _,
                    StopRounds _,
                    SessionFailed _,
                    Resumed _,
                    ResumeFailed _,
                    ResumeAgain _ ->
                    new Step(state);
        };
    }

    private static Step resuming(Resuming state, SourceEvent event) {
        return switch (event) {
            case Resumed _ -> finish(new SourceOutcome.RolledBack(state.reason(), state.reports()));
            case ResumeFailed _ -> new Step(state, new SourceEffect.ResumeLater());
            case ResumeAgain _ -> new Step(state, new SourceEffect.Resume());
            case DomainEnded(String reason) ->
                    finish(new SourceOutcome.DomainEnded(reason, state.reports()));
            case PeerTookOver _,
                    PeerPrepared _,
                    RoundSent _,
                    RoundMeasured _,
                    Frozen _,
                    FreezeFailed _,
                    FinalSent _,
                    PeerFinished _,
                    PeerRolledBack _,
                    PeerLost _,
                    PeerViolated _,
                    NotAnswered _,
                    Cancel _,
                    OperatorGoesOn _,
                    OperatorGivesUp _,
                    StopRounds _,
                    Overdue _,
                    SessionFailed _ ->
                    new Step(state);
        };
    }

    private static Step ended(BeforeHandOver state, String reason) {
        return new Step(
                new Finished(new SourceOutcome.DomainEnded(reason, List.of())),
                new SourceEffect.SendCancel("the domain ended on its source: " + reason),
                new SourceEffect.Finish(new SourceOutcome.DomainEnded(reason, List.of())));
    }

    /** The only function that decides after the hand-over. */
    private static Step after(AfterHandOver state, SourceEvent event) {
        if (state instanceof GivenBack givenBack) {
            return givenBack(givenBack, event);
        }
        Handover handover = state.handover();
        return switch (event) {
            case PeerTookOver(long generation, String reason) ->
                    finish(new SourceOutcome.Moved(generation, reason, handover.reports()));
            case PeerRolledBack(Cookies.RolledBack cookie) -> givenBack(handover, cookie.reason());
            case PeerLost(String reason) ->
                    state instanceof Asking
                            ? new Step(state)
                            : new Step(
                                    new Asking(handover, reason),
                                    new SourceEffect.AskPeer(handover));
            case PeerViolated(String reason) ->
                    state instanceof Asking
                            ? new Step(state)
                            : new Step(
                                    new Asking(handover, reason),
                                    new SourceEffect.AskPeer(handover));
            case NotAnswered(String reason) ->
                    state instanceof Asking
                            ? new Step(
                                    new Asking(handover, reason),
                                    new SourceEffect.AskPeer(handover))
                            : new Step(state);
            case OperatorGoesOn(String reason) ->
                    state instanceof Asking ? givenBack(handover, reason) : new Step(state);
            case OperatorGivesUp(String reason) ->
                    state instanceof Asking
                            ? finish(
                                    new SourceOutcome.Moved(
                                            handover.generation(), reason, handover.reports()))
                            : new Step(state);
            // This copy is not the domain any more, unless it is given back: then it is missing.
            case DomainEnded(String reason) -> new Step(endedHere(state, reason));
            case PeerPrepared _,
                    RoundSent _,
                    RoundMeasured _,
                    Frozen _,
                    FreezeFailed _,
                    FinalSent _,
                    PeerFinished _,
                    Cancel _,
                    StopRounds _,
                    Overdue _,
                    SessionFailed _,
                    Resumed _,
                    ResumeFailed _,
                    ResumeAgain _ ->
                    new Step(state);
        };
    }

    private static AfterHandOver endedHere(AfterHandOver state, String reason) {
        return switch (state) {
            case HandedOver(Handover handover) -> new HandedOver(handover.endedHere(reason));
            case Asking(Handover handover, String asking) ->
                    new Asking(handover.endedHere(reason), asking);
            case GivenBack(Handover handover, String back) ->
                    new GivenBack(handover.endedHere(reason), back);
        };
    }

    private static Step givenBack(Handover handover, String reason) {
        return handover.ended().isPresent()
                ? lost(handover, handover.ended().get(), reason)
                : new Step(new GivenBack(handover, reason), new SourceEffect.Resume());
    }

    /** It was given back, and there is nobody to give it to. */
    private static Step lost(Handover handover, String ended, String reason) {
        return finish(
                new SourceOutcome.DomainEnded(
                        ended + "; the destination had given the domain back: " + reason,
                        handover.reports()));
    }

    private static Step givenBack(GivenBack state, SourceEvent event) {
        return switch (event) {
            case Resumed _ ->
                    finish(
                            new SourceOutcome.RolledBack(
                                    "the destination gave the domain back: " + state.reason(),
                                    state.handover().reports()));
            case ResumeFailed _ -> new Step(state, new SourceEffect.ResumeLater());
            case ResumeAgain _ -> new Step(state, new SourceEffect.Resume());
            case DomainEnded(String reason) -> lost(state.handover(), reason, state.reason());
            case PeerTookOver _,
                    PeerPrepared _,
                    RoundSent _,
                    RoundMeasured _,
                    Frozen _,
                    FreezeFailed _,
                    FinalSent _,
                    PeerFinished _,
                    PeerRolledBack _,
                    PeerLost _,
                    PeerViolated _,
                    NotAnswered _,
                    Cancel _,
                    OperatorGoesOn _,
                    OperatorGivesUp _,
                    StopRounds _,
                    Overdue _,
                    SessionFailed _ ->
                    new Step(state);
        };
    }

    private static Step finish(SourceOutcome outcome) {
        return new Step(new Finished(outcome), new SourceEffect.Finish(outcome));
    }

    private static ProtocolException illegal(SourceState state, String found) {
        return new ProtocolException(
                "migration",
                ProtocolException.OFFSET_UNKNOWN,
                "message order",
                "what follows " + state.getClass().getSimpleName(),
                found);
    }

    private static IllegalStateException unexpected(SourceState state, SourceEvent event) {
        return new IllegalStateException(event + " cannot happen in " + state);
    }
}
