package holdfast.node.link;

import com.github.luben.zstd.ZstdDecompressCtx;
import com.github.luben.zstd.ZstdException;

import holdfast.wire.ProtocolException;
import holdfast.wire.TruncatedStreamException;
import holdfast.wire.link.BulkFrame;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ReadableByteChannel;

/**
 * Takes a stream out of {@link BulkFrame}s. Memory: one frame and what it becomes, whatever the
 * other side says. One thread reads.
 */
final class PackedInput implements ReadableByteChannel {
    private static final Logger LOG = LoggerFactory.getLogger(PackedInput.class);
    private static final String STREAM = "bulk connection";

    private final ReadableByteChannel from;
    private final ZstdDecompressCtx decompressor = new ZstdDecompressCtx();
    private final ByteBuffer header = ByteBuffer.allocateDirect(BulkFrame.HEADER_BYTES);
    private final ByteBuffer stored = ByteBuffer.allocateDirect(BulkFrame.RAW_BYTES_MAX);
    private final ByteBuffer raw = ByteBuffer.allocateDirect(BulkFrame.RAW_BYTES_MAX).limit(0);

    /** Bytes of plain content that come from the connection itself. */
    private int plainLeft;

    private long offset;

    /**
     * Whether frames can be unpacked here. The library is unpacked into Java's temporary directory,
     * which may forbid execution: then the stream is wanted as it is.
     */
    static boolean available() {
        return Available.RESULT;
    }

    private static final class Available {
        private static final boolean RESULT = look();

        private static boolean look() {
            try {
                new ZstdDecompressCtx().close();
                return true;
            } catch (LinkageError e) {
                LOG.warn(
                        "event=no-compression reason=\"{}\" next=\"let /tmp, or the directory of"
                                + " -Djava.io.tmpdir, be one that programs may be run from\"",
                        e.toString());
                return false;
            }
        }
    }

    PackedInput(ReadableByteChannel from) {
        this.from = from;
    }

    @Override
    public int read(ByteBuffer target) throws IOException {
        if (!target.hasRemaining()) {
            return 0;
        }
        if (!raw.hasRemaining() && plainLeft == 0 && !frame()) {
            return -1;
        }
        return plainLeft > 0 ? plain(target) : unpacked(target);
    }

    private int plain(ByteBuffer target) throws IOException {
        int limit = target.limit();
        target.limit(target.position() + Math.min(target.remaining(), plainLeft));
        try {
            int read = from.read(target);
            if (read < 0) {
                throw truncated(plainLeft, 0);
            }
            plainLeft -= read;
            offset += read;
            return read;
        } finally {
            target.limit(limit);
        }
    }

    private int unpacked(ByteBuffer target) {
        int bytes = Math.min(target.remaining(), raw.remaining());
        target.put(raw.slice(raw.position(), bytes));
        raw.position(raw.position() + bytes);
        return bytes;
    }

    /** Whether there is another one. */
    private boolean frame() throws IOException {
        header.clear();
        if (!fill(header)) {
            return false;
        }
        BulkFrame frame = BulkFrame.decode(header.flip(), offset - BulkFrame.HEADER_BYTES);
        switch (frame.packing()) {
            case PLAIN -> plainLeft = frame.storedBytes();
            case ZSTD -> unpack(frame);
        }
        return true;
    }

    private void unpack(BulkFrame frame) throws IOException {
        long at = offset;
        stored.clear().limit(frame.storedBytes());
        if (!fill(stored)) {
            throw truncated(frame.storedBytes(), 0);
        }
        int bytes;
        try {
            bytes =
                    decompressor.decompressDirectByteBuffer(
                            raw.clear(), 0, frame.rawBytes(), stored, 0, frame.storedBytes());
        } catch (ZstdException e) {
            raw.limit(0);
            throw new ProtocolException(
                    STREAM, at, "zstd frame", frame.rawBytes() + " bytes", e.getMessage());
        }
        if (bytes != frame.rawBytes()) {
            raw.limit(0);
            throw new ProtocolException(
                    STREAM, at, "zstd frame", frame.rawBytes() + " bytes", bytes + " bytes");
        }
        raw.limit(bytes);
    }

    /** Whether it is full; nothing at all is an end between two frames. */
    private boolean fill(ByteBuffer target) throws IOException {
        int wanted = target.remaining();
        while (target.hasRemaining()) {
            int read = from.read(target);
            if (read < 0) {
                if (target.remaining() == wanted) {
                    return false;
                }
                throw truncated(wanted, wanted - target.remaining());
            }
            offset += read;
        }
        return true;
    }

    private TruncatedStreamException truncated(int expected, int found) {
        return new TruncatedStreamException(STREAM, offset, "BULK frame", expected, found);
    }

    @Override
    public boolean isOpen() {
        return from.isOpen();
    }

    @Override
    public void close() throws IOException {
        from.close();
    }

    /** Gives the decompressor's memory back, once nobody reads any more. */
    void free() {
        decompressor.close();
    }
}
