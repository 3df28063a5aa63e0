package holdfast.sim.link;

import holdfast.sim.check.Violation;

import java.nio.ByteBuffer;
import java.nio.channels.AsynchronousCloseException;
import java.nio.channels.ReadableByteChannel;
import java.util.ArrayDeque;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * The reading end of a bulk stream, in lockstep with the simulator: the engine's reader thread runs
 * only while the simulator waits in {@link #settle}, until it has taken all bytes there are, waits
 * for its checkpoint to be applied, or has ended. So a real blocking reader stays deterministic.
 */
public final class LockstepChannel implements ReadableByteChannel {
    private static final long SETTLE_SECONDS = 20;

    /** What the reader thread is doing. */
    private enum Reader {
        /** Not started. */
        ABSENT,
        /** It computes. */
        RUNNING,
        /** It waits for bytes. */
        READING,
        /** It has handed a checkpoint over and waits until that is applied. */
        HANDED_OVER,
        /** It has returned. */
        ENDED
    }

    /** Where the stream stands. */
    private enum Stream {
        FLOWING,
        ENDED,
        CLOSED
    }

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final ArrayDeque<ByteBuffer> unread = new ArrayDeque<>();
    private long unreadBytes;
    private Reader reader = Reader.ABSENT;
    private Stream stream = Stream.FLOWING;
    private Throwable failure;

    /** Starts the reader's thread and lets it come to rest. */
    public void start(Runnable body) {
        lock.lock();
        try {
            reader = Reader.RUNNING;
        } finally {
            lock.unlock();
        }
        Thread.ofVirtual().name("bulk-reader").start(() -> run(body));
        settle();
    }

    private void run(Runnable body) {
        Throwable thrown = null;
        try {
            body.run();
        } catch (RuntimeException | Error e) {
            thrown = e;
        }
        lock.lock();
        try {
            failure = thrown;
            reader = Reader.ENDED;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** Bytes that the reader has not taken. */
    long unreadBytes() {
        lock.lock();
        try {
            return unreadBytes;
        } finally {
            lock.unlock();
        }
    }

    /** Gives the reader bytes and lets it run until it rests. */
    void push(ByteBuffer bytes) {
        lock.lock();
        try {
            if (stream != Stream.FLOWING) {
                return;
            }
            unreadBytes += bytes.remaining();
            unread.add(bytes);
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        settle();
    }

    /** Nothing follows. */
    public void end() {
        lock.lock();
        try {
            if (stream == Stream.FLOWING) {
                stream = Stream.ENDED;
                changed.signalAll();
            }
        } finally {
            lock.unlock();
        }
        settle();
    }

    /** The reader posts a checkpoint; called on its own thread. */
    public void handedOver() {
        lock.lock();
        try {
            reader = Reader.HANDED_OVER;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** The checkpoint is applied: the reader may go on. */
    public void applied() {
        lock.lock();
        try {
            if (reader == Reader.HANDED_OVER) {
                reader = Reader.RUNNING;
                changed.signalAll();
            }
        } finally {
            lock.unlock();
        }
        settle();
    }

    /** Waits until the reader rests. */
    void settle() {
        lock.lock();
        try {
            long left = TimeUnit.SECONDS.toNanos(SETTLE_SECONDS);
            while (!atRest()) {
                if (left <= 0) {
                    throw new Violation(
                            Violation.Invariant.ENGINE,
                            "the bulk reader did not come to rest within "
                                    + SETTLE_SECONDS
                                    + " s; it is "
                                    + reader
                                    + ", the stream "
                                    + stream);
                }
                left = changed.awaitNanos(left);
            }
            if (failure != null) {
                Throwable thrown = failure;
                failure = null;
                throw new Violation(
                        Violation.Invariant.ENGINE, "the bulk reader died: " + thrown, thrown);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while the bulk reader ran", e);
        } finally {
            lock.unlock();
        }
    }

    private boolean atRest() {
        return switch (reader) {
            case ABSENT, HANDED_OVER, ENDED -> true;
            case RUNNING -> false;
            case READING -> unread.isEmpty() && stream == Stream.FLOWING;
        };
    }

    @Override
    public int read(ByteBuffer target) throws AsynchronousCloseException {
        lock.lock();
        try {
            while (reader == Reader.HANDED_OVER && stream != Stream.CLOSED) {
                changed.awaitUninterruptibly();
            }
            reader = Reader.READING;
            changed.signalAll();
            while (stream == Stream.FLOWING && unread.isEmpty()) {
                changed.awaitUninterruptibly();
            }
            reader = Reader.RUNNING;
            if (stream == Stream.CLOSED) {
                throw new AsynchronousCloseException();
            }
            if (unread.isEmpty()) {
                return -1;
            }
            ByteBuffer first = unread.peek();
            int count = Math.min(first.remaining(), target.remaining());
            target.put(first.slice(first.position(), count));
            first.position(first.position() + count);
            if (!first.hasRemaining()) {
                unread.remove();
            }
            unreadBytes -= count;
            return count;
        } finally {
            lock.unlock();
        }
    }

    @Override
    public boolean isOpen() {
        lock.lock();
        try {
            return stream != Stream.CLOSED;
        } finally {
            lock.unlock();
        }
    }

    /** Closed by the simulator's thread; the reader has ended when this returns. */
    @Override
    public void close() {
        lock.lock();
        try {
            stream = Stream.CLOSED;
            if (reader == Reader.HANDED_OVER) {
                reader = Reader.RUNNING;
            }
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        settle();
    }
}
