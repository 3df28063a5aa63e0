package holdfast.sim.link;

import holdfast.engine.port.PrimaryLink;
import holdfast.sim.time.VirtualTime;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.WritableByteChannel;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/**
 * The bulk connection: pieces are encoded one after another, and their bytes travel in chunks
 * through a window, so that a secondary that does not read stops the sender. What the sender says
 * when it has written a piece is said when the last byte has left for the wire.
 */
public final class BulkPath {
    /** Learns of traffic and of trouble. */
    public interface Listener {
        /** A chunk left; {@code index} counts from 0. */
        void chunkSent(long index);

        /** A chunk was given to the reader. */
        void chunkReceived(long index);

        /** The sender noticed that its connection is broken, or failed itself. */
        void senderBroken(String reason);

        /** The receiving kernel noticed that the connection is broken. */
        void receiverBroken(String reason);
    }

    private final VirtualTime time;
    private final SplittableRandom random;
    private final LinkShape shape;
    private final Listener listener;
    private final LockstepChannel target;
    private final ArrayDeque<PrimaryLink.BulkPiece> pieces = new ArrayDeque<>();
    private final List<Runnable> whenWritten = new ArrayList<>();
    private byte[] buffer = new byte[64 << 10];
    private int pendingStart;
    private int pendingEnd;
    private boolean encoding;
    private boolean pieceUnderWay;
    private boolean broken;
    private boolean closed;
    private long inFlightBytes;
    private long newestArrivalNanos;
    private long stalledUntilNanos;
    private long lostFromNanos = Long.MAX_VALUE;
    private long sentBytes;
    private long chunks;
    private long received;
    private long cutAtByte = Long.MAX_VALUE;
    private long flipBit = -1;

    public BulkPath(
            VirtualTime time,
            SplittableRandom random,
            LinkShape shape,
            LockstepChannel target,
            Listener listener) {
        this.time = time;
        this.random = random;
        this.shape = shape;
        this.target = target;
        this.listener = listener;
    }

    /** What the encoder writes to. */
    public WritableByteChannel sink() {
        return new WritableByteChannel() {
            @Override
            public int write(ByteBuffer source) throws IOException {
                if (broken || closed) {
                    throw new IOException("broken pipe");
                }
                int count = source.remaining();
                if (pendingEnd + count > buffer.length) {
                    buffer = Arrays.copyOf(buffer, 2 * (pendingEnd + count));
                }
                source.get(buffer, pendingEnd, count);
                pendingEnd += count;
                return count;
            }

            @Override
            public boolean isOpen() {
                return !closed;
            }

            @Override
            public void close() {
                closed = true;
            }
        };
    }

    /** Whether a piece is being encoded now: what is said meanwhile is said by the sender. */
    public boolean encoding() {
        return encoding;
    }

    /** To be done when the piece that is being encoded has left. */
    public void whenWritten(Runnable action) {
        whenWritten.add(action);
    }

    /** Queues a piece. */
    public void transmit(PrimaryLink.BulkPiece piece) {
        pieces.add(piece);
        time.after(random.nextLong(20_000), this::nextPiece);
    }

    private void nextPiece() {
        if (pieceUnderWay || broken || closed || pieces.isEmpty()) {
            return;
        }
        pieceUnderWay = true;
        encoding = true;
        try {
            pieces.remove().write();
        } catch (IOException e) {
            breakNow("the bulk connection broke: " + e.getMessage());
        } finally {
            encoding = false;
        }
        pump();
    }

    /** Sends what the window allows. */
    public void pump() {
        if (closed) {
            return;
        }
        while (!broken && pendingStart < pendingEnd) {
            long window = shape.windowBytes() - inFlightBytes - target.unreadBytes();
            if (window <= 0) {
                return;
            }
            int most =
                    (int) Math.min(Math.min(window, shape.chunkBytes()), pendingEnd - pendingStart);
            int size = Math.min(most, 1 + random.nextInt(shape.chunkBytes()));
            sendChunk((int) Math.min(size, cutAtByte - sentBytes));
        }
        if (pieceUnderWay && !broken) {
            pieceUnderWay = false;
            pendingStart = 0;
            pendingEnd = 0;
            List<Runnable> said = List.copyOf(whenWritten);
            whenWritten.clear();
            said.forEach(Runnable::run);
            nextPiece();
        }
    }

    private void sendChunk(int size) {
        byte[] chunk = Arrays.copyOfRange(buffer, pendingStart, pendingStart + size);
        if (flipBit >= 0 && flipBit / 8 >= sentBytes && flipBit / 8 < sentBytes + size) {
            chunk[(int) (flipBit / 8 - sentBytes)] ^= (byte) (1 << flipBit % 8);
            flipBit = -1;
        }
        pendingStart += size;
        sentBytes += size;
        inFlightBytes += size;
        long index = chunks++;
        newestArrivalNanos =
                Math.max(
                                newestArrivalNanos,
                                Math.max(time.nanos(), stalledUntilNanos)
                                        + shape.delayNanos()
                                        + random.nextLong(shape.jitterNanos() + 1))
                        + size * shape.nanosPerKib() / 1024;
        time.at(newestArrivalNanos, () -> arrive(index, chunk));
        if (sentBytes >= cutAtByte) {
            cut("cut after " + sentBytes + " bytes");
        }
        listener.chunkSent(index);
    }

    private void arrive(long index, byte[] chunk) {
        if (time.nanos() < stalledUntilNanos) {
            time.at(stalledUntilNanos, () -> arrive(index, chunk));
            return;
        }
        inFlightBytes -= chunk.length;
        if (time.nanos() >= lostFromNanos) {
            return;
        }
        if (!target.isOpen()) {
            if (!broken) {
                breakNow("the secondary closed the bulk connection");
            }
            return;
        }
        target.push(ByteBuffer.wrap(chunk));
        received = index + 1;
        listener.chunkReceived(index);
        pump();
    }

    /** The reader made room. */
    public void roomMade() {
        time.after(0, this::pump);
    }

    private void breakNow(String reason) {
        broken = true;
        whenWritten.clear();
        time.after(shape.delayNanos(), () -> listener.senderBroken(reason));
    }

    /** Breaks the connection; what is under way still arrives, or not, as it falls. */
    public void cut(String reason) {
        if (broken || closed) {
            return;
        }
        breakNow("the bulk connection broke: " + reason);
        time.at(
                Math.max(time.nanos(), newestArrivalNanos) + random.nextLong(50_000),
                () -> listener.receiverBroken("the bulk connection broke: " + reason));
    }

    /** Breaks the connection when exactly {@code bytes} bytes were sent on it. */
    public void cutAt(long bytes) {
        cutAtByte = Math.max(bytes, sentBytes + 1);
    }

    /** Inverts one bit of the stream on its way. */
    public void flip(long bit) {
        flipBit = Math.max(bit, sentBytes * 8);
    }

    public long sentBytes() {
        return sentBytes;
    }

    /** Chunks the reader was given. */
    public long receivedChunks() {
        return received;
    }

    public void stall(long nanos) {
        stalledUntilNanos = Math.max(stalledUntilNanos, time.nanos() + nanos);
    }

    /** The sender's node is gone; what would arrive from {@code lostFromNanos} on never left. */
    public void senderCrashed(long lostFromNanos) {
        this.lostFromNanos = lostFromNanos;
        closeSender();
    }

    /** The sender's end: nothing is sent or encoded any more. */
    public void closeSender() {
        closed = true;
        pieces.clear();
        whenWritten.clear();
    }

    public boolean senderClosed() {
        return closed;
    }
}
