package holdfast.wire.xen;

import holdfast.wire.Bytes;
import holdfast.wire.ProtocolException;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * Reads the fields of one header or record body, in order, and knows where each stands in the
 * stream. The bytes are all there before one of these is made.
 */
final class OctetReader {
    private final String stream;
    private final long streamOffset;
    private final MemorySegment segment;
    private final ValueLayout.OfShort u16;
    private final ValueLayout.OfInt u32;
    private final ValueLayout.OfLong u64;
    private final long start;
    private final long end;
    private long position;

    /**
     * @param streamOffset where {@code start} stands in the stream
     * @param start first byte in {@code segment}
     */
    OctetReader(
            String stream,
            long streamOffset,
            MemorySegment segment,
            long start,
            long bytes,
            ByteOrder order) {
        this.stream = stream;
        this.streamOffset = streamOffset;
        this.segment = segment;
        this.start = start;
        this.position = start;
        this.end = start + bytes;
        this.u16 = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(order);
        this.u32 = ValueLayout.JAVA_INT_UNALIGNED.withOrder(order);
        this.u64 = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(order);
    }

    /** Where the next field stands in the stream. */
    long offset() {
        return streamOffset + (position - start);
    }

    /** Where the next field stands in the segment. */
    long position() {
        return position;
    }

    long remaining() {
        return end - position;
    }

    int u8(String field) {
        return Byte.toUnsignedInt(segment.get(ValueLayout.JAVA_BYTE, take(field, 1)));
    }

    int u16(String field) {
        return Short.toUnsignedInt(segment.get(u16, take(field, 2)));
    }

    int int32(String field) {
        return segment.get(u32, take(field, 4));
    }

    long u32(String field) {
        return Integer.toUnsignedLong(int32(field));
    }

    long u64(String field) {
        return segment.get(u64, take(field, 8));
    }

    void skip(String field, long bytes) {
        take(field, bytes);
    }

    Bytes bytes(String field, long bytes) {
        long from = take(field, bytes);
        return Bytes.copyOf(segment.asSlice(from, bytes));
    }

    long[] longs(String field, int count) {
        long from = take(field, 8L * count);
        long[] values = new long[count];
        MemorySegment.copy(segment, u64, from, values, 0, count);
        return values;
    }

    int[] ints(String field, int count) {
        long from = take(field, 4L * count);
        int[] values = new int[count];
        MemorySegment.copy(segment, u32, from, values, 0, count);
        return values;
    }

    ProtocolException broken(long atOffset, String field, String expected, String found) {
        return new ProtocolException(stream, atOffset, field, expected, found);
    }

    ProtocolException broken(long atOffset, IllegalRecordException rule) {
        return rule.at(stream, atOffset);
    }

    private long take(String field, long bytes) {
        if (bytes < 0 || bytes > remaining()) {
            throw broken(
                    offset(), field, bytes + " bytes left in the record", remaining() + " bytes");
        }
        long from = position;
        position += bytes;
        return from;
    }
}
