package holdfast.node.link;

import java.nio.ByteBuffer;

/** Takes frames toward the guest on the secondary. Called on the link's inbound thread. */
@FunctionalInterface
public interface InboundSink {
    /**
     * @param epoch what the guest ran when the frame came in, never less than the one before
     * @param vnetHeaderBytes length of the virtio-net header at the front of {@code frame}
     * @param frame valid until this call returns
     */
    void frame(long epoch, int nic, int vnetHeaderBytes, ByteBuffer frame);
}
