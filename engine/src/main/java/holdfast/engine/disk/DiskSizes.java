package holdfast.engine.disk;

import holdfast.engine.DiskException;
import holdfast.wire.disk.JournalHeader;

import java.util.List;

/** The bounds of a domain's disks: nothing is ever written outside. */
public record DiskSizes(List<JournalHeader.Disk> disks) {
    public DiskSizes {
        disks = List.copyOf(disks);
    }

    /** Of all disks together. */
    public long sumBytes() {
        return disks.stream().mapToLong(JournalHeader.Disk::sizeBytes).sum();
    }

    /**
     * Refuses what does not lie in a disk.
     *
     * @throws DiskException naming the image
     */
    public void require(int disk, long offsetBytes, long lengthBytes) {
        if (disk < 0 || disk >= disks.size()) {
            throw new DiskException(
                    "a write to disk "
                            + disk
                            + " of a domain that has "
                            + disks.size()
                            + "; nothing was written; protect the domain again");
        }
        JournalHeader.Disk image = disks.get(disk);
        if (offsetBytes < 0 || lengthBytes < 0 || offsetBytes > image.sizeBytes() - lengthBytes) {
            throw new DiskException(
                    "image "
                            + image.path()
                            + ": a write of "
                            + lengthBytes
                            + " bytes at offset "
                            + offsetBytes
                            + " does not lie in the disk of "
                            + image.sizeBytes()
                            + " bytes; nothing was written; if the disk was resized, protect the"
                            + " domain again");
        }
    }
}
