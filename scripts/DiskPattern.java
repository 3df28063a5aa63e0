import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;

/**
 * Checks what the guest's disk writer (scripts/guest/disk-writer.hex, which describes the blocks)
 * left on an image, from the image alone. The writer makes one write at a time, so at every moment
 * the disk is a prefix of its writes: the largest sequence found says what every slot must hold.
 */
final class DiskPattern {
    private static final int BLOCK_BYTES = 4096;
    private static final int WORDS = BLOCK_BYTES / Long.BYTES;
    private static final long MAGIC = 0x314b534944464c48L;
    private static final long STEP = 0x61c88647L;
    private static final long GROWTH = 0x5851f42dL;

    private DiskPattern() {}

    public static void main(String[] arguments) throws IOException {
        int slots = Integer.parseInt(arguments[1]);
        if (Integer.bitCount(slots) != 1) {
            throw new IllegalArgumentException("slots " + slots + ": expected a power of two");
        }
        String verdict = verdict(Path.of(arguments[0]), slots);
        System.out.println(verdict);
        if (!verdict.startsWith("clean: ")) {
            System.exit(1);
        }
    }

    private static String verdict(Path image, int slots) throws IOException {
        try (FileChannel channel = FileChannel.open(image)) {
            if (channel.size() < (long) slots * BLOCK_BYTES) {
                return "not clean: %d bytes have no room for %d slots"
                        .formatted(channel.size(), slots);
            }
            long sequence = 0;
            for (int slot = 0; slot < slots; slot++) {
                sequence = Math.max(sequence, block(channel, slot).getLong(16));
            }
            // Slot by slot, so that the image is read in order: the last write that met it.
            long inverse = inverse(STEP);
            for (int slot = 0; slot < slots; slot++) {
                long since = Math.floorMod(sequence - slot * inverse, (long) slots);
                ByteBuffer expected = written(slot, sequence - since);
                ByteBuffer found = block(channel, slot);
                int at = found.mismatch(expected);
                if (at >= 0) {
                    return ("not clean: the largest sequence is %d; slot %d differs from byte %d"
                                    + " on: its own sequence is %d, expected %d")
                            .formatted(
                                    sequence,
                                    slot,
                                    at,
                                    found.getLong(16),
                                    Math.max(0, sequence - since));
                }
            }
            return "clean: sequence %d, %d slots".formatted(sequence, slots);
        }
    }

    /** Modulo 2^64, by Newton's iteration. */
    private static long inverse(long odd) {
        long x = odd;
        for (int i = 0; i < 6; i++) {
            x *= 2 - odd * x;
        }
        return x;
    }

    private static ByteBuffer block(FileChannel channel, int slot) throws IOException {
        ByteBuffer block = ByteBuffer.allocate(BLOCK_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        long start = (long) slot * BLOCK_BYTES;
        while (block.hasRemaining() && channel.read(block, start + block.position()) > 0) {
            continue;
        }
        if (block.hasRemaining()) {
            throw new IOException("the image became shorter while it was read");
        }
        return block.flip();
    }

    /** Zeros where the slot was not met yet. */
    private static ByteBuffer written(int slot, long sequence) {
        ByteBuffer block = ByteBuffer.allocate(BLOCK_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        if (sequence < 1) {
            return block;
        }
        block.putLong(MAGIC).putLong(slot).putLong(sequence);
        long word = sequence << 32 ^ slot;
        for (int i = 3; i < WORDS - 1; i++) {
            word = word * GROWTH + i;
            block.putLong(word);
        }
        long sum = 0;
        for (int i = 0; i < WORDS - 1; i++) {
            sum = Long.rotateLeft((sum ^ block.getLong(i * Long.BYTES)) * STEP, 13);
        }
        return block.putLong(sum).flip();
    }
}
