package holdfast.engine.xlmigrate;

import holdfast.engine.xlmigrate.ReceiverEffect.AwaitPermission;
import holdfast.engine.xlmigrate.ReceiverEffect.DiscardImage;
import holdfast.engine.xlmigrate.ReceiverEffect.PublishImage;
import holdfast.engine.xlmigrate.ReceiverEffect.ReceiveStream;
import holdfast.engine.xlmigrate.ReceiverEffect.SecureImage;
import holdfast.engine.xlmigrate.ReceiverEffect.Send;
import holdfast.engine.xlmigrate.ReceiverEvent.CheckpointComplete;
import holdfast.engine.xlmigrate.ReceiverEvent.ImageFailed;
import holdfast.engine.xlmigrate.ReceiverEvent.ImagePublished;
import holdfast.engine.xlmigrate.ReceiverEvent.ImageSecured;
import holdfast.engine.xlmigrate.ReceiverEvent.PermissionReceived;
import holdfast.engine.xlmigrate.ReceiverEvent.SenderGone;
import holdfast.engine.xlmigrate.ReceiverEvent.SenderSilent;
import holdfast.engine.xlmigrate.ReceiverEvent.SenderUnreachable;
import holdfast.engine.xlmigrate.ReceiverEvent.SenderViolated;
import holdfast.engine.xlmigrate.ReceiverEvent.Stopped;
import holdfast.engine.xlmigrate.ReceiverEvent.StreamComplete;
import holdfast.engine.xlmigrate.ReceiverOutcome.CheckpointKept;
import holdfast.engine.xlmigrate.ReceiverOutcome.DomainKept;
import holdfast.engine.xlmigrate.ReceiverOutcome.FailOver;
import holdfast.engine.xlmigrate.ReceiverOutcome.Interrupted;
import holdfast.engine.xlmigrate.ReceiverOutcome.LeftAside;
import holdfast.engine.xlmigrate.ReceiverOutcome.NothingKept;
import holdfast.engine.xlmigrate.ReceiverOutcome.SenderUntold;
import holdfast.engine.xlmigrate.ReceiverState.AwaitingPermission;
import holdfast.engine.xlmigrate.ReceiverState.Ended;
import holdfast.engine.xlmigrate.ReceiverState.Publishing;
import holdfast.engine.xlmigrate.ReceiverState.ReceivingCheckpoints;
import holdfast.engine.xlmigrate.ReceiverState.ReceivingDomain;
import holdfast.engine.xlmigrate.ReceiverState.SecuringCheckpoint;
import holdfast.engine.xlmigrate.ReceiverState.SecuringDomain;
import holdfast.wire.xen.XlToSender.Banner;
import holdfast.wire.xen.XlToSender.DomainIsYoursAgain;
import holdfast.wire.xen.XlToSender.DomainReceived;
import holdfast.wire.xen.XlToSender.UnpauseResult;

import java.util.List;

/**
 * The receiver's half of xl's migration as a pure function. The commit point is the sender's
 * permission: from then on the sender lets its copy run only on our word, so that the word is the
 * first thing it gets, and the image is kept whatever becomes of the answer: it may be all there
 * is. Before it the domain is the sender's alone, and what arrived is discarded.
 */
public final class ReceiverMachine {
    /** The status that is reported for a domain that is kept and not started. */
    public static final int NOT_STARTED = 1;

    /** The next state and what to do on the way. */
    public record Step(ReceiverState state, List<ReceiverEffect> effects) {
        Step(ReceiverState state, ReceiverEffect... effects) {
            this(state, List.of(effects));
        }
    }

    private ReceiverMachine() {}

    /** The first step: the sender waits for the banner. */
    public static Step start(ReceiverMode mode) {
        ReceiverState first =
                switch (mode) {
                    case MIGRATE -> new ReceivingDomain();
                    case REMUS -> new ReceivingCheckpoints(0, 0);
                };
        return new Step(first, new Send(new Banner()), new ReceiveStream());
    }

    public static Step step(ReceiverState state, ReceiverEvent event) {
        return switch (state) {
            case ReceivingDomain _ -> receivingDomain(state, event);
            case ReceivingCheckpoints receiving -> receivingCheckpoints(receiving, event);
            case SecuringDomain securing -> securingDomain(securing, event);
            case AwaitingPermission awaiting -> awaitingPermission(awaiting, event);
            case SecuringCheckpoint securing -> securingCheckpoint(securing, event);
            case Publishing publishing -> publishing(publishing, event);
            // What the discarded image still had to say.
            case Ended _ -> new Step(state);
        };
    }

    private static Step receivingDomain(ReceiverState state, ReceiverEvent event) {
        return switch (event) {
            case StreamComplete(long bytes) ->
                    new Step(new SecuringDomain(bytes), new SecureImage(bytes));
            case CheckpointComplete(long _, long endOffset) ->
                    nothing(
                            "checkpoint at offset "
                                    + endOffset
                                    + " of a plain migration: the sender is `xl remus`, for which"
                                    + " this command needs --remus");
            case SenderGone(String reason) -> nothing(reason);
            case SenderViolated(String reason) -> nothing(reason);
            case SenderSilent(String reason) -> nothing(reason);
            case SenderUnreachable(String reason) -> nothing(reason);
            case Stopped(String reason) -> nothing(reason);
            case ImageFailed(String reason) -> nothing(reason);
            case PermissionReceived _, ImageSecured _, ImagePublished _ ->
                    throw unexpected(state, event);
        };
    }

