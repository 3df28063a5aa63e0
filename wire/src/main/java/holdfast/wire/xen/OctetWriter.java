package holdfast.wire.xen;

import holdfast.wire.Bytes;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/** Writes fields one after the other; whoever makes it has made room. */
final class OctetWriter {
    private final MemorySegment segment;
    private final ValueLayout.OfShort u16;
    private final ValueLayout.OfInt u32;
    private final ValueLayout.OfLong u64;
    private long position;

    OctetWriter(MemorySegment segment, long position, ByteOrder order) {
        this.segment = segment;
        this.position = position;
        this.u16 = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(order);
        this.u32 = ValueLayout.JAVA_INT_UNALIGNED.withOrder(order);
        this.u64 = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(order);
    }

    long position() {
        return position;
    }

    void u8(int value) {
        segment.set(ValueLayout.JAVA_BYTE, position, (byte) value);
        position += 1;
    }

    void u16(int value) {
        segment.set(u16, position, (short) value);
        position += 2;
    }

    void u32(long value) {
        segment.set(u32, position, (int) value);
        position += 4;
    }

    void u64(long value) {
        segment.set(u64, position, value);
        position += 8;
    }

    void zeros(long bytes) {
        segment.asSlice(position, bytes).fill((byte) 0);
        position += bytes;
    }

    void bytes(Bytes bytes) {
        bytes.copyTo(segment, position);
        position += bytes.size();
    }

    void longs(long[] values, int from, int count) {
        MemorySegment.copy(values, from, segment, u64, position, count);
        position += 8L * count;
    }

    void ints(int[] values, int from, int count) {
        MemorySegment.copy(values, from, segment, u32, position, count);
        position += 4L * count;
    }

    /** A NUL-terminated string of one-byte chars. */
    void text(String text) {
        for (int i = 0; i < text.length(); i++) {
            u8(text.charAt(i));
        }
        u8(0);
    }
}
