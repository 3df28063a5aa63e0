package holdfast.node.link;

import com.github.luben.zstd.ZstdCompressCtx;
import com.github.luben.zstd.ZstdException;

import holdfast.wire.link.BulkFrame;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.GatheringByteChannel;
import java.util.ArrayList;
import java.util.List;

/**
 * Puts a stream into {@link BulkFrame}s, compressed where that helps. Nothing stays behind: what a
 * write took is on its way, in one frame if it fits. Memory: one block, whatever is written. One
 * thread writes.
 */
final class PackedOutput implements GatheringByteChannel {
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

    /** By the answers to what was sent: what each byte on its way costs the link. */
    void drained(double nanosPerByte) {
        choice.drained(nanosPerByte);
    }

    @Override
    public int write(ByteBuffer source) throws IOException {
        return (int) write(new ByteBuffer[] {source}, 0, 1);
    }

    @Override
    public long write(ByteBuffer[] sources) throws IOException {
        return write(sources, 0, sources.length);
    }

    /** All of it, in as few frames as it fits. */
    @Override
    public long write(ByteBuffer[] sources, int offset, int length) throws IOException {
        long taken = 0;
        while (true) {
            List<ByteBuffer> block = new ArrayList<>(length);
            int bytes = 0;
            for (int i = offset; i < offset + length && bytes < BulkFrame.RAW_BYTES_MAX; i++) {
                ByteBuffer source = sources[i];
                int part = Math.min(source.remaining(), BulkFrame.RAW_BYTES_MAX - bytes);
                if (part > 0) {
                    block.add(source.slice(source.position(), part));
                    source.position(source.position() + part);
                    bytes += part;
                }
            }
            if (bytes == 0) {
                return taken;
            }
            if (choice.compress(bytes) && compressed(block, bytes)) {
                send(BulkFrame.Packing.ZSTD, List.of(packed), bytes);
            } else {
                send(BulkFrame.Packing.PLAIN, block, bytes);
            }
            taken += bytes;
        }
    }

    /** Whether {@link #packed} holds the block now, in fewer bytes. */
    private boolean compressed(List<ByteBuffer> block, int bytes) {
        // Guest pages may change meanwhile: the compressor must not see that.
        raw.clear();
        block.forEach(part -> raw.put(part.duplicate()));
        raw.flip();
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

    private void send(BulkFrame.Packing packing, List<ByteBuffer> stored, int rawBytes)
            throws IOException {
        int bytes = stored.stream().mapToInt(ByteBuffer::remaining).sum();
        header.clear();
        new BulkFrame(packing, bytes, rawBytes).encode(header);
        ByteBuffer[] pieces = new ByteBuffer[stored.size() + 1];
        pieces[0] = header.flip();
        for (int i = 0; i < stored.size(); i++) {
            pieces[i + 1] = stored.get(i);
        }
        long left = (long) header.remaining() + bytes;
        long begun = System.nanoTime();
        while (left > 0) {
            left -= to.write(pieces, 0, pieces.length);
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
