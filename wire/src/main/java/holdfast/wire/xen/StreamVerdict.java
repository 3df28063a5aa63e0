package holdfast.wire.xen;

import java.util.Optional;

/**
 * What {@link StreamVerifier} found.
 *
 * @param bytes bytes that were examined
 * @param records libxl and libxc records that were complete
 * @param pages pages whose bytes or deltas were in them
 * @param checkpoints complete checkpoints
 * @param deviation where the stream leaves the format, or empty when it does not
 */
public record StreamVerdict(
        long bytes,
        long records,
        long pages,
        long checkpoints,
        Optional<StreamDeviation> deviation) {
    /** Whether the stream keeps every rule. */
    public boolean accepted() {
        return deviation.isEmpty();
    }
}
