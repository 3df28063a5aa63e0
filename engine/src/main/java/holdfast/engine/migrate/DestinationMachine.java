package holdfast.engine.migrate;

import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.migrate.DestinationEvent.BaseArrived;
import holdfast.engine.migrate.DestinationEvent.DisksForced;
import holdfast.engine.migrate.DestinationEvent.Failed;
import holdfast.engine.migrate.DestinationEvent.FeatureDown;
import holdfast.engine.migrate.DestinationEvent.FeatureTried;
import holdfast.engine.migrate.DestinationEvent.MayHaveRun;
import holdfast.engine.migrate.DestinationEvent.NeverRan;
import holdfast.engine.migrate.DestinationEvent.Prepared;
import holdfast.engine.migrate.DestinationEvent.Runs;
import holdfast.engine.migrate.DestinationEvent.SectionsArrived;
import holdfast.engine.migrate.DestinationEvent.SourceCancelled;
import holdfast.engine.migrate.DestinationEvent.SourceHandedOver;
import holdfast.engine.migrate.DestinationEvent.SourceLost;
import holdfast.engine.migrate.DestinationEvent.SourcePerformed;
import holdfast.engine.migrate.DestinationEvent.SourceViolated;
import holdfast.engine.migrate.DestinationEvent.StreamsWhole;
import holdfast.engine.migrate.DestinationState.Announced;
import holdfast.engine.migrate.DestinationState.Arrived;
import holdfast.engine.migrate.DestinationState.BringingUp;
import holdfast.engine.migrate.DestinationState.Finished;
import holdfast.engine.migrate.DestinationState.Possession;
import holdfast.engine.migrate.DestinationState.Preparing;
import holdfast.engine.migrate.DestinationState.Ready;
import holdfast.engine.migrate.DestinationState.Receiving;
import holdfast.engine.migrate.DestinationState.TakingDown;
import holdfast.engine.migrate.DestinationState.TakingOver;
import holdfast.wire.ProtocolException;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A migration's destination as a pure function. It runs the guest only on its way through {@link
 * TakingOver}, which only HAND_OVER leads to; a domain that was handed over is given back only
 * where it certainly never ran.
 */
public final class DestinationMachine {
    private final FeaturePlan plan;
    private final long generation;
    private final Storage storage;

    /**
     * @param generation the source's
     * @param storage whether disks arrive, too
     */
    public DestinationMachine(FeaturePlan plan, long generation, Storage storage) {
        this.plan = plan;
        this.generation = generation;
        this.storage = storage;
    }

    /** For a domain whose disks are all shared. */
    public DestinationMachine(FeaturePlan plan, long generation) {
        this(plan, generation, Storage.SHARED);
    }

    /** The next state and what to do on the way. */
    public record Step(DestinationState state, List<DestinationEffect> effects) {
        Step(DestinationState state, DestinationEffect... effects) {
            this(state, List.of(effects));
        }
    }

    public static DestinationState begin() {
        return new Preparing(Arrived.NOTHING);
    }

    /**
     * @throws ProtocolException if the source said what is not legal in {@code state}; the caller
     *     goes on with {@link SourceViolated}
     */
    public Step step(DestinationState state, DestinationEvent event) {
        return switch (state) {
            case Finished finished -> new Step(finished);
            case TakingOver taking -> takingOver(taking, event);
            case TakingDown down -> takingDown(down, event);
            case Preparing _, Receiving _, BringingUp _, Ready _ -> forward(state, event);
        };
    }

    private Step forward(DestinationState state, DestinationEvent event) {
        return switch (event) {
            case Prepared(Cookies.Prepared cookie) -> prepared(state, cookie);
            case BaseArrived _ ->
                    state instanceof Receiving
                            ? new Step(state, new DestinationEffect.OfferBase())
                            : new Step(state);
            case SectionsArrived(MemorySegment part) -> sectionsArrived(state, part);
            case StreamsWhole(List<CheckpointDigest> streams) ->
                    arrived(state, new Arrived(Optional.of(streams), 0, Optional.empty()));
            case DisksForced(int boundaries) ->
                    arrived(state, new Arrived(Optional.empty(), boundaries, Optional.empty()));
            case SourcePerformed(List<CheckpointDigest> streams, Cookies.Performed cookie) ->
                    arrived(
                            state,
                            new Arrived(
                                    Optional.empty(),
                                    0,
                                    Optional.of(new Announced(streams, cookie.diskBoundaries()))));
            case FeatureTried(FeatureReport report) -> tried(state, report);
            case SourceHandedOver(long handed) -> handedOver(state, handed);
            case SourceCancelled(String reason) -> takeDown(state, "the source: " + reason);
            case SourceLost(String reason) -> takeDown(state, "the source is lost: " + reason);
            case SourceViolated(String reason) -> takeDown(state, reason);
            case Failed(String reason) -> takeDown(state, reason);
            case FeatureDown _, Runs _, NeverRan _, MayHaveRun _ -> throw unexpected(state, event);
        };
    }

