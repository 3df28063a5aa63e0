package holdfast.engine.output;

import holdfast.engine.port.OutputGate.Held;

import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Iterator;
import java.util.function.Supplier;

/**
 * One NIC's output between the guest and the network: a bounded queue of frames, cut into epochs.
 *
 * <p>Frames are kept back to back in the framing they will be written in, so that a release writes
 * whole ranges of bytes and never looks at a frame again. The bytes lie in chunks that do not move:
 * ranges given out by {@link #batch} stay valid while other frames are appended. Nothing is
 * allocated per frame; chunks are recycled.
 *
 * <p>Not thread-safe. An owner that shares it takes its own lock around each call; the bytes of a
 * batch may be read without that lock until {@link #written} or {@link #discard} is called.
 */
public final class HeldOutput {
    /** Bytes of one chunk of storage. */
    static final int CHUNK_BYTES = 256 << 10;

    /** Emptied chunks that are kept for the next burst (4 MiB); the rest goes back to the JVM. */
    static final int SPARE_CHUNKS_MAX = 16;

    static final class Chunk {
        final ByteBuffer fill = ByteBuffer.allocateDirect(CHUNK_BYTES);
        final ByteBuffer take = fill.duplicate();
    }

    private final long bytesMax;
    private final Supplier<Chunk> newChunk;
    private final ArrayDeque<Chunk> chunks = new ArrayDeque<>();
    private final ArrayDeque<Chunk> spare = new ArrayDeque<>();
    private final EpochEnds ends = new EpochEnds();

    /** Stream positions: bytes ever appended, bytes ever written, bytes that may be written. */
    private long tail;

    private long head;
    private long releasedEnd;

    /** Stream position of the first byte of the first chunk. */
    private long chunksBase;

    private long newestClosedEpoch = Long.MIN_VALUE;
    private long releasedEpoch = Long.MIN_VALUE;
    private long framesAppended;
    private long framesLeft;
    private long framesDropped;
    private long bytesPeak;

    /**
     * @param bytesMax most bytes held at once, framing included; at least 1
     */
    public HeldOutput(long bytesMax) {
        this(bytesMax, Chunk::new);
    }

    /**
     * @param newChunk may run out of memory
     */
    HeldOutput(long bytesMax, Supplier<Chunk> newChunk) {
        this.newChunk = newChunk;
        if (bytesMax < 1) {
            throw new IllegalArgumentException("bytesMax " + bytesMax + " is not positive");
        }
        this.bytesMax = bytesMax;
    }

    /**
     * Adds one frame to the open epoch; where there is no room or memory for it, drops and counts
     * it.
     *
     * @param framed all bytes of one frame, framing included; consumed in either case
     * @return whether the frame is held
     */
    public boolean append(ByteBuffer framed) {
        int frameBytes = framed.remaining();
        if (frameBytes > bytesMax - (tail - head) || !reserve(frameBytes)) {
            framed.position(framed.limit());
            framesDropped++;
            return false;
        }
        int end = framed.limit();
        while (framed.position() < end) {
            ByteBuffer fill = firstWithRoom().fill;
            framed.limit(Math.min(end, framed.position() + fill.remaining()));
            fill.put(framed);
            framed.limit(end);
        }
        tail += frameBytes;
        framesAppended++;
        bytesPeak = Math.max(bytesPeak, tail - head);
        return true;
    }

    /**
     * Assigns every frame that has no epoch yet to {@code epoch}. A second call for the newest
     * epoch adds to it.
     *
     * @throws IllegalArgumentException if a newer epoch was closed before
     * @throws IllegalStateException if {@code epoch} was released: what the guest said after a
     *     commit cannot belong to the committed epoch
     */
    public void closeEpoch(long epoch) {
        if (epoch < newestClosedEpoch) {
            throw new IllegalArgumentException(
                    "epoch " + epoch + " closed after epoch " + newestClosedEpoch);
        }
        if (epoch <= releasedEpoch) {
            throw new IllegalStateException(
                    "epoch " + epoch + " closed after release of epoch " + releasedEpoch);
        }
        newestClosedEpoch = epoch;
        ends.add(epoch, tail, framesAppended);
    }

    /**
     * Lets the frames of all closed epochs up to and including {@code epoch} be taken by {@link
     * #batch}. An epoch released before has no further effect.
     */
    public void release(long epoch) {
        releasedEpoch = Math.max(releasedEpoch, epoch);
        releasedEnd = Math.max(releasedEnd, ends.lastPositionUpTo(releasedEpoch));
        passWrittenEpochs();
    }

    /** Lets everything out, the open epoch included; for the end of protection alone. */
    public void releaseAll() {
        ends.add(newestClosedEpoch, tail, framesAppended);
        releasedEnd = tail;
    }

    /** Bytes that may leave and have not been reported as written. */
    public long releasableBytes() {
        return releasedEnd - head;
    }

