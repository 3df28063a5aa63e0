package holdfast.engine.migrate;

import java.util.List;

/**
 * What travels with the phases, beside the bytes. Grows by new fields; none changes its meaning.
 */
public final class Cookies {
    /** The version of all cookies so far. */
    public static final int VERSION = 1;

    private Cookies() {}

    /**
     * Prepare: what the destination found.
     *
     * @param reports features that could be looked at before the guest is suspended
     */
    public record Prepared(int version, String node, String qemu, List<FeatureReport> reports) {
        public Prepared {
            reports = reports == null ? List.of() : List.copyOf(reports);
        }
    }

    /**
     * Perform: what was sent.
     *
     * @param rounds while the guest ran
     * @param finalPages pages sent while it was suspended
     * @param streamBytes on all connections
     * @param stateBytes of the device state
     * @param diskBoundaries on DISK, the last of them for the guest that stands still for good; 0
     *     where no disk is copied
     */
    public record Performed(
            int version,
            int rounds,
            long finalPages,
            long streamBytes,
            long stateBytes,
            Integer diskBoundaries) {
        public Performed {
            diskBoundaries = diskBoundaries == null ? 0 : diskBoundaries;
        }
    }

    /**
     * Finish: what is up.
     *
     * @param reports each feature of the plan
     */
    public record Finished(int version, List<FeatureReport> reports) {
        public Finished {
            reports = reports == null ? List.of() : List.copyOf(reports);
        }
    }

    /**
     * Confirm: the guest runs.
     *
     * @param generation the domain's, from now on
     * @param runMicros from the arrival of HAND_OVER until it ran
     * @param sinceRunMicros from then until this was sent
     */
    public record TakenOver(int version, long generation, long runMicros, long sinceRunMicros) {}

    /**
     * Roll back: what was taken down.
     *
     * @param reports features that were brought up or failed
     */
    public record RolledBack(int version, String reason, List<FeatureReport> reports) {
        public RolledBack {
            reports = reports == null ? List.of() : List.copyOf(reports);
        }
    }
}
