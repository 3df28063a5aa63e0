package holdfast.engine.memory;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.GatheringByteChannel;
import java.nio.channels.WritableByteChannel;

/** Tallies what is written. */
final class TalliedOutput implements GatheringByteChannel {
    private final WritableByteChannel out;
    private final Tally tally = new Tally();

    TalliedOutput(WritableByteChannel out) {
        this.out = out;
    }

    Tally tally() {
        return tally;
    }

    @Override
    public int write(ByteBuffer source) throws IOException {
        ByteBuffer seen = source.duplicate();
        int written = out.write(source);
        tally.add(seen, written);
        return written;
    }

    @Override
    public long write(ByteBuffer[] sources, int offset, int length) throws IOException {
        if (!(out instanceof GatheringByteChannel gathering)) {
            long total = 0;
            for (int i = offset; i < offset + length; i++) {
                while (sources[i].hasRemaining()) {
                    total += write(sources[i]);
                }
            }
            return total;
        }
        ByteBuffer[] seen = new ByteBuffer[length];
        for (int i = 0; i < length; i++) {
            seen[i] = sources[offset + i].duplicate();
        }
        long written = gathering.write(sources, offset, length);
        long left = written;
        for (int i = 0; i < length && left > 0; i++) {
            int part = (int) Math.min(left, seen[i].remaining());
            tally.add(seen[i], part);
            left -= part;
        }
        return written;
    }

    @Override
    public long write(ByteBuffer[] sources) throws IOException {
        return write(sources, 0, sources.length);
    }

    @Override
    public boolean isOpen() {
        return out.isOpen();
    }

    @Override
    public void close() throws IOException {
        out.close();
    }
}
