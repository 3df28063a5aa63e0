package holdfast.qemu.memory;

import holdfast.engine.port.DirtyTracker;

import java.util.List;

/**
 * An open tracker, and why better ones were passed over.
 *
 * @param tracker the receiver's to close
 * @param kind its kind
 * @param refusals one line for each better kind: its name, what is missing, what helps
 */
public record TrackerChoice(DirtyTracker tracker, TrackerKind kind, List<String> refusals) {
    public TrackerChoice {
        refusals = List.copyOf(refusals);
    }
}