    private static Step receivingCheckpoints(ReceivingCheckpoints state, ReceiverEvent event) {
        return switch (event) {
            case CheckpointComplete(long checkpoint, long endOffset) ->
                    new Step(new ReceivingCheckpoints(checkpoint, endOffset));
            // Xen's Remus never ends its stream: a sender that does waits for an answer that this
            // mode does not have, and has to see the connection end.
            case StreamComplete(long bytes) ->
                    interrupted(
                            state,
                            "END at offset "
                                    + bytes
                                    + " of a stream of checkpoints: the sender is `xl migrate`, for"
                                    + " which this command must not have --remus");
            case SenderGone(String reason) when state.checkpoints() > 0 ->
                    secure(new FailOver(state.checkpoints(), state.endOffset(), reason));
            case SenderGone(String reason) -> interrupted(state, reason);
            case SenderViolated(String reason) -> interrupted(state, reason);
            case SenderSilent(String reason) -> interrupted(state, reason);
            case SenderUnreachable(String reason) -> interrupted(state, reason);
            case Stopped(String reason) -> interrupted(state, reason);
            case ImageFailed(String reason) -> interrupted(state, reason);
            case PermissionReceived _, ImageSecured _, ImagePublished _ ->
                    throw unexpected(state, event);
        };
    }

    private static Step securingDomain(SecuringDomain state, ReceiverEvent event) {
        return switch (event) {
            case ImageSecured _ ->
                    new Step(
                            new AwaitingPermission(state.bytes()),
                            new Send(new DomainReceived()),
                            new AwaitPermission());
            case ImageFailed(String reason) -> nothing(reason);
            case CheckpointComplete _,
                    StreamComplete _,
                    SenderGone _,
                    SenderViolated _,
                    SenderSilent _,
                    SenderUnreachable _,
                    Stopped _,
                    PermissionReceived _,
                    ImagePublished _ ->
                    throw unexpected(state, event);
        };
    }

    private static Step awaitingPermission(AwaitingPermission state, ReceiverEvent event) {
        return switch (event) {
            case PermissionReceived _ ->
                    new Step(
                            new Publishing(new DomainKept(state.bytes())),
                            new Send(new UnpauseResult(NOT_STARTED)),
                            new Send(new DomainIsYoursAgain()),
                            new PublishImage());
            case SenderGone(String reason) -> giveBack(reason);
            case SenderViolated(String reason) -> giveBack(reason);
            case SenderSilent(String reason) -> giveBack(reason);
            case Stopped(String reason) -> giveBack(reason);
            case SenderUnreachable(String reason) -> nothing(reason);
            case CheckpointComplete _,
                    StreamComplete _,
                    ImageSecured _,
                    ImagePublished _,
                    ImageFailed _ ->
                    throw unexpected(state, event);
        };
    }

    private static Step securingCheckpoint(SecuringCheckpoint state, ReceiverEvent event) {
        return switch (event) {
            case ImageSecured _ -> new Step(new Publishing(state.then()), new PublishImage());
            case ImageFailed(String reason) -> leftAside(reason);
            case CheckpointComplete _,
                    StreamComplete _,
                    SenderGone _,
                    SenderViolated _,
                    SenderSilent _,
                    SenderUnreachable _,
                    Stopped _,
                    PermissionReceived _,
                    ImagePublished _ ->
                    throw unexpected(state, event);
        };
    }

    private static Step publishing(Publishing state, ReceiverEvent event) {
        return switch (event) {
            case ImagePublished _ -> new Step(new Ended(state.then()));
            case ImageFailed(String reason) -> leftAside(reason);
            case SenderUnreachable(String reason) ->
                    switch (state.then()) {
                        case DomainKept(long bytes) ->
                                new Step(new Publishing(new SenderUntold(bytes, reason)));
                        // The second of the two messages failed like the first.
                        case SenderUntold _ -> new Step(state);
                        case CheckpointKept _, LeftAside _, NothingKept _ ->
                                throw unexpected(state, event);
                    };
            case CheckpointComplete _,
                    StreamComplete _,
                    SenderGone _,
                    SenderViolated _,
                    SenderSilent _,
                    Stopped _,
                    PermissionReceived _,
                    ImageSecured _ ->
                    throw unexpected(state, event);
        };
    }

    /**
     * The domain was promised and not taken. The sender may be past its point of no return all the
     * same: without these words it would have to assume that its domain runs here.
     */
    private static Step giveBack(String reason) {
        return new Step(
                new Ended(new NothingKept(reason)),
                new Send(new UnpauseResult(NOT_STARTED)),
                new Send(new DomainIsYoursAgain()),
                new DiscardImage());
    }

    /** The last complete checkpoint is kept where there is one. */
    private static Step interrupted(ReceivingCheckpoints state, String reason) {
        return state.checkpoints() == 0
                ? nothing(reason + "; no checkpoint was complete before it")
                : secure(new Interrupted(state.checkpoints(), state.endOffset(), reason));
    }

    private static Step secure(CheckpointKept then) {
        return new Step(new SecuringCheckpoint(then), new SecureImage(then.bytes()));
    }

    private static Step leftAside(String reason) {
        return new Step(new Ended(new LeftAside(reason)));
    }

    private static Step nothing(String reason) {
        return new Step(new Ended(new NothingKept(reason)), new DiscardImage());
    }

    private static IllegalStateException unexpected(ReceiverState state, ReceiverEvent event) {
        return new IllegalStateException(event + " in " + state);
    }
}
