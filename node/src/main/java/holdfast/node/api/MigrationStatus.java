package holdfast.node.api;

import java.util.List;

/**
 * The newest migration of a domain on this node, running or over.
 *
 * @param id the same on both nodes
 * @param direction {@code outgoing} or {@code incoming}
 * @param peer the other node
 * @param peerAddress where it is
 * @param phase {@code prepare}, {@code disks} (they are copied), {@code perform} (the guest runs),
 *     {@code suspended}, {@code finish}, {@code confirm}, {@code rolling-back}, {@code asking}
 *     (handed over, and the destination does not answer), {@code moved}, {@code stayed}, {@code
 *     ended}, {@code unknown}
 * @param generation the domain's before the migration
 * @param round from 0
 * @param memoryBytes of the guest
 * @param sentBytes on the link by now
 * @param bytesPerSecond of the last whole round
 * @param dirtyPages pages the guest wrote during it
 * @param dirtyPagesPerSecond likewise
 * @param expectedDowntimeMillis how long what was written would travel at that rate
 * @param throttlePercent how much the guest is slowed down
 * @param elapsedMillis since the begin
 * @param downtimeMillis how long the guest stood still, once it moved; 0 before
 * @param finalPages pages sent while it stood still
 * @param stateBytes of the device state
 * @param stagesMicros parts of the guest's pause, in order
 * @param features what became of them on the destination
 * @param reason how it ended; empty before
 * @param disks that are copied to the destination, as the source knows it
 * @param expectedEndMillis until copied disks are in sync, or the guest's pages are there, as the
 *     source expects; in the first round at most; -1 where it is not known
 * @param phases that it has been in, in their order, the newest last
 */
public record MigrationStatus(
        String id,
        String direction,
        String peer,
        String peerAddress,
        String phase,
        long generation,
        int round,
        long memoryBytes,
        long sentBytes,
        long bytesPerSecond,
        long dirtyPages,
        long dirtyPagesPerSecond,
        double expectedDowntimeMillis,
        int throttlePercent,
        long elapsedMillis,
        double downtimeMillis,
        long finalPages,
        long stateBytes,
        Stages stagesMicros,
        List<Feature> features,
        String reason,
        List<Disk> disks,
        long expectedEndMillis,
        List<Phase> phases) {
    public MigrationStatus {
        features = features == null ? List.of() : List.copyOf(features);
        disks = disks == null ? List.of() : List.copyOf(disks);
        phases = phases == null ? List.of() : List.copyOf(phases);
    }

    /**
     * @param index of the domain's disk
     * @param path of the image on the destination
     * @param state {@code waiting}, {@code copying}, {@code in-sync} or {@code failed}
     * @param copiedBytes of {@code totalBytes}, by the first synchronisation
     * @param totalBytes what it copies; more than the disk where the guest wrote meanwhile
     * @param forwardedBytes sent by now, zeroes included
     */
    public record Disk(
            int index,
            String path,
            String state,
            long copiedBytes,
            long totalBytes,
            long forwardedBytes) {}

    /**
     * @param phase as {@link #phase} had it
     * @param time when it began, ISO 8601 in UTC
     */
    public record Phase(String phase, String time) {}

    /** Parts of the guest's pause, in microseconds; 0 where it did not come so far. */
    public record Stages(long suspend, long save, long send, long finish, long handOver) {}

    /**
     * @param necessity {@code required} or {@code best-effort}
     * @param result {@code up}, {@code failed}, {@code down} or {@code down-failed}
     */
    public record Feature(
            String name, String necessity, String result, String detail, long micros) {}

    /** Whether nothing more happens. */
    public boolean over() {
        return switch (phase) {
            case "moved", "stayed", "ended", "unknown" -> true;
            default -> false;
        };
    }
}
