package holdfast.engine.memory;

/**
 * How a checkpoint, or with epoch -1 a round of the live stage, travelled.
 *
 * @param rawPages pages sent whole
 * @param zeroPages pages sent as zero
 * @param deltaPages pages sent as difference
 * @param samePages pages whose content the secondary has already, not sent
 * @param streamBytes bytes on the bulk stream
 * @param nanos time to encode and write them
 */
public record Encoded(
        long epoch,
        long rawPages,
        long zeroPages,
        long deltaPages,
        long samePages,
        long streamBytes,
        long nanos) {}
