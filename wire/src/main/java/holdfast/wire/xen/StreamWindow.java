package holdfast.wire.xen;

import holdfast.wire.TruncatedStreamException;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.ReadableByteChannel;

/**
 * The part of a stream that lies in memory. {@link #require} makes bytes from the current position
 * available; what it made available stays in place until {@link #advance} and the next {@code
 * require}.
 */
sealed interface StreamWindow extends AutoCloseable {
    /** Where the bytes are; ask again after each {@link #require}. */
    MemorySegment segment();

    /** The first byte not yet consumed, in {@link #segment()}. */
    long position();

    /** The same place, in bytes from the start of the stream. */
    long offset();

    /**
     * Makes {@code bytes} bytes available.
     *
     * @return false when the stream ends exactly here
     * @throws TruncatedStreamException when it ends before all of them
     */
    boolean require(String stream, String unit, long bytes) throws IOException;

    /** Consumes bytes that are available. */
    void advance(long bytes);

    /** Consumes bytes of any number without keeping them, as far as the stream has them. */
    void skip(String stream, String unit, long bytes) throws IOException;

    /** Reads what the stream holds after the current position, as a channel would. */
    int readRest(ByteBuffer target) throws IOException;

    @Override
    void close();

    /** A stream that is wholly in memory: nothing is copied. */
    final class OfSegment implements StreamWindow {
        private final MemorySegment segment;
        private long position;

        OfSegment(MemorySegment segment) {
            this.segment = segment.asReadOnly();
        }

        @Override
        public MemorySegment segment() {
            return segment;
        }

        @Override
        public long position() {
            return position;
        }

        @Override
        public long offset() {
            return position;
        }

        @Override
        public boolean require(String stream, String unit, long bytes) {
            long left = segment.byteSize() - position;
            if (left < bytes) {
                if (left == 0) {
                    return false;
                }
                throw new TruncatedStreamException(stream, position, unit, bytes, left);
            }
            return true;
        }

        @Override
        public void advance(long bytes) {
            position += bytes;
        }

        @Override
        public void skip(String stream, String unit, long bytes) {
            if (bytes > segment.byteSize() - position) {
                throw new TruncatedStreamException(
                        stream, position, unit, bytes, segment.byteSize() - position);
            }
            position += bytes;
        }

        @Override
        public int readRest(ByteBuffer target) {
            long left = segment.byteSize() - position;
            if (left == 0) {
                return -1;
            }
            int bytes = (int) Math.min(left, target.remaining());
            target.put(segment.asSlice(position, bytes).asByteBuffer());
            position += bytes;
            return bytes;
        }

        @Override
        public void close() {}
    }

    /**
     * A stream read from a channel into one reused buffer outside the heap. It reads ahead a little
     * while small records are wanted and not at all inside a large one, so that page bytes are
     * copied once, by the channel itself.
     */
    final class OfChannel implements StreamWindow {
        private static final int READ_AHEAD_BYTES = 64 << 10;

        private final ReadableByteChannel channel;
        private Arena arena = Arena.ofShared();
        private MemorySegment buffer = arena.allocate(READ_AHEAD_BYTES, 64);
        private ByteBuffer view = buffer.asByteBuffer();
        private int position;
        private int limit;
        private long offset;

        OfChannel(ReadableByteChannel channel) {
            this.channel = channel;
        }

        @Override
        public MemorySegment segment() {
            return buffer.asReadOnly();
        }

        @Override
        public long position() {
            return position;
        }

        @Override
        public long offset() {
            return offset;
        }

        @Override
        public boolean require(String stream, String unit, long bytes) throws IOException {
            if (limit - position >= bytes) {
                return true;
            }
            makeRoom(Math.toIntExact(bytes));
            int wanted = (int) Math.max(bytes, READ_AHEAD_BYTES);
            while (limit < bytes) {
                view.limit(wanted).position(limit);
                int read = channel.read(view);
                if (read < 0) {
                    if (limit == 0) {
                        return false;
                    }
                    throw new TruncatedStreamException(stream, offset, unit, bytes, limit);
                }
                limit += read;
            }
            return true;
        }

        /** Moves what is left to the front of a buffer that holds {@code bytes}. */
        private void makeRoom(int bytes) {
            if (bytes <= buffer.byteSize()) {
                MemorySegment.copy(buffer, position, buffer, 0, limit - position);
            } else {
                Arena larger = Arena.ofShared();
                MemorySegment target;
                try {
                    target = larger.allocate(capacityFor(bytes), 64);
                } catch (OutOfMemoryError e) {
                    larger.close();
                    throw e;
                }
                MemorySegment.copy(buffer, position, target, 0, limit - position);
                arena.close();
                arena = larger;
                buffer = target;
                view = buffer.asByteBuffer();
            }
            limit -= position;
            position = 0;
        }

        private static long capacityFor(int bytes) {
            return Math.min(Math.max(bytes, 1L << 16) * 5 / 4 + 4096, Integer.MAX_VALUE);
        }

        @Override
        public void advance(long bytes) {
            position += (int) bytes;
            offset += bytes;
        }

        @Override
        public void skip(String stream, String unit, long bytes) throws IOException {
            long left = bytes;
            while (left > 0) {
                long part = Math.min(left, READ_AHEAD_BYTES);
                if (!require(stream, unit, part)) {
                    throw new TruncatedStreamException(stream, offset, unit, left, 0);
                }
                advance(part);
                left -= part;
            }
        }

        @Override
        public int readRest(ByteBuffer target) throws IOException {
            if (position == limit) {
                return channel.read(target);
            }
            int bytes = Math.min(limit - position, target.remaining());
            target.put(buffer.asSlice(position, bytes).asByteBuffer());
            advance(bytes);
            return bytes;
        }

        @Override
        public void close() {
            if (arena.scope().isAlive()) {
                arena.close();
            }
        }
    }
}
