package holdfast.wire.netfilter;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/** Puts frames into the form a net filter's socket takes. Stateless. */
public final class FrameEncoder {
    private static final ValueLayout.OfInt U32 =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

    private FrameEncoder() {}

    /**
     * Writes what precedes a frame, for callers that send the frame itself by a gathering write.
     *
     * @param vnetHeaderBytes length of the virtio-net header at the front of the frame; must be 0
     *     with {@link FrameFormat#LENGTH_ONLY}, whose reader could not know of it
     * @param frameBytes 1 to {@link FrameFormat#FRAME_BYTES_MAX}, the virtio-net header included
     * @return bytes written
     */
    public static int encodeHeader(
            FrameFormat format,
            int vnetHeaderBytes,
            int frameBytes,
            MemorySegment target,
            long targetOffset) {
        if (frameBytes < 1 || frameBytes > FrameFormat.FRAME_BYTES_MAX) {
            throw new IllegalArgumentException(
                    "frame of "
                            + frameBytes
                            + " bytes, expected 1.."
                            + FrameFormat.FRAME_BYTES_MAX);
        }
        int vnetMax =
                switch (format) {
                    case LENGTH_ONLY -> 0;
                    case WITH_VNET_HEADER -> frameBytes;
                };
        if (vnetHeaderBytes < 0 || vnetHeaderBytes > vnetMax) {
            throw new IllegalArgumentException(
                    "virtio-net header of " + vnetHeaderBytes + " bytes, expected 0.." + vnetMax);
        }
        target.set(U32, targetOffset, frameBytes);
        if (format == FrameFormat.WITH_VNET_HEADER) {
            target.set(U32, targetOffset + 4, vnetHeaderBytes);
        }
        return format.headerBytes();
    }

    /**
     * Writes a frame with what precedes it.
     *
     * @return bytes written: {@code format.headerBytes() + frame.byteSize()}
     */
    public static int encode(
            FrameFormat format,
            int vnetHeaderBytes,
            MemorySegment frame,
            MemorySegment target,
            long targetOffset) {
        int frameBytes = Math.toIntExact(frame.byteSize());
        int headerBytes = encodeHeader(format, vnetHeaderBytes, frameBytes, target, targetOffset);
        MemorySegment.copy(frame, 0, target, targetOffset + headerBytes, frameBytes);
        return headerBytes + frameBytes;
    }
}
