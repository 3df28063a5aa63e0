package holdfast.node.link;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.GatheringByteChannel;
import java.util.concurrent.locks.LockSupport;

/** Bounds how many bytes a second several channels write together. Any thread. */
final class Pace {
    /** What may leave at once after a silence, as a part of a second. */
    private static final long BURST_NANOS = 20_000_000;

    private final long bytesPerSecond;
    private long freeAtNanos = System.nanoTime();

    /**
     * @param bytesPerSecond 0: no bound
     */
    Pace(long bytesPerSecond) {
        this.bytesPerSecond = bytesPerSecond;
    }

    GatheringByteChannel over(GatheringByteChannel channel) {
        return bytesPerSecond == 0 ? channel : new Paced(channel);
    }

    private void wrote(long bytes) {
        long wait;
        synchronized (this) {
            long now = System.nanoTime();
            long earliest = now - BURST_NANOS;
            long begin = freeAtNanos - earliest > 0 ? freeAtNanos : earliest;
            freeAtNanos = begin + (long) (bytes * 1e9 / bytesPerSecond);
            wait = freeAtNanos - now;
        }
        while (wait > 0 && !Thread.currentThread().isInterrupted()) {
            LockSupport.parkNanos(wait);
            synchronized (this) {
                wait = freeAtNanos - System.nanoTime();
            }
            // Others may have written meanwhile: this thread waits for its own bytes alone.
            if (wait <= BURST_NANOS) {
                return;
            }
        }
    }

    private final class Paced implements GatheringByteChannel {
        private final GatheringByteChannel to;

        Paced(GatheringByteChannel to) {
            this.to = to;
        }

        @Override
        public int write(ByteBuffer source) throws IOException {
            int written = to.write(source);
            wrote(written);
            return written;
        }

        @Override
        public long write(ByteBuffer[] sources, int offset, int length) throws IOException {
            long written = to.write(sources, offset, length);
            wrote(written);
            return written;
        }

        @Override
        public long write(ByteBuffer[] sources) throws IOException {
            return write(sources, 0, sources.length);
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
}
