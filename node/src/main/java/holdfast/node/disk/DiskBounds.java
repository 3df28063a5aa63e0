package holdfast.node.disk;

import holdfast.wire.disk.JournalCodec;
import holdfast.wire.disk.JournalRecord;

/**
 * How much of everything a replica's disks may hold.
 *
 * @param batchBytes memory of one batch
 * @param batchesMax batches in memory
 * @param segmentBytes after so many a new file of the journal begins
 * @param journalBytesMax where the guest's writes wait; what memory holds may come on top
 * @param backlogBytesMax committed and not applied, where applying the next epoch waits
 * @param unforcedBytesMax written by the first synchronisation before the images are forced
 */
record DiskBounds(
        int batchBytes,
        int batchesMax,
        long segmentBytes,
        long journalBytesMax,
        long backlogBytesMax,
        long unforcedBytesMax) {
    static final DiskBounds DEFAULT =
            new DiskBounds(256 << 10, 256, 64L << 20, 4L << 30, 256L << 20, 64L << 20);

    DiskBounds {
        if (batchBytes <= JournalCodec.RECORD_BYTES + JournalCodec.WRITE_BYTES
                || batchBytes - JournalCodec.RECORD_BYTES > JournalRecord.BODY_BYTES_MAX
                || batchBytes % 8 != 0) {
            throw new IllegalArgumentException("batches of " + batchBytes + " bytes");
        }
    }
}
