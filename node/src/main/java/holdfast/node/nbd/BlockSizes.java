package holdfast.node.nbd;

import holdfast.wire.nbd.NbdMessage;

/**
 * Sizes of requests that an export takes; clients are told.
 *
 * @param minimumBytes offsets and lengths are multiples of it: the server refuses others
 * @param preferredBytes multiples of it are quickest
 * @param maximumBytes of one read or write: the server refuses longer ones
 */
public record BlockSizes(int minimumBytes, int preferredBytes, int maximumBytes) {
    /** Any offset and length; 4 KiB are best; 32 MiB at most. */
    public static final BlockSizes ANY = new BlockSizes(1, 4096, NbdMessage.PAYLOAD_BYTES_MAX);

    public BlockSizes {
        if (Integer.bitCount(minimumBytes) != 1 || minimumBytes < 1 || minimumBytes > 65536) {
            throw new IllegalArgumentException(
                    "minimum block size " + minimumBytes + ": a power of two to 65536 is needed");
        }
        if (Integer.bitCount(preferredBytes) != 1
                || preferredBytes < Math.max(512, minimumBytes)
                || preferredBytes > NbdMessage.PAYLOAD_BYTES_MAX) {
            throw new IllegalArgumentException(
                    "preferred block size "
                            + preferredBytes
                            + ": a power of two from 512 and the minimum to "
                            + NbdMessage.PAYLOAD_BYTES_MAX
                            + " is needed");
        }
        if (maximumBytes % minimumBytes != 0
                || maximumBytes < preferredBytes
                || maximumBytes > NbdMessage.PAYLOAD_BYTES_MAX) {
            throw new IllegalArgumentException(
                    "maximum block size "
                            + maximumBytes
                            + ": a multiple of the minimum from the preferred size to "
                            + NbdMessage.PAYLOAD_BYTES_MAX
                            + " is needed");
        }
    }
}
