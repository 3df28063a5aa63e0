package holdfast.wire.link;

import holdfast.wire.Bytes;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.UUID;
import java.util.zip.CRC32C;

/** Builds one frame: the body first, then the header in front of it. */
final class FrameWriter {
    private final int headerBytes;
    private ByteBuffer buffer;

    FrameWriter(int headerBytes, int bodyBytesExpected) {
        this.headerBytes = headerBytes;
        this.buffer = ByteBuffer.allocate(headerBytes + bodyBytesExpected).position(headerBytes);
    }

    void u8(int value) {
        room(1).put((byte) value);
    }

    void u16(int value) {
        room(2).putShort((short) value);
    }

    void u32(int value) {
        room(4).putInt(value);
    }

    void u64(long value) {
        room(8).putLong(value);
    }

    void uuid(UUID value) {
        room(16).putLong(value.getMostSignificantBits()).putLong(value.getLeastSignificantBits());
    }

    void text(String value) {
        byte[] octets = value.getBytes(StandardCharsets.UTF_8);
        u16(octets.length);
        room(octets.length).put(octets);
    }

    void bytes(Bytes value) {
        room(value.size()).put(value.toArray());
    }

    ByteBuffer finish(int type) {
        buffer.flip();
        int bodyBytes = buffer.limit() - headerBytes;
        CRC32C body = new CRC32C();
        body.update(buffer.slice(headerBytes, bodyBytes));
        buffer.putInt(0, bodyBytes)
                .putShort(4, (short) type)
                .putShort(6, (short) 0)
                .putInt(8, (int) body.getValue());
        CRC32C header = new CRC32C();
        header.update(buffer.slice(0, headerBytes - 4));
        return buffer.putInt(headerBytes - 4, (int) header.getValue());
    }

    private ByteBuffer room(int bytes) {
        if (buffer.remaining() < bytes) {
            int wanted = Math.max(2 * buffer.capacity(), buffer.position() + bytes);
            buffer = ByteBuffer.allocate(wanted).put(buffer.flip());
        }
        return buffer;
    }
}