    /**
     * Gives out the oldest releasable bytes as ranges for one gathering write. Writing may stop
     * anywhere; the next batch goes on there.
     *
     * @param into receives read positions into the storage; valid until {@link #written}
     * @return number of entries of {@code into} that were set, 0 where nothing may leave
     */
    public int batch(ByteBuffer[] into) {
        int count = 0;
        long base = chunksBase;
        for (Chunk chunk : chunks) {
            if (count == into.length || base >= releasedEnd) {
                break;
            }
            chunk.take.limit((int) Math.min(CHUNK_BYTES, releasedEnd - base));
            chunk.take.position((int) Math.max(0, head - base));
            if (chunk.take.hasRemaining()) {
                into[count++] = chunk.take;
            }
            base += CHUNK_BYTES;
        }
        return count;
    }

    /**
     * Forgets the oldest {@code bytes} releasable bytes: they have left.
     *
     * @throws IllegalArgumentException if fewer bytes were releasable
     */
    public void written(long bytes) {
        if (bytes < 0 || bytes > releasableBytes()) {
            throw new IllegalArgumentException(
                    bytes + " bytes written of " + releasableBytes() + " releasable");
        }
        head += bytes;
        passWrittenEpochs();
        recycle();
    }

    /**
     * Forgets every frame, released or not. Numbers of closed and released epochs stay.
     *
     * @return number of frames forgotten
     */
    public long discard() {
        long frames = framesAppended - framesLeft;
        head = tail;
        releasedEnd = tail;
        framesLeft = framesAppended;
        ends.clear();
        recycle();
        return frames;
    }

    /**
     * The counters. Frames of an epoch count as held until the last byte of that epoch is written.
     */
    public Held held() {
        return new Held(
                framesAppended - framesLeft, tail - head, bytesPeak, bytesMax, framesDropped);
    }

    /** Bytes held now, framing included. */
    public long heldBytes() {
        return tail - head;
    }

    /** Bytes of storage in use or spare, for tests and figures. */
    long storageBytes() {
        return (long) CHUNK_BYTES * (chunks.size() + spare.size());
    }

    /** Empty epochs pass here too, so that a silent guest does not fill the table. */
    private void passWrittenEpochs() {
        framesLeft = Math.max(framesLeft, ends.passFramesBefore(head));
    }

    /**
     * Storage for a whole frame before its first byte is kept: half a frame would put everything
     * that follows out of step. False where the JVM has no memory for it.
     */
    private boolean reserve(int frameBytes) {
        Chunk last = chunks.peekLast();
        if (last != null && last.fill.position() > 0 && last.fill.remaining() >= frameBytes) {
            return true;
        }
        long room = 0;
        for (Iterator<Chunk> newest = chunks.descendingIterator(); newest.hasNext(); ) {
            int left = newest.next().fill.remaining();
            room += left;
            if (left < CHUNK_BYTES) {
                break;
            }
        }
        try {
            for (; room < frameBytes; room += CHUNK_BYTES) {
                Chunk next = spare.isEmpty() ? newChunk.get() : spare.pop();
                next.fill.clear();
                chunks.addLast(next);
            }
            return true;
        } catch (OutOfMemoryError e) {
            return false;
        }
    }

    /** Only chunks at the end have room: what is reserved is filled in order. */
    private Chunk firstWithRoom() {
        Chunk first = chunks.getLast();
        if (first.fill.position() > 0 && first.fill.hasRemaining()) {
            return first;
        }
        for (Iterator<Chunk> newest = chunks.descendingIterator(); newest.hasNext(); ) {
            Chunk chunk = newest.next();
            if (!chunk.fill.hasRemaining()) {
                break;
            }
            first = chunk;
        }
        return first;
    }

    private void recycle() {
        while (!chunks.isEmpty() && head - chunksBase >= CHUNK_BYTES) {
            Chunk empty = chunks.removeFirst();
            chunksBase += CHUNK_BYTES;
            if (spare.size() < SPARE_CHUNKS_MAX) {
                spare.push(empty);
            }
        }
    }

    /** Where each closed epoch ends: a circular table of three numbers, oldest first. */
    private static final class EpochEnds {
        private static final int FIELDS = 3;

        private long[] table = new long[FIELDS * 16];
        private int first;
        private int size;

        void add(long epoch, long position, long frames) {
            if (size > 0 && at(size - 1, 0) == epoch) {
                size--;
            }
            if (size * FIELDS == table.length) {
                long[] larger = new long[table.length * 2];
                int tailFields = table.length - first * FIELDS;
                System.arraycopy(table, first * FIELDS, larger, 0, tailFields);
                System.arraycopy(table, 0, larger, tailFields, first * FIELDS);
                table = larger;
                first = 0;
            }
            int slot = slot(size++);
            table[slot] = epoch;
            table[slot + 1] = position;
            table[slot + 2] = frames;
        }

        long lastPositionUpTo(long epoch) {
            long position = 0;
            for (int i = 0; i < size && at(i, 0) <= epoch; i++) {
                position = at(i, 1);
            }
            return position;
        }

        /** Forgets the ends at or before {@code position}; returns frames before the newest. */
        long passFramesBefore(long position) {
            long frames = 0;
            while (size > 0 && at(0, 1) <= position) {
                frames = at(0, 2);
                first = (first + 1) % (table.length / FIELDS);
                size--;
            }
            return frames;
        }

        void clear() {
            size = 0;
            Arrays.fill(table, 0);
            first = 0;
        }

        private long at(int index, int field) {
            return table[slot(index) + field];
        }

        private int slot(int index) {
            return (first + index) % (table.length / FIELDS) * FIELDS;
        }
    }
}
