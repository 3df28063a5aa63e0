package holdfast.node.session;

import holdfast.engine.migrate.DestinationOutcome;
import holdfast.engine.migrate.DestinationState;
import holdfast.engine.migrate.SourceOutcome;
import holdfast.engine.migrate.SourceState;

import java.time.Instant;
import java.util.ArrayList;
import java.util.List;

/**
 * The phases that a migration has been in, as operators know them. One thread enters, any thread
 * reads; nobody is told: a guest may stand still, and whoever watches would take a core from it.
 */
public final class MigrationPhases {
    /** The oldest go first. One that nothing befalls has half a dozen. */
    static final int KEPT_MAX = 32;

    private final Instant begun = Instant.now();
    private final long begunNanos = System.nanoTime();
    private volatile List<Entered> entered = List.of();

    /** Whether the destination has said that it is ready. */
    public enum Peer {
        PREPARING,
        READY
    }

    /**
     * @param at never before that of an earlier one, whatever becomes of the host's clock
     */
    public record Entered(String phase, Instant at) {}

    /** Those entered by now, in their order; each another one than that before it. */
    public List<Entered> entered() {
        return entered;
    }

    void enter(String phase) {
        List<Entered> before = entered;
        if (!before.isEmpty() && before.getLast().phase().equals(phase)) {
            return;
        }
        List<Entered> after =
                new ArrayList<>(
                        before.subList(Math.max(0, before.size() + 1 - KEPT_MAX), before.size()));
        after.add(new Entered(phase, begun.plusNanos(System.nanoTime() - begunNanos)));
        entered = List.copyOf(after);
    }

    /** What operators call the state of a source. */
    public static String of(SourceState state, Peer peer) {
        return switch (state) {
            case SourceState.CopyingDisks _ -> "disks";
            case SourceState.Copying _, SourceState.Waiting _ ->
                    switch (peer) {
                        case PREPARING -> "prepare";
                        case READY -> "perform";
                    };
            case SourceState.Suspending _, SourceState.Sending _ -> "suspended";
            case SourceState.Finishing _ -> "finish";
            case SourceState.HandedOver _ -> "confirm";
            case SourceState.Asking _ -> "asking";
            case SourceState.RollingBack _, SourceState.Resuming _, SourceState.GivenBack _ ->
                    "rolling-back";
            case SourceState.Finished(SourceOutcome outcome) -> of(outcome);
        };
    }

    /** How it ended for a source. */
    public static String of(SourceOutcome outcome) {
        return switch (outcome) {
            case SourceOutcome.Moved _ -> "moved";
            case SourceOutcome.RolledBack _ -> "stayed";
            case SourceOutcome.DomainEnded _ -> "ended";
        };
    }

    /** What operators call the state of a destination. */
    public static String of(DestinationState state) {
        return switch (state) {
            case DestinationState.Preparing _ -> "prepare";
            case DestinationState.Receiving _ -> "perform";
            case DestinationState.BringingUp _, DestinationState.Ready _ -> "finish";
            case DestinationState.TakingOver _ -> "confirm";
            case DestinationState.TakingDown _ -> "rolling-back";
            case DestinationState.Finished(DestinationOutcome outcome) ->
                    switch (outcome) {
                        case DestinationOutcome.Arrived _ -> "moved";
                        case DestinationOutcome.RolledBack _ -> "stayed";
                        case DestinationOutcome.Unknown _ -> "unknown";
                    };
        };
    }
}
