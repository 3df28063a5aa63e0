package holdfast.wire.disk;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.OptionalLong;
import java.util.UUID;

/**
 * The begin of a journal segment: whose disks it is about.
 *
 * @param segment number of this file, from 1, one more than the file before
 * @param committedEpoch the last epoch committed when the segment was begun; none while the images
 *     are still being filled for the first time
 * @param disks in the order of the domain's disks
 */
public record JournalHeader(
        long segment, UUID session, String domain, OptionalLong committedEpoch, List<Disk> disks) {
    /** Most disks of one domain. */
    public static final int DISKS_MAX = 64;

    /** Most bytes of a name or path in UTF-8. */
    public static final int TEXT_BYTES_MAX = 4096;

    /** Most bytes of a disk: 8 EiB less one byte, what a file offset can say. */
    public static final long DISK_BYTES_MAX = Long.MAX_VALUE;

    /**
     * One disk's image.
     *
     * @param sizeBytes of the guest's disk; the image may be larger
     */
    public record Disk(String path, long sizeBytes) {
        public Disk {
            requireText("path", path);
            if (sizeBytes <= 0) {
                throw new IllegalArgumentException("disk of " + sizeBytes + " bytes");
            }
        }
    }

    public JournalHeader {
        disks = List.copyOf(disks);
        requireText("domain", domain);
        if (segment <= 0) {
            throw new IllegalArgumentException("segment " + segment);
        }
        if (committedEpoch.isPresent() && committedEpoch.getAsLong() < 0) {
            throw new IllegalArgumentException("epoch " + committedEpoch.getAsLong());
        }
        if (disks.isEmpty() || disks.size() > DISKS_MAX) {
            throw new IllegalArgumentException(disks.size() + " disks");
        }
    }

    static void requireText(String field, String text) {
        int bytes = text.getBytes(StandardCharsets.UTF_8).length;
        if (bytes == 0 || bytes > TEXT_BYTES_MAX) {
            throw new IllegalArgumentException(field + " of " + bytes + " bytes");
        }
    }
}
