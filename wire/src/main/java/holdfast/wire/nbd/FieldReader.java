package holdfast.wire.nbd;

import holdfast.wire.Bytes;
import holdfast.wire.ProtocolException;
import holdfast.wire.TruncatedStreamException;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** Reads the fields of one message and names the place of the first that is wrong. */
final class FieldReader {
    private final String unit;
    private final ByteBuffer in;
    private final int start;
    private final int end;
    private final long offset;

    /**
     * @param bytes of {@code in} that belong to the unit
     * @param offset of the unit, bytes from the start of the connection
     */
    FieldReader(String unit, ByteBuffer in, int bytes, long offset) {
        this.unit = unit;
        this.in = in;
        this.start = in.position();
        this.end = start + bytes;
        this.offset = offset;
        if (bytes > in.remaining()) {
            throw new TruncatedStreamException(
                    HandshakeCodec.STREAM, offset, unit, bytes, in.remaining());
        }
    }

    int left() {
        return end - in.position();
    }

    int u16(String field) {
        return need(field, 2).getShort() & 0xFFFF;
    }

    long u32(String field) {
        return need(field, 4).getInt() & NbdMessage.U32_MAX;
    }

    /** A count or length that must not exceed {@code max}. */
    int count(String field, long value, int max) {
        if (value > max) {
            throw broken(field, "at most " + max, Long.toString(value));
        }
        return (int) value;
    }

    long u64(String field) {
        return need(field, 8).getLong();
    }

    void magic(String field, long expected) {
        long found = u64(field);
        if (found != expected) {
            throw broken(field, "0x%016x".formatted(expected), "0x%016x".formatted(found));
        }
    }

    String text(String field, long bytes) {
        if (bytes > NbdMessage.STRING_BYTES_MAX) {
            throw broken(
                    field + " length",
                    "at most " + NbdMessage.STRING_BYTES_MAX,
                    Long.toString(bytes));
        }
        need(field, (int) bytes);
        ByteBuffer octets = in.slice(in.position(), (int) bytes);
        try {
            // A new decoder refuses what is malformed instead of replacing it.
            String text = StandardCharsets.UTF_8.newDecoder().decode(octets).toString();
            in.position(in.position() + (int) bytes);
            return text;
        } catch (CharacterCodingException e) {
            throw broken(field, "UTF-8", "malformed bytes");
        }
    }

    Bytes rest() {
        byte[] octets = new byte[left()];
        in.get(octets);
        return Bytes.copyOf(octets);
    }

    void end() {
        if (left() > 0) {
            throw broken("end", "no bytes after the last field", left() + " more");
        }
    }

    ProtocolException broken(String field, String expected, String found) {
        return new ProtocolException(
                HandshakeCodec.STREAM,
                offset + in.position() - start,
                unit + " " + field,
                expected,
                found);
    }

    private ByteBuffer need(String field, int bytes) {
        if (left() < bytes) {
            throw broken(field, bytes + " bytes", left() + " left");
        }
        return in;
    }
}
