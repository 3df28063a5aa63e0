package holdfast.node.link;

import holdfast.qemu.linux.PauseThreads;
import holdfast.wire.link.LinkCodec;
import holdfast.wire.link.LinkMessage;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.GatheringByteChannel;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import java.util.zip.CRC32C;

/**
 * A primary's disk writes on their way to the secondary: a ring of bytes as they go over the wire,
 * filled by whoever takes the guest's writes, drained by a thread of its own. A full ring makes the
 * guest wait, but never for longer than {@code stallNanos} without progress, and not at all once
 * the stream discards: then writes are accepted and forgotten, and no boundary leaves any more, so
 * that nothing which lacks a write can be committed.
 */
public final class DiskStream {
    private static final Logger LOG = LoggerFactory.getLogger(DiskStream.class);

    /** Bytes of the ring. */
    static final int RING_BYTES = 32 << 20;

    /** Kept free for boundaries, which must not wait: at most two are on their way at once. */
    private static final int RESERVED_BYTES = 4096;

    /**
     * Fewer bytes than this wait for a boundary, or for a writer that needs their room: nobody on
     * the other side can use them before, and to wake two threads for each small write costs the
     * guest more than the write does.
     */
    private static final int SENT_BYTES_MIN = 128 << 10;

    /** What one write to the socket takes, so that room is given back while a long run leaves. */
    private static final int SENT_BYTES_MAX = 1 << 20;

    /**
     * What the stream has done so far.
     *
     * @param bytes of data and zeroes that were taken in
     * @param queuedBytes of the ring that wait for the network
     * @param waits writes that found the ring full
     * @param waitNanos how long they waited, together
     */
    public record Figures(long bytes, long queuedBytes, long waits, long waitNanos) {}

    private final GatheringByteChannel channel;
    private final String peer;
    private final long stallNanos;
    private final Consumer<String> broken;
    private final Thread thread;
    private final ByteBuffer ring;
    private final int sentBytesMin;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition filled = lock.newCondition();
    private final Condition drained = lock.newCondition();

    /** Bytes ever put in and ever sent; their places in the ring are these, modulo its size. */
    private long put;

    private long sent;

    /** Bytes put in before this leave at once, however few they are. */
    private long due;

    private long epochRecords;
    private long epochBytes;
    private long bytes;
    private long waits;
    private long waitNanos;
    private volatile boolean discarding;

    /**
     * @param channel in blocking mode, past its handshake; owned from here on
     * @param stallNanos a writer that waits so long without any byte leaving ends the stream
     * @param broken hears once why nothing leaves any more, on a thread of the stream's or of a
     *     writer; not after {@link #discard}
     */
    DiskStream(
            GatheringByteChannel channel, String peer, long stallNanos, Consumer<String> broken) {
        this(channel, peer, stallNanos, broken, RING_BYTES);
    }

    DiskStream(
            GatheringByteChannel channel,
            String peer,
            long stallNanos,
            Consumer<String> broken,
            int ringBytes) {
        this.channel = channel;
        this.peer = peer;
        this.stallNanos = stallNanos;
        this.broken = broken;
        this.ring = ByteBuffer.allocateDirect(ringBytes);
        this.sentBytesMin = Math.min(SENT_BYTES_MIN, ringBytes / 4);
        this.thread =
                Thread.ofPlatform()
                        .name("link-disk-" + peer)
                        .daemon()
                        .unstarted(PauseThreads.body(this::run));
    }

    void start() {
        thread.start();
    }

    Thread thread() {
        return thread;
    }

    /**
     * Takes a write of the guest in; returns when it is in the ring or need not be.
     *
     * @param data read from its position to its limit; borrowed for the call
     */
    public void write(int disk, long offset, ByteBuffer data) {
        long at = offset;
        while (data.hasRemaining() && !discarding) {
            int count = Math.min(data.remaining(), pieceBytesMax());
            ByteBuffer piece = data.slice(data.position(), count);
            CRC32C crc = new CRC32C();
            crc.update(piece.duplicate());
            append(
                    LinkCodec.encode(
                            new LinkMessage.DiskWrite(disk, at, count, (int) crc.getValue())),
                    piece,
                    count);
            data.position(data.position() + count);
            at += count;
        }
        data.position(data.limit());
    }

    private int pieceBytesMax() {
        return Math.min(LinkMessage.DISK_WRITE_BYTES_MAX, ring.capacity() / 4);
    }

    /** The guest wrote zeroes. As {@link #write}. */
    public void writeZeroes(int disk, long offset, long count) {
        if (!discarding) {
            append(
                    LinkCodec.encode(new LinkMessage.DiskZeroes(disk, offset, count)),
                    ByteBuffer.allocate(0),
                    count);
        }
    }

