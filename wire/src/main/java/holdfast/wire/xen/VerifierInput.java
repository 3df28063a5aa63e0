package holdfast.wire.xen;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** The bytes a verifier looks at, and where it is in them. */
final class VerifierInput {
    /** Unwinds to the verifier: the stream leaves the format here. */
    static final class DeviationFound extends Exception {
        private final transient StreamDeviation deviation;

        DeviationFound(StreamDeviation deviation) {
            super(deviation.toString(), null, false, false);
            this.deviation = deviation;
        }

        StreamDeviation deviation() {
            return deviation;
        }
    }

    private final BufferedInputStream in;
    private byte[] buffer = new byte[1 << 14];
    private long offset;
    private long partOffset;
    private String unit = "stream";

    VerifierInput(InputStream in) {
        this.in = new BufferedInputStream(in, 1 << 16);
    }

    /** Names the header or record that comes next. */
    void enter(String name) {
        unit = name;
    }

    long offset() {
        return offset;
    }

    boolean atEnd() throws IOException {
        in.mark(1);
        int next = in.read();
        in.reset();
        return next < 0;
    }

    /** Reads the next bytes; they stay valid until the next call. */
    ByteBuffer take(int bytes, ByteOrder order) throws IOException, DeviationFound {
        if (bytes > buffer.length) {
            buffer = new byte[bytes + bytes / 4];
        }
        partOffset = offset;
        int read = in.readNBytes(buffer, 0, bytes);
        offset += read;
        if (read < bytes) {
            throw found(StreamRule.TRUNCATED, read, bytes + " bytes", "the end after " + read);
        }
        return ByteBuffer.wrap(buffer, 0, bytes).order(order);
    }

    /** Passes over bytes without keeping them. */
    void pass(long bytes) throws IOException, DeviationFound {
        partOffset = offset;
        long left = bytes;
        while (left > 0) {
            int part = (int) Math.min(left, buffer.length);
            int read = in.readNBytes(buffer, 0, part);
            offset += read;
            left -= read;
            if (read < part) {
                throw found(
                        StreamRule.TRUNCATED,
                        bytes - left,
                        bytes + " bytes",
                        "the end after " + (bytes - left));
            }
        }
    }

    /** Reads the zeros that follow a body of this length. */
    void padding(long bodyBytes) throws IOException, DeviationFound {
        int bytes = (int) ((8 - bodyBytes % 8) % 8);
        ByteBuffer padding = take(bytes, ByteOrder.BIG_ENDIAN);
        for (int i = 0; i < bytes; i++) {
            if (padding.get(i) != 0) {
                throw found(StreamRule.PADDING, i, "zero", Integer.toString(padding.get(i) & 0xFF));
            }
        }
    }

    /**
     * Checks a rule.
     *
     * @param at where the field stands in the bytes taken last
     */
    void check(boolean kept, StreamRule rule, long at, String expected, Object found)
            throws DeviationFound {
        if (!kept) {
            throw found(rule, at, expected, String.valueOf(found));
        }
    }

    /** Checks a rule about the record that begins {@code offset} bytes into the stream. */
    void checkAt(long offset, boolean kept, StreamRule rule, String expected, Object found)
            throws DeviationFound {
        if (!kept) {
            throw new DeviationFound(
                    new StreamDeviation(rule, offset, unit, expected, String.valueOf(found)));
        }
    }

    DeviationFound found(StreamRule rule, long at, String expected, String found) {
        return new DeviationFound(
                new StreamDeviation(rule, partOffset + at, unit, expected, found));
    }

    static long u32(ByteBuffer bytes, int at) {
        return bytes.getInt(at) & 0xFFFF_FFFFL;
    }

    static String hex(long value) {
        return "0x" + Long.toHexString(value);
    }
}
