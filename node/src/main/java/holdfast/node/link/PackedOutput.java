package holdfast.node.link;

import com.github.luben.zstd.ZstdCompressCtx;
import com.github.luben.zstd.ZstdException;

import holdfast.wire.link.BulkFrame;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.GatheringByteChannel;
import java.nio.channels.WritableByteChannel;

/**
 * Puts a stream into {@link BulkFrame}s, compressed where that helps. Nothing stays behind: what a
 * write took is on its way. Memory: one block, whatever is written. One thread writes.
 */
final class PackedOutput implements WritableByteChannel {
    /** The fastest of the usual levels: beyond it the compressor would be the limit. */
    private static final int LEVEL = 1;

    private final GatheringByteChannel to;
    private final CompressionChoice choice;
    private final ZstdCompressCtx compressor = new ZstdCompressCtx();
    private final ByteBuffer raw = ByteBuffer.allocateDirect(BulkFrame.RAW_BYTES_MAX);
    private final ByteBuffer packed = ByteBuffer.allocateDirect(BulkFrame.RAW_BYTES_MAX);
    private final ByteBuffer header = ByteBuffer.allocateDirect(BulkFrame.HEADER_BYTES);

    PackedOutput(GatheringByteChannel to, BulkCompression wish) {
        this.to = to;
        this.choice = new CompressionChoice(wish);
        compressor.setLevel(LEVEL);
        compressor.setContentSize(true);
        // The first use loads the library and makes its tables: no measure of what it costs.
        compressor.compressDirectByteBuffer(packed, 0, packed.capacity(), raw, 0, raw.capacity());
    }

    @Override
    public int write(ByteBuffer source) throws IOException {
        int taken = source.remaining();
        while (source.hasRemaining()) {
            int bytes = Math.min(source.remaining(), BulkFrame.RAW_BYTES_MAX);
            ByteBuffer block = source.slice(source.position(), bytes);
            if (choice.compress(bytes) && compressed(block)) {
                send(BulkFrame.Packing.ZSTD, packed, bytes);
            } else {
                send(BulkFrame.Packing.PLAIN, block, bytes);
            }
            source.position(source.position() + bytes);
        }
        return taken;
    }

    /** Whether {@link #packed} holds the block now, in fewer bytes. */
    private boolean compressed(ByteBuffer block) {
        int bytes = block.remaining();
        // Guest pages may change meanwhile: the compressor must not see that.
        raw.clear().put(block.duplicate()).flip();
        packed.clear();
        long begun = System.nanoTime();
        int stored;
        try {
            // Less room than the block needs as it is: more would not help.
            stored = compressor.compressDirectByteBuffer(packed, 0, bytes - 1, raw, 0, bytes);
        } catch (ZstdException _) {
            // It does not shrink. The choice learns that.
            stored = bytes;
        }
        choice.compressed(bytes, stored, System.nanoTime() - begun);
        packed.limit(Math.min(stored, packed.capacity()));
        return stored < bytes;
    }

    private void send(BulkFrame.Packing packing, ByteBuffer stored, int rawBytes)
            throws IOException {
        int bytes = stored.remaining();
        header.clear();
        new BulkFrame(packing, bytes, rawBytes).encode(header);
        ByteBuffer[] pieces = {header.flip(), stored};
        long begun = System.nanoTime();
        while (stored.hasRemaining()) {
            to.write(pieces, 0, pieces.length);
        }
        choice.sent(bytes, System.nanoTime() - begun);
    }

    @Override
    public boolean isOpen() {
        return to.isOpen();
    }

    /** Ends the connection; a write that is under way fails. */
    @Override
    public void close() throws IOException {
        to.close();
    }

    /** Gives the compressor's memory back, once nobody writes any more. */
    void free() {
        compressor.close();
    }
}
