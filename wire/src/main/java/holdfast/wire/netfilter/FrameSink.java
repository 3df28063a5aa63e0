package holdfast.wire.netfilter;

import java.lang.foreign.MemorySegment;

/** Takes frames as they become complete. */
@FunctionalInterface
public interface FrameSink {
    /**
     * @param vnetHeaderBytes length of the virtio-net header at the front of {@code frame}; 0 with
     *     {@link FrameFormat#LENGTH_ONLY}
     * @param frame read-only, borrowed: valid during this call only
     */
    void frame(int vnetHeaderBytes, MemorySegment frame);
}
