package holdfast.node.link;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.GatheringByteChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * The bulk connection with a copy of everything in a file, for {@code stream verify}. The copy
 * never harms protection: where it cannot be written any more it ends, and the log says so. Closing
 * cuts the file after the last whole checkpoint, so that it ends where a receiver would resume.
 */
final class BulkTee implements GatheringByteChannel {
    private static final Logger LOG = LoggerFactory.getLogger(BulkTee.class);

    private final SocketChannel socket;
    private final FileChannel file;
    private final Path path;
    private volatile boolean writable = true;
    private volatile long wholeBytes;

    BulkTee(SocketChannel socket, Path path) throws IOException {
        this.socket = socket;
        this.path = path;
        this.file =
                FileChannel.open(
                        path,
                        StandardOpenOption.CREATE,
                        StandardOpenOption.TRUNCATE_EXISTING,
                        StandardOpenOption.WRITE);
    }

    /**
     * @throws UncheckedIOException if the file can be neither opened nor made
     */
    static void requireWritable(Path path) {
        try {
            FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.WRITE).close();
        } catch (IOException e) {
            throw new UncheckedIOException(
                    "the copy of the stream cannot be written to "
                            + path
                            + " ("
                            + e
                            + "); choose a file in a directory that the daemon may write",
                    e);
        }
    }

    /** A checkpoint of so many bytes was written whole. */
    void checkpointWritten(long bytes) {
        wholeBytes += bytes;
    }

    @Override
    public int write(ByteBuffer source) throws IOException {
        ByteBuffer seen = source.duplicate();
        int written = socket.write(source);
        copy(seen.limit(seen.position() + written));
        return written;
    }

    @Override
    public long write(ByteBuffer[] sources, int offset, int length) throws IOException {
        ByteBuffer[] seen = new ByteBuffer[length];
        for (int i = 0; i < length; i++) {
            seen[i] = sources[offset + i].duplicate();
        }
        long written = socket.write(sources, offset, length);
        long left = written;
        for (ByteBuffer part : seen) {
            int count = (int) Math.min(left, part.remaining());
            copy(part.limit(part.position() + count));
            left -= count;
        }
        return written;
    }

    @Override
    public long write(ByteBuffer[] sources) throws IOException {
        return write(sources, 0, sources.length);
    }

    private void copy(ByteBuffer bytes) {
        try {
            while (writable && bytes.hasRemaining()) {
                file.write(bytes);
            }
        } catch (IOException e) {
            writable = false;
            LOG.warn(
                    "event=tee-ended file={} reason=\"{}\" next=\"protection goes on; free space"
                            + " and start it anew for a whole copy\"",
                    path,
                    e.getMessage());
        }
    }

    @Override
    public boolean isOpen() {
        return socket.isOpen();
    }

    /** Ends a write that blocks. */
    void closeSocket() throws IOException {
        socket.close();
    }

    /** After the sender's thread has ended. */
    @Override
    public void close() throws IOException {
        try (socket;
                file) {
            if (writable) {
                file.truncate(wholeBytes);
            }
        }
    }
}
