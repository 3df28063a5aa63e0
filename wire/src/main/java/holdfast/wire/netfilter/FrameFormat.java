package holdfast.wire.netfilter;

/** Whether frames say how long their virtio-net header is. */
public enum FrameFormat {
    /**
     * {@code length, bytes}: filters without {@code vnet_hdr_support}, and {@code -netdev stream}.
     */
    LENGTH_ONLY(4),
    /** {@code length, vnet_hdr_len, bytes}: filters with {@code vnet_hdr_support}. */
    WITH_VNET_HEADER(8);

    /**
     * Most bytes of a frame with its virtio-net header: the buffer of QEMU's own reader, larger
     * than any frame a virtio NIC can send (65,550 bytes and a header of 12).
     */
    public static final int FRAME_BYTES_MAX = 69_632;

    private final int headerBytes;

    FrameFormat(int headerBytes) {
        this.headerBytes = headerBytes;
    }

    /** Bytes that precede each frame. */
    public int headerBytes() {
        return headerBytes;
    }
}
