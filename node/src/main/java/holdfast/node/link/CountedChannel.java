package holdfast.node.link;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.GatheringByteChannel;

/** Counts what goes through. One thread writes, any may ask. */
final class CountedChannel implements GatheringByteChannel {
    private final GatheringByteChannel to;
    private volatile long bytes;

    CountedChannel(GatheringByteChannel to) {
        this.to = to;
    }

    /** Bytes written so far. */
    long bytes() {
        return bytes;
    }

    @Override
    public int write(ByteBuffer source) throws IOException {
        int written = to.write(source);
        count(written);
        return written;
    }

    @Override
    public long write(ByteBuffer[] sources, int offset, int length) throws IOException {
        long written = to.write(sources, offset, length);
        count(written);
        return written;
    }

    @Override
    public long write(ByteBuffer[] sources) throws IOException {
        return write(sources, 0, sources.length);
    }

    private void count(long written) {
        bytes += written;
    }

    @Override
    public boolean isOpen() {
        return to.isOpen();
    }

    @Override
    public void close() throws IOException {
        to.close();
    }
}
