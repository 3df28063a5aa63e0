package holdfast.engine.memory;

import java.nio.ByteBuffer;
import java.nio.channels.ReadableByteChannel;
import java.nio.channels.WritableByteChannel;

/**
 * From a sender to a receiver of the same process, where no network is between them. A reader gets
 * what was written before, and the end of the stream after that; what was read stays in memory. One
 * thread.
 */
public final class LocalPipe implements WritableByteChannel, ReadableByteChannel {
    private ByteBuffer bytes;
    private int read;

    /**
     * @param bytes for which there is room at once
     */
    public LocalPipe(int bytes) {
        this.bytes = ByteBuffer.allocate(bytes);
    }

    @Override
    public int write(ByteBuffer from) {
        int count = from.remaining();
        if (bytes.remaining() < count) {
            bytes =
                    ByteBuffer.allocate(2 * (bytes.capacity() + count))
                            .put(bytes.duplicate().flip());
        }
        bytes.put(from);
        return count;
    }

    @Override
    public int read(ByteBuffer into) {
        int count = Math.min(into.remaining(), bytes.position() - read);
        if (count == 0) {
            return -1;
        }
        into.put(bytes.slice(read, count));
        read += count;
        return count;
    }

    /** What was written and not read; whoever changes it damages the stream. */
    public ByteBuffer unread() {
        return bytes.slice(read, bytes.position() - read);
    }

    @Override
    public boolean isOpen() {
        return true;
    }

    @Override
    public void close() {}
}
