package holdfast.engine.migrate;

import java.lang.foreign.MemorySegment;
import java.util.List;

/** What a migration's destination wants done. Performed in order, by the session's thread. */
public sealed interface DestinationEffect {
    /** Tell the source what was found. */
    record SendPrepared(Cookies.Prepared cookie) implements DestinationEffect {}

    /** Give the hypervisor what it can load already. */
    record OfferBase() implements DestinationEffect {}

    /** Give the hypervisor the next of the device sections, to be loaded but for the last byte. */
    record OfferSections(MemorySegment part) implements DestinationEffect {}

    /** Bring a feature up; answer with FeatureTried. */
    record BringUp(Feature feature) implements DestinationEffect {}

    /** Take one down; answer with FeatureDown. */
    record TakeDown(FeatureReport up) implements DestinationEffect {}

    /** Tell the source that it may hand over. */
    record SendFinished(List<FeatureReport> reports) implements DestinationEffect {
        public SendFinished {
            reports = List.copyOf(reports);
        }
    }

    /** Note it, then let the guest run; answer with Runs, NeverRan, MayHaveRun. */
    record TakeOver(long generation) implements DestinationEffect {}

    /** Tell the source that the guest runs here. */
    record SendTakenOver(long generation, long runMicros, long runAtNanos)
            implements DestinationEffect {}

    /** Let nothing more in; what arrived is worth nothing. */
    record StopReceiving() implements DestinationEffect {}

    /** End the copy, write down that it never ran, tell the source. */
    record Discard(
            String reason, List<FeatureReport> reports, DestinationState.Possession possession)
            implements DestinationEffect {
        public Discard {
            reports = List.copyOf(reports);
        }
    }

    /** End the session. */
    record Finish(DestinationOutcome outcome) implements DestinationEffect {}
}
