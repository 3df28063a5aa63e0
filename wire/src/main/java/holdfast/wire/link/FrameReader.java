package holdfast.wire.link;

import holdfast.wire.Bytes;
import holdfast.wire.ProtocolException;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.UUID;

/** Reads the fields of one body and names the place of the first that is wrong. */
final class FrameReader {
    private final String type;
    private final ByteBuffer body;
    private final int start;
    private final long offset;

    FrameReader(String type, ByteBuffer body, long offset) {
        this.type = type;
        this.body = body;
        this.start = body.position();
        this.offset = offset;
    }

    int u8(String field) {
        return need(field, 1).get() & 0xFF;
    }

    int u16(String field) {
        return need(field, 2).getShort() & 0xFFFF;
    }

    /**
     * The bits as they are; numbers above {@code Integer.MAX_VALUE} come out negative, which no
     * message allows.
     */
    int u32(String field) {
        return need(field, 4).getInt();
    }

    /** As {@link #u32}. */
    long u64(String field) {
        return need(field, 8).getLong();
    }

    UUID uuid(String field) {
        need(field, 16);
        return new UUID(body.getLong(), body.getLong());
    }

    String text(String field) {
        int bytes = u16(field + " length");
        need(field, bytes);
        ByteBuffer octets = body.slice(body.position(), bytes);
        try {
            // A new decoder refuses what is malformed instead of replacing it.
            String text = StandardCharsets.UTF_8.newDecoder().decode(octets).toString();
            body.position(body.position() + bytes);
            return text;
        } catch (CharacterCodingException e) {
            throw broken(field, "UTF-8", "malformed bytes");
        }
    }

    <E extends Enum<E>> E constant(String field, E[] values) {
        int index = u8(field);
        if (index >= values.length) {
            throw broken(field, "0.." + (values.length - 1), Integer.toString(index));
        }
        return values[index];
    }

    Bytes bytes(String field, int count) {
        if (count < 0) {
            throw broken(field, "a length within the body", Integer.toUnsignedString(count));
        }
        need(field, count);
        byte[] octets = new byte[count];
        body.get(octets);
        return Bytes.copyOf(octets);
    }

    Bytes rest() {
        return bytes("rest", body.remaining());
    }

    void end() {
        if (body.hasRemaining()) {
            throw broken(
                    "end of the body", "no bytes after the last field", body.remaining() + " more");
        }
    }

    ProtocolException broken(String field, String expected, String found) {
        return new ProtocolException(
                LinkCodec.STREAM,
                offset + body.position() - start,
                type + " " + field,
                expected,
                found);
    }

    private ByteBuffer need(String field, int bytes) {
        if (body.remaining() < bytes) {
            throw broken(field, bytes + " bytes", body.remaining() + " left in the body");
        }
        return body;
    }
}