    private Step prepared(DestinationState state, Cookies.Prepared cookie) {
        if (!(state instanceof Preparing(Arrived arrived))) {
            throw unexpected(state, new Prepared(cookie));
        }
        return complete(arrived, new DestinationEffect.SendPrepared(cookie));
    }

    /** The source suspends its guest for a destination that is prepared, and sends them once. */
    private static Step sectionsArrived(DestinationState state, MemorySegment part) {
        if (!(state instanceof Receiving)) {
            throw illegal(state, "device sections");
        }
        return new Step(state, new DestinationEffect.OfferSections(part));
    }

    private Step arrived(DestinationState state, Arrived more) {
        return switch (state) {
            case Preparing(Arrived before) -> new Step(new Preparing(merged(before, more)));
            case Receiving(Arrived before) -> complete(merged(before, more));
            case BringingUp _, Ready _, TakingOver _, TakingDown _, Finished _ ->
                    throw illegal(state, "the guest's state once more");
        };
    }

    private static Arrived merged(Arrived before, Arrived more) {
        return new Arrived(
                more.streams().or(before::streams),
                Math.max(before.diskBoundaries(), more.diskBoundaries()),
                more.announced().or(before::announced));
    }

    /** Brings the features up when all parts are here and agree. */
    private Step complete(Arrived arrived, DestinationEffect... first) {
        List<DestinationEffect> effects = new ArrayList<>(List.of(first));
        if (arrived.streams().isEmpty() || arrived.announced().isEmpty()) {
            return new Step(new Receiving(arrived), effects);
        }
        Announced announced = arrived.announced().get();
        if (!arrived.streams().get().equals(announced.streams())) {
            return takeDown(
                    new Receiving(arrived),
                    "the bytes that arrived are not those that were sent: "
                            + arrived.streams().get()
                            + " instead of "
                            + announced.streams());
        }
        if ((announced.diskBoundaries() > 0) != (storage == Storage.COPIED)
                || arrived.diskBoundaries() > announced.diskBoundaries()) {
            return takeDown(
                    new Receiving(arrived),
                    "the disks that arrived are not those that were sent: "
                            + arrived.diskBoundaries()
                            + " boundaries of "
                            + announced.diskBoundaries()
                            + ", where storage is "
                            + storage);
        }
        if (arrived.diskBoundaries() < announced.diskBoundaries()) {
            return new Step(new Receiving(arrived), effects);
        }
        effects.add(new DestinationEffect.BringUp(plan.features().getFirst()));
        return new Step(new BringingUp(plan.features(), List.of()), effects);
    }

    private static Step tried(DestinationState state, FeatureReport report) {
        if (!(state instanceof BringingUp(List<Feature> left, List<FeatureReport> before))) {
            throw unexpected(state, new FeatureTried(report));
        }
        List<FeatureReport> reports = new ArrayList<>(before);
        reports.add(report);
        List<Feature> rest = left.subList(1, left.size());
        if (report.isFatal()) {
            return takeDown(
                    new BringingUp(rest, reports),
                    "required feature " + report.name() + " failed: " + report.detail());
        }
        if (rest.isEmpty()) {
            return new Step(new Ready(reports), new DestinationEffect.SendFinished(reports));
        }
        return new Step(
                new BringingUp(rest, reports), new DestinationEffect.BringUp(rest.getFirst()));
    }

    private Step handedOver(DestinationState state, long handed) {
        if (!(state instanceof Ready(List<FeatureReport> reports))) {
            throw illegal(state, "HAND_OVER before FINISHED");
        }
        if (handed != generation + 1) {
            throw new ProtocolException(
                    "migration",
                    ProtocolException.OFFSET_UNKNOWN,
                    "HAND_OVER generation",
                    Long.toString(generation + 1),
                    Long.toString(handed));
        }
        return new Step(new TakingOver(handed, reports), new DestinationEffect.TakeOver(handed));
    }

