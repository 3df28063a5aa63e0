package holdfast.node.disk;

import java.util.OptionalLong;

/**
 * What a replica's disks have done so far.
 *
 * @param synchronisedBytes written straight into the images before the first epoch
 * @param committedEpoch the last one that is durable
 * @param appliedEpoch the last one that is in the images
 * @param epochsApplied those that wrote something
 * @param appliedBytes without zeroes
 * @param applyNanos spent on that
 * @param commitNanos spent on making epochs durable
 * @param backPressureNanos how long the guest's writes waited for room
 * @param spilledBytes written to the journal before their epoch's commit, for want of memory
 * @param bufferedBytes memory in use
 * @param journalBytes in the journal's files
 */
public record DiskFigures(
        long synchronisedBytes,
        OptionalLong committedEpoch,
        OptionalLong appliedEpoch,
        long epochsApplied,
        long appliedBytes,
        long applyNanos,
        long commitNanos,
        long backPressureNanos,
        long spilledBytes,
        long bufferedBytes,
        long journalBytes) {}
