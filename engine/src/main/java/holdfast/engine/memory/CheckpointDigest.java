package holdfast.engine.memory;

/**
 * What the sender of a checkpoint wrote, so that the receiver commits nothing else.
 *
 * @param streamBytes bytes of the bulk stream since the previous checkpoint's end, live stage
 *     included for the first
 * @param crc32c CRC-32C of those bytes
 */
public record CheckpointDigest(long streamBytes, int crc32c) {
    public CheckpointDigest {
        if (streamBytes < 0) {
            throw new IllegalArgumentException("streamBytes " + streamBytes + " is negative");
        }
    }
}
