package holdfast.qemu.launch;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.util.Optional;

/**
 * How a qcow2 image begins; all numbers are big-endian.
 *
 * @param version 0 where the image ends within the header
 * @param refersElsewhere whether content comes from another file: a backing or a data file
 * @spec https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/qcow2.rst qcow2, header
 */
record Qcow2Header(int version, boolean refersElsewhere, long virtualBytes) {
    private static final int MAGIC = 0x514649fb;
    private static final int HEADER_BYTES = 104;
    private static final int EXTERNAL_DATA_FILE = 1 << 2;

    /** Empty where the image is not one of qcow2. */
    static Optional<Qcow2Header> read(FileChannel channel) throws IOException {
        ByteBuffer header = ByteBuffer.allocate(HEADER_BYTES).order(ByteOrder.BIG_ENDIAN);
        while (header.hasRemaining()) {
            if (channel.read(header, header.position()) < 0) {
                break;
            }
        }
        header.flip();
        if (header.remaining() < Integer.BYTES || header.getInt(0) != MAGIC) {
            return Optional.empty();
        }
        if (header.remaining() < HEADER_BYTES) {
            return Optional.of(new Qcow2Header(0, false, 0));
        }
        int version = header.getInt(4);
        boolean backing = header.getLong(8) != 0;
        boolean external = version >= 3 && (header.getLong(72) & EXTERNAL_DATA_FILE) != 0;
        return Optional.of(new Qcow2Header(version, backing || external, header.getLong(24)));
    }
}