    private static Step takingOver(TakingOver state, DestinationEvent event) {
        return switch (event) {
            case Runs(long runMicros, long runAtNanos) -> {
                DestinationOutcome outcome =
                        new DestinationOutcome.Arrived(state.generation(), "handed over");
                yield new Step(
                        new Finished(outcome),
                        new DestinationEffect.SendTakenOver(
                                state.generation(), runMicros, runAtNanos),
                        new DestinationEffect.Finish(outcome));
            }
            case NeverRan(String reason) ->
                    takeDown(state.reports(), reason, Possession.GIVEN_BACK);
            case MayHaveRun(String reason) -> {
                DestinationOutcome outcome = new DestinationOutcome.Unknown(reason);
                yield new Step(
                        new Finished(outcome),
                        new DestinationEffect.StopReceiving(),
                        new DestinationEffect.Finish(outcome));
            }
            // The domain is this side's: whatever becomes of the source, it runs.
            case SourceCancelled _,
                    SourceLost _,
                    SourceViolated _,
                    SourceHandedOver _,
                    SourcePerformed _,
                    StreamsWhole _,
                    DisksForced _,
                    BaseArrived _,
                    SectionsArrived _,
                    Prepared _,
                    FeatureTried _,
                    FeatureDown _,
                    Failed _ ->
                    new Step(state);
        };
    }

    private static Step takeDown(DestinationState state, String reason) {
        List<FeatureReport> reports =
                switch (state) {
                    case BringingUp(var _, List<FeatureReport> tried) -> tried;
                    case Ready(List<FeatureReport> all) -> all;
                    case Preparing _, Receiving _, TakingOver _, TakingDown _, Finished _ ->
                            List.of();
                };
        return takeDown(reports, reason, Possession.SOURCE);
    }

    /** In reverse order, and each is tried whatever becomes of the others. */
    private static Step takeDown(List<FeatureReport> tried, String reason, Possession possession) {
        List<FeatureReport> up = new ArrayList<>();
        List<FeatureReport> failed = new ArrayList<>();
        for (FeatureReport report : tried.reversed()) {
            (report.result() == FeatureReport.Result.UP ? up : failed).add(report);
        }
        return next(reason, up, failed, possession, List.of(new DestinationEffect.StopReceiving()));
    }

    private static Step next(
            String reason,
            List<FeatureReport> left,
            List<FeatureReport> reports,
            Possession possession,
            List<DestinationEffect> first) {
        List<DestinationEffect> effects = new ArrayList<>(first);
        effects.add(
                left.isEmpty()
                        ? new DestinationEffect.Discard(reason, reports, possession)
                        : new DestinationEffect.TakeDown(left.getFirst()));
        if (left.isEmpty()) {
            DestinationOutcome outcome = new DestinationOutcome.RolledBack(reason, reports);
            effects.add(new DestinationEffect.Finish(outcome));
            return new Step(new Finished(outcome), effects);
        }
        return new Step(new TakingDown(reason, left, reports, possession), effects);
    }

    private static Step takingDown(TakingDown state, DestinationEvent event) {
        return switch (event) {
            case FeatureDown(FeatureReport report) -> {
                List<FeatureReport> reports = new ArrayList<>(state.reports());
                reports.add(report);
                yield next(
                        state.reason(),
                        state.left().subList(1, state.left().size()),
                        reports,
                        state.possession(),
                        List.of());
            }
            // What was on its way when the end was decided. A HAND_OVER that crossed it means
            // nothing: ROLLED_BACK gives the domain back, and so does the answer to INQUIRE.
            case SourceCancelled _,
                    SourceLost _,
                    SourceViolated _,
                    SourceHandedOver _,
                    SourcePerformed _,
                    StreamsWhole _,
                    DisksForced _,
                    BaseArrived _,
                    SectionsArrived _,
                    Prepared _,
                    FeatureTried _,
                    Runs _,
                    NeverRan _,
                    MayHaveRun _,
                    Failed _ ->
                    new Step(state);
        };
    }

    private static ProtocolException illegal(DestinationState state, String found) {
        return new ProtocolException(
                "migration",
                ProtocolException.OFFSET_UNKNOWN,
                "message order",
                "what follows " + state.getClass().getSimpleName(),
                found);
    }

    private static IllegalStateException unexpected(
            DestinationState state, DestinationEvent event) {
        return new IllegalStateException(event + " cannot happen in " + state);
    }
}
