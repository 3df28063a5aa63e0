package holdfast.node.link;

import java.io.IOException;
import java.net.SocketTimeoutException;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * Bounds blocking work on a channel: when the time is over the channel is closed, which ends
 * whatever blocks on it.
 */
final class ClosingDeadline implements AutoCloseable {
    private static final ScheduledThreadPoolExecutor TIMER =
            new ScheduledThreadPoolExecutor(
                    1, Thread.ofPlatform().name("link-deadlines").daemon().factory());

    static {
        TIMER.setRemoveOnCancelPolicy(true);
    }

    /** Work that may block on the channel. */
    @FunctionalInterface
    interface Work<T> {
        T run() throws IOException;
    }

    private final ScheduledFuture<?> closing;
    private volatile boolean passed;

    private ClosingDeadline(SocketChannel channel, Duration limit) {
        closing =
                TIMER.schedule(
                        () -> {
                            passed = true;
                            channel.close();
                            return null;
                        },
                        limit.toNanos(),
                        TimeUnit.NANOSECONDS);
    }

    /**
     * Does {@code work}.
     *
     * @throws SocketTimeoutException when {@code limit} passed; the channel is closed
     */
    static <T> T within(Duration limit, SocketChannel channel, String what, Work<T> work)
            throws IOException {
        try (ClosingDeadline deadline = new ClosingDeadline(channel, limit)) {
            try {
                return work.run();
            } catch (ClosedChannelException e) {
                if (deadline.passed) {
                    SocketTimeoutException timeout =
                            new SocketTimeoutException(
                                    what + ": nothing within " + limit.toMillis() + " ms");
                    timeout.initCause(e);
                    throw timeout;
                }
                throw e;
            }
        }
    }

    @Override
    public void close() {
        closing.cancel(false);
    }
}
