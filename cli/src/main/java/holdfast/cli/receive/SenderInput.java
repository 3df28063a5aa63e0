package holdfast.cli.receive;

import java.io.IOException;
import java.io.InputStream;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * What the sender sends, with a deadline for every wait, which standard input does not have. A
 * thread of its own reads ahead by a few chunks; it is a daemon and not joined, for nothing but the
 * sender or the end of the process ends a read of standard input.
 */
final class SenderInput extends InputStream {
    /** Nothing came in time. */
    static final class SilentException extends IOException {
        private SilentException(String message) {
            super(message);
        }
    }

    /** This process was told to end. */
    static final class StoppedException extends IOException {
        private StoppedException(String message) {
            super(message);
        }
    }

    private static final int CHUNK_BYTES = 1 << 18;
    private static final int CHUNKS_MAX = 4;

    private final InputStream source;
    private final Duration idle;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final ArrayDeque<byte[]> chunks = new ArrayDeque<>();
    private boolean sourceEnded;
    private IOException sourceFailure;
    private String stopReason;
    private byte[] current = {};
    private int position;

    private SenderInput(InputStream source, Duration idle) {
        this.source = source;
        this.idle = idle;
    }

    /**
     * Starts to read.
     *
     * @param idle how long {@link #read} waits for the next byte
     */
    static SenderInput start(InputStream source, Duration idle) {
        SenderInput input = new SenderInput(source, idle);
        Thread.ofPlatform().name("sender-reader").daemon().start(input::readAhead);
        return input;
    }

    private void readAhead() {
        byte[] buffer = new byte[CHUNK_BYTES];
        try {
            while (true) {
                int bytes = source.read(buffer);
                if (bytes < 0) {
                    ended(null);
                    return;
                }
                arrived(Arrays.copyOf(buffer, bytes));
            }
        } catch (IOException e) {
            ended(e);
        } catch (InterruptedException e) {
            ended(new IOException("the reading thread was interrupted", e));
        }
    }

    private void arrived(byte[] chunk) throws InterruptedException {
        lock.lock();
        try {
            // No deadline: a sender that is ahead of our disk waits like any other writer.
            while (chunks.size() == CHUNKS_MAX) {
                changed.await();
            }
            chunks.add(chunk);
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    private void ended(IOException failure) {
        lock.lock();
        try {
            sourceEnded = true;
            sourceFailure = failure;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** Lets whoever reads, now or later, meet a {@link StoppedException}. From any thread. */
    void stop(String reason) {
        lock.lock();
        try {
            stopReason = reason;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    @Override
    public int read() throws IOException {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xFF;
    }

    @Override
    public int read(byte[] target, int offset, int length) throws IOException {
        if (length == 0) {
            return 0;
        }
        if (position == current.length && !nextChunk()) {
            return -1;
        }
        int bytes = Math.min(length, current.length - position);
        System.arraycopy(current, position, target, offset, bytes);
        position += bytes;
        return bytes;
    }

    private boolean nextChunk() throws IOException {
        lock.lock();
        try {
            long left = idle.toNanos();
            while (true) {
                if (stopReason != null) {
                    throw new StoppedException(stopReason);
                }
                byte[] chunk = chunks.poll();
                if (chunk != null) {
                    current = chunk;
                    position = 0;
                    changed.signalAll();
                    return true;
                }
                if (sourceFailure != null) {
                    throw sourceFailure;
                }
                if (sourceEnded) {
                    return false;
                }
                if (left <= 0) {
                    throw new SilentException(
                            "the sender sent nothing for "
                                    + TimeUnit.NANOSECONDS.toSeconds(idle.toNanos())
                                    + " s (--timeout)");
                }
                left = changed.awaitNanos(left);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new StoppedException("interrupted");
        } finally {
            lock.unlock();
        }
    }
}
