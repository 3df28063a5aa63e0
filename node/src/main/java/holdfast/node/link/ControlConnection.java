package holdfast.node.link;

import holdfast.qemu.linux.PauseThreads;
import holdfast.wire.ProtocolException;
import holdfast.wire.link.LinkCodec;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.LinkMessage.Close;
import holdfast.wire.link.LinkMessage.Heartbeat;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.util.ArrayDeque;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A CONTROL connection after its handshake. One thread with a selector does everything, so that
 * neither bulk data, nor a slow session, nor a peer that does not read delays a heartbeat or hides
 * a silence.
 */
final class ControlConnection {
    /** Bytes that wait for a peer that does not read; more mean that it is lost. */
    static final int QUEUED_BYTES_MAX = 4 << 20;

    /**
     * For the peer's first word: it may still open its other connections, which takes seconds where
     * its machine is busy, and nothing depends on the session yet.
     */
    private static final long FIRST_BEAT_NANOS = TimeUnit.SECONDS.toNanos(10);

    private static final long DOWN_SLACK_NANOS = TimeUnit.MILLISECONDS.toNanos(500);
    private static final long FOLLOWS_NANOS = TimeUnit.SECONDS.toNanos(1);
    private static final long DOWN_LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(20);

    /** Called on the connection's thread; must not block. */
    interface Listener {
        /** A frame other than HEARTBEAT and CLOSE. */
        void message(LinkMessage message);

        /** The peer is gone or silent; nothing follows. Once at most. */
        void lost(String reason);

        /** The peer sent what this protocol does not allow. */
        void violated(String reason);
    }

    /** What the connection is about to do. */
    private sealed interface Phase {
        /** Messages flow. */
        record Open() implements Phase {}

        /** What is queued still goes out, CLOSE last; then the peer's end is awaited. */
        record Closing(long untilNanos) implements Phase {}

        /** Over. */
        record Down(String reason) implements Phase {}
    }

    private final SocketChannel channel;
    private final Selector selector;
    private final String peer;
    private final long heartbeatNanos;
    private final long deadlineNanos;
    private final Listener listener;
    private final Thread thread;
    private final CountDownLatch down = new CountDownLatch(1);
    private final ReentrantLock lock = new ReentrantLock();
    private final ArrayDeque<ByteBuffer> queue = new ArrayDeque<>();
    private int queuedBytes;
    private volatile Phase phase = new Phase.Open();
    private Optional<String> goodbye = Optional.empty();
    private boolean framingLost;
    private boolean outputShut;
    private long received;
    private long sequence;
    private volatile long heardNanos;
    private long beatNanos;
    private ByteBuffer in = ByteBuffer.allocate(64 << 10);

    /**
     * @param channel past its handshake; owned from here on
     * @param peer the other node, for messages
     */
    ControlConnection(
            SocketChannel channel,
            String peer,
            int heartbeatMillis,
            int deadlineMillis,
            Listener listener)
            throws IOException {
        this.channel = channel;
        this.peer = peer;
        this.heartbeatNanos = TimeUnit.MILLISECONDS.toNanos(heartbeatMillis);
        this.deadlineNanos = TimeUnit.MILLISECONDS.toNanos(deadlineMillis);
        this.listener = listener;
        channel.configureBlocking(false);
        this.selector = Selector.open();
        this.thread =
                Thread.ofPlatform()
                        .name("link-control-" + peer)
                        .daemon()
                        .unstarted(PauseThreads.body(this::run));
    }

    void start() {
        thread.start();
    }

    Thread thread() {
        return thread;
    }

    /** Queues a message; never blocks. Ignored once the connection is down or closing. */
    void send(LinkMessage message) {
        ByteBuffer frame = LinkCodec.encode(message);
        lock.lock();
        try {
            if (!(phase instanceof Phase.Open)) {
                return;
            }
            enqueue(frame);
            if (queue.size() == 1 && writeNow(frame)) {
                return;
            }
        } finally {
            lock.unlock();
        }
        selector.wakeup();
    }

    /**
     * What nothing waits before leaves on the caller's thread, without a hand-over to the
     * connection's. Whether it left whole; what did not, and what failed, is the connection's.
     */
    private boolean writeNow(ByteBuffer frame) {
        try {
            queuedBytes -= channel.write(frame);
        } catch (IOException e) {
            return false;
        }
        if (frame.hasRemaining()) {
            return false;
        }
        queue.remove();
        return true;
    }

    private void enqueue(ByteBuffer frame) {
        queue.add(frame);
        queuedBytes += frame.remaining();
    }

    /**
     * Sends what is queued and CLOSE, waits until the peer ends its side too, and joins the thread;
     * all within the deadline. Idempotent.
     */
    void close(String reason) {
        ByteBuffer frame = LinkCodec.encode(new Close(LinkMessage.clip(reason)));
        lock.lock();
        try {
            if (phase instanceof Phase.Open) {
                enqueue(frame);
                phase = new Phase.Closing(System.nanoTime() + deadlineNanos);
            }
        } finally {
            lock.unlock();
        }
        selector.wakeup();
        Joining.join(thread, deadlineNanos + TimeUnit.SECONDS.toNanos(2));
    }

    /**
     * Waits until the connection is down, for as long as it takes to know that the peer lives: its
     * silence shows at the deadline, which may have begun with a heartbeat that was still on its
     * way, and on a busy machine later.
     */
    boolean awaitDown() {
        long start = System.nanoTime();
        while (!Joining.await(down, DOWN_LOOK_NANOS)) {
            long now = System.nanoTime();
            long heard = heardNanos;
            // Ahead of the clock for as long as the peer's first word is awaited.
            long since = heard - now > 0 ? heard : start;
            if (now - since >= deadlineNanos + heartbeatNanos + DOWN_SLACK_NANOS) {
                return false;
            }
        }
        return true;
    }

