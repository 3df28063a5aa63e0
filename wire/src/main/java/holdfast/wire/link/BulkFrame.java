package holdfast.wire.link;

import holdfast.wire.ProtocolException;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Header of a frame on a BULK connection of protocol version {@value
 * LinkMessage#FRAMED_BULK_VERSION}: {@code u8} packing, three {@code u8} 0, {@code u32} bytes that
 * follow, {@code u32} bytes they become; big-endian.
 *
 * @param storedBytes 1 to {@code rawBytes}
 * @param rawBytes 1 to {@link #RAW_BYTES_MAX}
 */
public record BulkFrame(Packing packing, int storedBytes, int rawBytes) {
    public static final int HEADER_BYTES = 12;

    /** Of the stream in one frame; what a receiver has to keep of it. */
    public static final int RAW_BYTES_MAX = 1 << 20;

    /** How a part of the stream lies in its frame. */
    public enum Packing {
        /** As it is. */
        PLAIN,
        /** One Zstandard frame (RFC 8878) that says its content's size, without a dictionary. */
        ZSTD
    }

    public BulkFrame {
        require(
                "BULK frame raw bytes",
                rawBytes >= 1 && rawBytes <= RAW_BYTES_MAX,
                "1.." + RAW_BYTES_MAX,
                rawBytes);
        switch (packing) {
            case PLAIN ->
                    require(
                            "BULK frame stored bytes",
                            storedBytes == rawBytes,
                            "the " + rawBytes + " raw bytes, as it is plain",
                            storedBytes);
            case ZSTD ->
                    require(
                            "BULK frame stored bytes",
                            storedBytes >= 1 && storedBytes < rawBytes,
                            "1.." + (rawBytes - 1) + ", less than it becomes",
                            storedBytes);
        }
    }

    private static void require(String field, boolean holds, String expected, long found) {
        if (!holds) {
            throw new IllegalMessageException(field, expected, Long.toString(found));
        }
    }

    /** Puts the header. */
    public void encode(ByteBuffer target) {
        target.order(ByteOrder.BIG_ENDIAN)
                .putInt(packing.ordinal() << 24)
                .putInt(storedBytes)
                .putInt(rawBytes);
    }

    /**
     * Takes {@link #HEADER_BYTES} bytes.
     *
     * @param offset of the frame, for messages
     * @throws ProtocolException if they are no legal header
     */
    public static BulkFrame decode(ByteBuffer source, long offset) {
        source.order(ByteOrder.BIG_ENDIAN);
        int first = source.getInt();
        int stored = source.getInt();
        int raw = source.getInt();
        Packing packing =
                switch (first) {
                    case 0 -> Packing.PLAIN;
                    case 1 << 24 -> Packing.ZSTD;
                    default ->
                            throw new ProtocolException(
                                    "bulk connection",
                                    offset,
                                    "BULK frame packing",
                                    "0 (plain) or 1 (zstd), then three zero bytes",
                                    String.format("%08x", first));
                };
        try {
            return new BulkFrame(packing, stored, raw);
        } catch (IllegalMessageException e) {
            throw new ProtocolException(
                    "bulk connection", offset, e.field(), e.expected(), e.found());
        }
    }
}
