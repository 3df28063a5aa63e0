package holdfast.node.api;

import java.util.List;

/**
 * How the disks of a protected domain are replicated.
 *
 * @param disks those that the guest may write; on a secondary without their progress
 * @param forwarding what the primary sends; null on a secondary
 * @param replica what the secondary keeps; null on a primary
 */
public record DiskReplication(List<Disk> disks, Forwarding forwarding, Replica replica) {
    public DiskReplication {
        disks = List.copyOf(disks);
    }

    /**
     * @param index of the domain's disk
     * @param state {@code waiting}, {@code copying}, {@code in-sync} or {@code failed} on a
     *     primary, {@code replica} on a secondary
     * @param copiedBytes of {@code totalBytes}, by the first synchronisation
     * @param totalBytes what it copies; more than the disk where the guest wrote meanwhile
     * @param forwardedBytes sent by now, zeroes included
     */
    public record Disk(
            int index, String state, long copiedBytes, long totalBytes, long forwardedBytes) {}

    /**
     * @param queuedBytes taken from the guest and not yet on their way
     * @param waits writes of the guest that found the queue full
     * @param waitMillis how long they waited, together
     */
    public record Forwarding(long queuedBytes, long waits, long waitMillis) {}

    /**
     * @param committedEpoch the last one whose writes are durable, -1 before the first
     * @param appliedEpoch the last one that is in the images, -1 before the first
     * @param bufferedBytes of epochs in memory
     * @param journalBytes in the journal's files
     * @param spilledBytes written to the journal before their epoch's commit, for want of memory
     * @param commitMicros to make an epoch durable, on average
     * @param waitMillis how long the guest's writes waited for room here, together
     */
    public record Replica(
            long committedEpoch,
            long appliedEpoch,
            long bufferedBytes,
            long journalBytes,
            long spilledBytes,
            long commitMicros,
            long waitMillis) {}
}
