package holdfast.qemu.net;

import holdfast.engine.HypervisorException;
import holdfast.wire.netfilter.FrameFormat;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;

/**
 * Cuts what a filter's socket delivers into whole frames without copying or allocating. Unlike
 * {@link holdfast.wire.netfilter.FrameDecoder} it gives each frame together with its header: what
 * is held is written again as it was read. One thread at a time.
 */
final class FrameBuffer {
    /** {@code length u32, vnet_hdr_len u32}: every filter here has {@code vnet_hdr_support}. */
    static final int HEADER_BYTES = FrameFormat.WITH_VNET_HEADER.headerBytes();

    /** More than one longest frame, so that there is always room to read on. */
    private static final int BUFFER_BYTES = 256 << 10;

    private final String socket;
    private final ByteBuffer bytes = ByteBuffer.allocateDirect(BUFFER_BYTES).limit(0);
    private final ByteBuffer window = bytes.duplicate();

    FrameBuffer(String socket) {
        this.socket = socket;
    }

    /**
     * Reads once. All whole frames must have been taken by {@link #next} before.
     *
     * @return bytes read, 0 where there are none now, -1 at the end of the stream
     */
    int fill(SocketChannel channel) throws IOException {
        bytes.compact();
        try {
            return channel.read(bytes);
        } finally {
            bytes.flip();
        }
    }

    /**
     * @return the next whole frame with its header, valid until the next {@link #fill}; null where
     *     more bytes are needed
     * @throws HypervisorException if a length is out of range
     */
    ByteBuffer next() {
        if (bytes.remaining() < HEADER_BYTES) {
            return null;
        }
        int start = bytes.position();
        int frameBytes = bytes.getInt(start);
        int vnetHeaderBytes = bytes.getInt(start + Integer.BYTES);
        if (frameBytes < 1
                || frameBytes > FrameFormat.FRAME_BYTES_MAX
                || vnetHeaderBytes < 0
                || vnetHeaderBytes > Math.min(frameBytes, Nic.VNET_HEADER_BYTES_MAX)) {
            throw new HypervisorException(
                    "net filter",
                    "frame on "
                            + socket
                            + " with length "
                            + Integer.toUnsignedString(frameBytes)
                            + " and vnet_hdr_len "
                            + Integer.toUnsignedString(vnetHeaderBytes)
                            + "; expected 1 to "
                            + FrameFormat.FRAME_BYTES_MAX
                            + " and at most "
                            + Nic.VNET_HEADER_BYTES_MAX
                            + ": is another program connected to this socket?");
        }
        if (bytes.remaining() < HEADER_BYTES + frameBytes) {
            return null;
        }
        int end = start + HEADER_BYTES + frameBytes;
        bytes.position(end);
        return window.limit(end).position(start);
    }

    /** The virtio-net header's length in a frame from {@link #next}. */
    static int vnetHeaderBytes(ByteBuffer framed) {
        return framed.getInt(framed.position() + Integer.BYTES);
    }

    /** Forgets everything unread, for a stream that is only emptied any more. */
    void clear() {
        bytes.limit(0);
    }
}
