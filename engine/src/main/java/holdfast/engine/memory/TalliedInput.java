package holdfast.engine.memory;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ReadableByteChannel;

/** Tallies what is read. */
final class TalliedInput implements ReadableByteChannel {
    private final ReadableByteChannel in;
    private final Tally tally = new Tally();

    TalliedInput(ReadableByteChannel in) {
        this.in = in;
    }

    Tally tally() {
        return tally;
    }

    @Override
    public int read(ByteBuffer target) throws IOException {
        ByteBuffer seen = target.duplicate();
        int read = in.read(target);
        if (read > 0) {
            tally.add(seen, read);
        }
        return read;
    }

    @Override
    public boolean isOpen() {
        return in.isOpen();
    }

    @Override
    public void close() throws IOException {
        in.close();
    }
}
