package holdfast.engine.memory;

import java.nio.ByteBuffer;
import java.util.zip.CRC32C;

/** Counts and sums the bytes that passed since the last {@link #take}. One thread at a time. */
final class Tally {
    private final CRC32C crc = new CRC32C();
    private long bytes;

    /** Adds the next {@code passed} bytes of {@code seen}, whose position moves. */
    void add(ByteBuffer seen, int passed) {
        crc.update(seen.limit(seen.position() + passed));
        bytes += passed;
    }

    CheckpointDigest take() {
        CheckpointDigest digest = new CheckpointDigest(bytes, (int) crc.getValue());
        crc.reset();
        bytes = 0;
        return digest;
    }
}
