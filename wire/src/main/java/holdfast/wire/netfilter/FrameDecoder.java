package holdfast.wire.netfilter;

import holdfast.wire.ProtocolException;
import holdfast.wire.TruncatedStreamException;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Cuts the bytes of a net filter's socket into frames, however the socket had cut them. Whole
 * frames are lent from the fed bytes; only a frame that the end of them splits is copied. One
 * thread at a time; after an exception it must not be fed again.
 */
public final class FrameDecoder {
    private static final String STREAM = "net filter frames";
    private static final ValueLayout.OfInt U32 =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

    private final FrameFormat format;
    private final FrameSink sink;
    private final MemorySegment partial;
    private final MemorySegment partialView;
    private int partialBytes;
    private long offset;

    public FrameDecoder(FrameFormat format, FrameSink sink) {
        this.format = format;
        this.sink = sink;
        this.partial =
                MemorySegment.ofArray(new byte[format.headerBytes() + FrameFormat.FRAME_BYTES_MAX]);
        this.partialView = partial.asReadOnly();
    }

    /** Takes all remaining bytes of the buffer and advances its position to its limit. */
    public void feed(ByteBuffer bytes) {
        feed(MemorySegment.ofBuffer(bytes));
        bytes.position(bytes.limit());
    }

    /**
     * Takes all bytes of the segment and hands every frame they complete to the sink.
     *
     * @throws ProtocolException when a length is out of range; frames before it were handed over
     */
    public void feed(MemorySegment bytes) {
        MemorySegment readOnly = bytes.asReadOnly();
        long position = 0;
        long end = readOnly.byteSize();
        while (partialBytes > 0 && position < end) {
            int wanted = unitBytes(partialView, 0, partialBytes);
            int part = (int) Math.min(wanted - partialBytes, end - position);
            MemorySegment.copy(readOnly, position, partial, partialBytes, part);
            partialBytes += part;
            position += part;
            if (partialBytes == unitBytes(partialView, 0, partialBytes)) {
                partialBytes = 0;
                deliver(partialView, 0);
            }
        }
        while (position < end) {
            long left = end - position;
            int wanted = unitBytes(readOnly, position, left);
            if (wanted > left) {
                MemorySegment.copy(readOnly, position, partial, 0, left);
                partialBytes = (int) left;
                return;
            }
            deliver(readOnly, position);
            position += wanted;
        }
    }

    /**
     * Says that the socket has ended.
     *
     * @throws TruncatedStreamException if it ended inside a frame
     */
    public void end() {
        if (partialBytes > 0) {
            throw new TruncatedStreamException(
                    STREAM, offset, "frame", unitBytes(partialView, 0, partialBytes), partialBytes);
        }
    }

    /** Bytes of the frame that begins here, with its header; of the header while that is cut. */
    private int unitBytes(MemorySegment bytes, long at, long available) {
        int headerBytes = format.headerBytes();
        if (available < headerBytes) {
            return headerBytes;
        }
        int frameBytes = bytes.get(U32, at);
        if (frameBytes < 1 || frameBytes > FrameFormat.FRAME_BYTES_MAX) {
            throw new ProtocolException(
                    STREAM,
                    offset,
                    "frame length",
                    "1.." + FrameFormat.FRAME_BYTES_MAX,
                    Integer.toUnsignedString(frameBytes));
        }
        int vnetBytes = vnetHeaderBytes(bytes, at);
        if (vnetBytes < 0 || vnetBytes > frameBytes) {
            throw new ProtocolException(
                    STREAM,
                    offset + 4,
                    "vnet_hdr_len",
                    "0.." + frameBytes,
                    Integer.toUnsignedString(vnetBytes));
        }
        return headerBytes + frameBytes;
    }

    private void deliver(MemorySegment bytes, long at) {
        int frameBytes = bytes.get(U32, at);
        sink.frame(
                vnetHeaderBytes(bytes, at), bytes.asSlice(at + format.headerBytes(), frameBytes));
        offset += format.headerBytes() + frameBytes;
    }

    private int vnetHeaderBytes(MemorySegment bytes, long at) {
        return switch (format) {
            case LENGTH_ONLY -> 0;
            case WITH_VNET_HEADER -> bytes.get(U32, at + 4);
        };
    }
}
