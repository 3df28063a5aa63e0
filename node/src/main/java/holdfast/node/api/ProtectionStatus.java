package holdfast.node.api;

import java.util.List;

/**
 * How a domain is protected. Percentiles are over the session's last checkpoints, at most {@value
 * #SAMPLES_MAX}; before the first they are 0. A secondary fills what it sees: state, peer,
 * interval, generation, commits, times, sizes of pages and stream.
 *
 * @param state the session's state in lower case with hyphens, such as {@code copying}, {@code
 *     granted}, {@code sending} on a primary, {@code preparing}, {@code awaiting}, {@code
 *     receiving} on a secondary, {@code deciding} and {@code finished} on both
 * @param peer the other node's name
 * @param peerAddress where it is reached, {@code host:port}
 * @param intervalMillis the guest runs this long between two checkpoints
 * @param holdOutput whether output waits for its commit
 * @param plain whether the bulk stream is a byte-exact Xen stream
 * @param arbiter {@code operator} or {@code none}
 * @param generation who owns the domain; the next owner has a larger one
 * @param protectedSince when the first checkpoint was committed, ISO 8601 in UTC; null before
 * @param epochsCommitted checkpoints committed in this session
 * @param lastCommitAgeMillis time since the last commit, -1 before the first
 * @param tracker how dirty pages are found; null on a secondary
 * @param pauseMicros how long checkpoints stopped the guest, in microseconds
 * @param pauseStagesMicros where that time went, median of each stage in microseconds
 * @param dirtyPages pages per checkpoint
 * @param streamBytes bytes on the bulk stream since the session began, live stage included
 * @param linkBytes what travelled for it, compressed or not; {@code streamBytes} and the headers of
 *     frames where nothing was
 * @param checkpointsPerSecond over the last ten seconds
 * @param heldFrames frames of output that wait for their commit now
 * @param heldBytes their bytes
 * @param heldBytesPeak most bytes ever held at once in this session
 * @param heldBytesMax the bound on held bytes
 * @param framesDropped frames dropped for want of room
 * @param backPressureMillis for how long the last checkpoint was due but not granted, because the
 *     secondary was still busy
 * @param checkpointFailures checkpoints that failed on the primary and were tried again
 * @param replication of its disks; null where the guest writes to none
 */
public record ProtectionStatus(
        String state,
        String peer,
        String peerAddress,
        int intervalMillis,
        boolean holdOutput,
        boolean plain,
        RemusRequest.ArbiterKind arbiter,
        long generation,
        String protectedSince,
        long epochsCommitted,
        long lastCommitAgeMillis,
        Tracker tracker,
        PauseMicros pauseMicros,
        PauseStages pauseStagesMicros,
        DirtyPages dirtyPages,
        long streamBytes,
        long linkBytes,
        double checkpointsPerSecond,
        long heldFrames,
        long heldBytes,
        long heldBytesPeak,
        long heldBytesMax,
        long framesDropped,
        long backPressureMillis,
        long checkpointFailures,
        DiskReplication replication) {
    /** Checkpoints that percentiles look back over. */
    public static final int SAMPLES_MAX = 4096;

    /**
     * @param kind {@code write-protect}, {@code soft-dirty} or {@code compare}
     * @param refused why each better one was not taken, best first, such as {@code write-protect:
     *     needs Linux 6.7, found 6.1}
     */
    public record Tracker(String kind, List<String> refused) {
        public Tracker {
            refused = List.copyOf(refused);
        }
    }

    /**
     * Microseconds from suspend to resume: half of the checkpoints at most {@code p50}, 99 of 100
     * at most {@code p99}.
     */
    public record PauseMicros(long p50, long p99, long max) {}

    /**
     * Medians, in microseconds.
     *
     * @param suspend until the virtual CPUs stood
     * @param state to save the device state
     * @param output to close the epoch of output
     * @param track to collect the dirty pages
     * @param copy to copy them aside and to close the epoch of disk writes
     * @param resume until the virtual CPUs ran again
     */
    public record PauseStages(
            long suspend, long state, long output, long track, long copy, long resume) {}

    /** Pages of 4096 bytes per checkpoint. */
    public record DirtyPages(long p50, long p99) {}
}
