package holdfast.engine.port;

import java.nio.ByteBuffer;
import java.util.List;

/**
 * Frames the network sent toward a guest, oldest first.
 *
 * @param frames read-only buffers, each one frame as the NIC filter framed it (virtio-net header
 *     first where {@code vnetHeaderBytes > 0})
 */
public record InboundFrames(List<Frame> frames) {
    /**
     * @param nic index of the domain's NIC, from 0
     * @param vnetHeaderBytes length of the virtio-net header at the front of {@code bytes}, 0 where
     *     there is none
     * @param bytes header and frame
     */
    public record Frame(int nic, int vnetHeaderBytes, ByteBuffer bytes) {}

    public InboundFrames {
        frames = List.copyOf(frames);
    }
}