    /**
     * Whether it goes down, too, where another connection broke and nothing depends on why: that of
     * a process that died follows within a moment. One that does not is not waited for, as a guest
     * may stand still meanwhile.
     */
    boolean goesDownToo() {
        return Joining.await(down, FOLLOWS_NANOS);
    }

    boolean isDown() {
        return down.getCount() == 0;
    }

    private void run() {
        try (channel;
                selector) {
            SelectionKey key = channel.register(selector, SelectionKey.OP_READ);
            beatNanos = System.nanoTime();
            heardNanos = beatNanos + Math.max(0, FIRST_BEAT_NANOS - deadlineNanos);
            while (!(phase instanceof Phase.Down)) {
                turn(key);
            }
        } catch (IOException e) {
            goDown("the connection broke: " + e.getMessage());
        } catch (RuntimeException | Error e) {
            // Whatever it was, the session must not take this silence for a healthy peer.
            goDown("the link failed on this side: " + e);
        } finally {
            down.countDown();
        }
    }

    /**
     * Reads before it looks at the clock: a process that was itself stopped for a while finds its
     * peer's heartbeats first.
     */
    private void turn(SelectionKey key) throws IOException {
        if (selector.select(waitMillis()) > 0) {
            selector.selectedKeys().clear();
            receive();
        }
        if (phase instanceof Phase.Down) {
            return;
        }
        long now = System.nanoTime();
        if (phase instanceof Phase.Closing(long untilNanos) && now - untilNanos >= 0) {
            goDown("closed");
            return;
        }
        if (now - heardNanos >= deadlineNanos) {
            goDown(
                    "nothing was heard for "
                            + TimeUnit.NANOSECONDS.toMillis(now - heardNanos)
                            + " ms");
            return;
        }
        if (now - beatNanos >= 0) {
            beatNanos = Math.max(beatNanos + heartbeatNanos, now);
            send(new Heartbeat(sequence++));
        }
        transmit(key);
    }

    private long waitMillis() {
        long now = System.nanoTime();
        long next = Math.min(beatNanos, heardNanos + deadlineNanos);
        if (phase instanceof Phase.Closing(long untilNanos)) {
            next = Math.min(next, untilNanos);
        }
        // Select takes whole milliseconds, and 0 would wait for ever.
        return Math.max(1, TimeUnit.NANOSECONDS.toMillis(next - now));
    }

    private void transmit(SelectionKey key) throws IOException {
        lock.lock();
        try {
            while (!queue.isEmpty()) {
                ByteBuffer frame = queue.peek();
                queuedBytes -= channel.write(frame);
                if (frame.hasRemaining()) {
                    break;
                }
                queue.remove();
            }
            if (queuedBytes > QUEUED_BYTES_MAX) {
                throw new IOException(
                        "the peer does not read: " + queuedBytes + " bytes of messages wait");
            }
            key.interestOps(
                    queue.isEmpty()
                            ? SelectionKey.OP_READ
                            : SelectionKey.OP_READ | SelectionKey.OP_WRITE);
            if (queue.isEmpty() && phase instanceof Phase.Closing && !outputShut) {
                outputShut = true;
                channel.shutdownOutput();
            }
        } finally {
            lock.unlock();
        }
    }

    private void receive() throws IOException {
        while (true) {
            if (framingLost) {
                in.clear();
            }
            int count = channel.read(in);
            if (count < 0) {
                goDown(
                        goodbye.map(reason -> "it closed the link: " + reason)
                                .orElse("it ended the connection without a goodbye"));
                return;
            }
            if (count == 0) {
                return;
            }
            heardNanos = System.nanoTime();
            if (!framingLost) {
                in.flip();
                frames();
                in.compact();
                if (!in.hasRemaining()) {
                    in =
                            ByteBuffer.allocate(LinkCodec.HEADER_BYTES + LinkCodec.BODY_BYTES_MAX)
                                    .put(in.flip());
                }
            }
        }
    }

    /** Delivers every whole frame in the buffer. */
    private void frames() {
        while (in.remaining() >= LinkCodec.HEADER_BYTES) {
            LinkCodec.Header header;
            try {
                header = LinkCodec.decodeHeader(in.duplicate(), received);
            } catch (ProtocolException e) {
                // Where the next frame begins is unknown: nothing that follows can be trusted.
                framingLost = true;
                listener.violated(e.getMessage());
                return;
            }
            int frameBytes = LinkCodec.HEADER_BYTES + header.bodyBytes();
            if (in.remaining() < frameBytes) {
                return;
            }
            ByteBuffer body = in.slice(in.position() + LinkCodec.HEADER_BYTES, header.bodyBytes());
            in.position(in.position() + frameBytes);
            received += frameBytes;
            try {
                deliver(LinkCodec.decodeBody(header, body));
            } catch (ProtocolException e) {
                listener.violated(e.getMessage());
            }
        }
    }

    private void deliver(LinkMessage message) {
        switch (message) {
            case Heartbeat _ -> {}
            case Close(String reason) -> goodbye = Optional.of(reason);
            default -> listener.message(message);
        }
    }

    private void goDown(String reason) {
        boolean planned;
        lock.lock();
        try {
            if (phase instanceof Phase.Down) {
                return;
            }
            planned = phase instanceof Phase.Closing;
            phase = new Phase.Down(reason);
            queue.clear();
        } finally {
            lock.unlock();
        }
        if (!planned) {
            listener.lost("node " + peer + ": " + reason);
        }
    }
}
