package holdfast.qemu.qmp;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ReadableByteChannel;
import java.util.Arrays;

/** Cuts a byte stream into the lines of the monitor protocol. One thread. */
final class QmpLines {
    private static final int READ_BYTES = 64 << 10;

    private final ReadableByteChannel channel;
    private final ByteBuffer read = ByteBuffer.allocateDirect(READ_BYTES);
    private byte[] pending = new byte[READ_BYTES];
    private int from;
    private int scanned;
    private int until;

    QmpLines(ReadableByteChannel channel) {
        this.channel = channel;
    }

    /**
     * Blocks for the next message; blank lines are passed over.
     *
     * @return null at an end of file between two lines
     * @throws EOFException at an end of file inside a line
     * @throws QmpCodec.MalformedLineException if the line is too long or no message
     */
    QmpMessage next() throws IOException {
        while (true) {
            int end = lineEnd();
            if (end < 0) {
                if (!fill()) {
                    if (until > from) {
                        throw new EOFException(
                                "end of file " + (until - from) + " bytes into a message");
                    }
                    return null;
                }
                continue;
            }
            int start = from;
            from = end + 1;
            scanned = from;
            int length = end - start;
            if (length > 0 && pending[end - 1] == '\r') {
                length--;
            }
            if (length > 0) {
                return QmpCodec.decode(pending, start, length);
            }
        }
    }

    private int lineEnd() {
        for (; scanned < until; scanned++) {
            if (pending[scanned] == '\n') {
                return scanned;
            }
        }
        return -1;
    }

    private boolean fill() throws IOException {
        if (until - from > QmpCodec.LINE_BYTES_MAX) {
            throw new QmpCodec.MalformedLineException(
                    "a line longer than " + QmpCodec.LINE_BYTES_MAX + " bytes");
        }
        read.clear();
        int count = channel.read(read);
        if (count < 0) {
            return false;
        }
        read.flip();
        makeRoom(count);
        read.get(pending, until, count);
        until += count;
        return true;
    }

    private void makeRoom(int count) {
        if (from > 0) {
            System.arraycopy(pending, from, pending, 0, until - from);
            scanned -= from;
            until -= from;
            from = 0;
        }
        if (pending.length - until < count) {
            pending = Arrays.copyOf(pending, Math.max(pending.length * 2, until + count));
        }
    }
}
