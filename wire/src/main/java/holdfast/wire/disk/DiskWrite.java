package holdfast.wire.disk;

/** One of a guest's writes in a batch's body. */
public sealed interface DiskWrite {
    /** Index of the domain's disk. */
    int disk();

    /** Within the disk. */
    long offsetBytes();

    /** Above 0; offset and length together fit 63 bits. */
    long lengthBytes();

    /**
     * Bytes that follow in the body, padded with zeros to 8.
     *
     * @param bytes how many, without the padding
     */
    record Data(int disk, long offsetBytes, int bytes) implements DiskWrite {
        public Data {
            require(disk, offsetBytes, bytes);
        }

        @Override
        public long lengthBytes() {
            return bytes;
        }
    }

    /** Zeroes; nothing follows. */
    record Zeroes(int disk, long offsetBytes, long lengthBytes) implements DiskWrite {
        public Zeroes {
            require(disk, offsetBytes, lengthBytes);
        }
    }

    private static void require(int disk, long offsetBytes, long lengthBytes) {
        if (disk < 0
                || disk >= JournalHeader.DISKS_MAX
                || offsetBytes < 0
                || lengthBytes <= 0
                || offsetBytes > Long.MAX_VALUE - lengthBytes) {
            throw new IllegalArgumentException(
                    "disk " + disk + ", offset " + offsetBytes + ", length " + lengthBytes);
        }
    }
}