    /** All writes that returned belong to {@code epoch} or an earlier one. Does not wait. */
    public void boundary(long epoch) {
        lock.lock();
        try {
            if (discarding) {
                return;
            }
            ByteBuffer frame =
                    LinkCodec.encode(new LinkMessage.DiskBoundary(epoch, epochRecords, epochBytes));
            if (free() < frame.remaining()) {
                throw new IllegalStateException(
                        "more boundaries than checkpoints can be on their way, epoch " + epoch);
            }
            copyIn(frame);
            epochRecords = 0;
            epochBytes = 0;
            due = put;
            filled.signal();
        } finally {
            lock.unlock();
        }
    }

    private void append(ByteBuffer frame, ByteBuffer data, long wrote) {
        String stalled = null;
        lock.lock();
        try {
            int wanted = frame.remaining() + data.remaining();
            if (free() - RESERVED_BYTES < wanted) {
                stalled = awaitRoom(wanted);
            }
            if (stalled == null && !discarding) {
                copyIn(frame);
                copyIn(data);
                epochRecords++;
                epochBytes += wrote;
                bytes += wrote;
                if (isWorthSending()) {
                    filled.signal();
                }
            }
        } finally {
            lock.unlock();
        }
        if (stalled != null) {
            end(stalled);
        }
    }

    /** Why there will be no room; null when there is, or when none is needed any more. */
    private String awaitRoom(int wanted) {
        long start = System.nanoTime();
        long progressNanos = start;
        long seen = sent;
        waits++;
        due = put;
        filled.signal();
        try {
            while (free() - RESERVED_BYTES < wanted && !discarding) {
                long left = stallNanos - (System.nanoTime() - progressNanos);
                if (left <= 0) {
                    return "node "
                            + peer
                            + " took in no disk writes for "
                            + TimeUnit.NANOSECONDS.toMillis(stallNanos)
                            + " ms; look at the disk that holds its replica";
                }
                drained.awaitNanos(left);
                if (sent != seen) {
                    seen = sent;
                    progressNanos = System.nanoTime();
                }
            }
            return null;
        } catch (InterruptedException e) {
            // The guest's write must not be half done: whoever interrupts wants the end.
            Thread.currentThread().interrupt();
            return "interrupted while waiting for room";
        } finally {
            waitNanos += System.nanoTime() - start;
        }
    }

    private long free() {
        return ring.capacity() - (put - sent);
    }

    private void copyIn(ByteBuffer source) {
        while (source.hasRemaining()) {
            int at = (int) (put % ring.capacity());
            int count = Math.min(source.remaining(), ring.capacity() - at);
            ring.put(at, source, source.position(), count);
            source.position(source.position() + count);
            put += count;
        }
    }

    private void run() {
        try {
            while (!discarding) {
                ByteBuffer[] next = awaitNext();
                long count = 0;
                for (ByteBuffer part : next) {
                    count += part.remaining();
                }
                for (long left = count; left > 0; ) {
                    long written = channel.write(next);
                    left -= written;
                    release(written);
                }
            }
        } catch (IOException e) {
            end("the disk connection to node " + peer + " broke: " + e.getMessage());
        } catch (InterruptedException e) {
            // Only close() interrupts.
            Thread.currentThread().interrupt();
        } catch (RuntimeException | Error e) {
            end("disk writes could not be sent: " + e);
        }
    }

    private boolean isWorthSending() {
        return due > sent || put - sent >= sentBytesMin;
    }

    private ByteBuffer[] awaitNext() throws InterruptedException {
        lock.lock();
        try {
            while (!isWorthSending() && !discarding) {
                filled.await();
            }
            if (discarding) {
                return new ByteBuffer[0];
            }
            int at = (int) (sent % ring.capacity());
            int count = (int) Math.min(put - sent, SENT_BYTES_MAX);
            int first = Math.min(count, ring.capacity() - at);
            return first == count
                    ? new ByteBuffer[] {ring.slice(at, first)}
                    : new ByteBuffer[] {ring.slice(at, first), ring.slice(0, count - first)};
        } finally {
            lock.unlock();
        }
    }

    private void release(long count) {
        lock.lock();
        try {
            sent += count;
            drained.signalAll();
        } finally {
            lock.unlock();
        }
    }

    private void end(String reason) {
        if (discard()) {
            LOG.warn("event=disk-stream-ended peer={} reason=\"{}\"", peer, reason);
            broken.accept(reason);
        }
    }

    /**
     * From here on writes are accepted and forgotten, nothing more leaves, and nobody waits.
     *
     * @return whether it was not so before
     */
    public boolean discard() {
        lock.lock();
        try {
            boolean first = !discarding;
            discarding = true;
            filled.signalAll();
            drained.signalAll();
            return first;
        } finally {
            lock.unlock();
        }
    }

    /** Whether writes are accepted and forgotten. */
    public boolean isDiscarding() {
        return discarding;
    }

    public Figures figures() {
        lock.lock();
        try {
            return new Figures(bytes, discarding ? 0 : put - sent, waits, waitNanos);
        } finally {
            lock.unlock();
        }
    }

    void close(long limitNanos) throws IOException {
        discard();
        try (channel) {
            thread.interrupt();
        }
        Joining.join(thread, limitNanos);
    }
}
