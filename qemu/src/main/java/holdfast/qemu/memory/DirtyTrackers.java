package holdfast.qemu.memory;

import holdfast.engine.HypervisorException;
import holdfast.engine.port.DirtyTracker;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Opens the best tracker that kernel, rights and process allow. */
public final class DirtyTrackers {
    /**
     * For QEMU to stop in, where a tracker needs that; it takes a thousandth of it unless its disk
     * hangs.
     */
    private static final Duration STOP_LIMIT = Duration.ofSeconds(2);

    private DirtyTrackers() {}

    /**
     * Tries the kinds, best first.
     *
     * @param pid a QEMU that maps {@code memory} shared; not a child of this JVM
     * @param activity asked at each collect by trackers that may take a shorter way while the guest
     *     is suspended
     * @param forced the only kind to try
     * @throws HypervisorException if the forced kind, or all, cannot be had: each with its reason
     */
    public static TrackerChoice open(
            long pid, MappedMemory memory, GuestActivity activity, Optional<TrackerKind> forced) {
        List<String> refusals = new ArrayList<>();
        HypervisorException last = null;
        for (TrackerKind kind : forced.map(List::of).orElse(List.of(TrackerKind.values()))) {
            try {
                return new TrackerChoice(open(kind, pid, memory, activity), kind, refusals);
            } catch (HypervisorException e) {
                refusals.add(kind.label() + ": " + e.getMessage());
                last = e;
            }
        }
        throw new HypervisorException("open dirty tracker", String.join("; ", refusals), last);
    }

    private static DirtyTracker open(
            TrackerKind kind, long pid, MappedMemory memory, GuestActivity activity) {
        return switch (kind) {
            case WRITE_PROTECT -> WriteProtectTracker.open(pid, memory, STOP_LIMIT);
            case SOFT_DIRTY -> SoftDirtyTracker.open(pid, memory, activity, STOP_LIMIT);
            case COMPARE -> ComparisonTracker.open(pid, memory, activity);
        };
    }
}
