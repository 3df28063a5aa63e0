package holdfast.node.nbd;

import holdfast.wire.ProtocolException;
import holdfast.wire.TruncatedStreamException;
import holdfast.wire.nbd.HandshakeCodec;
import holdfast.wire.nbd.TransmissionCodec;

import tlschannel.HeapBufferAllocator;
import tlschannel.ServerTlsChannel;

import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.channels.ByteChannel;
import java.nio.channels.SocketChannel;

/**
 * One client's bytes, read ahead and written in batches. One thread uses it; any may ask how long
 * it waits, and close the socket below it.
 *
 * <p>Whoever reads more than is here first sends what is there: a client never waits for a reply
 * while this side waits for the client.
 */
final class NbdStream implements AutoCloseable {
    /** What one read asks for at least: several small requests, or the start of a large one. */
    private static final int READ_AHEAD_BYTES = 128 * 1024;

    /** Replies are sent at the latest when this much has gathered. */
    private static final int BATCH_BYTES = 256 * 1024;

    /** In both of the fields below: it is not so. */
    private static final long NEITHER = 0;

    private final SocketChannel socket;
    private final Arena arena = Arena.ofShared();
    private ByteChannel channel;
    private ByteBuffer in;
    private ByteBuffer out;
    private ByteBuffer inView;
    private ByteBuffer outView;
    private long received;
    private volatile long waitingSinceNanos = NEITHER;
    private volatile long workingSinceNanos = NEITHER;

    NbdStream(SocketChannel socket) {
        this.socket = socket;
        this.channel = socket;
        in = allocate(HandshakeCodec.MESSAGE_BYTES_MAX).limit(0);
        out = allocate(HandshakeCodec.MESSAGE_BYTES_MAX);
    }

    private ByteBuffer allocate(int bytes) {
        return arena.allocate(bytes, 4096).asByteBuffer();
    }

    /** From here on there is room for pieces of data. */
    void growForData() throws IOException {
        flush();
        ByteBuffer larger =
                allocate(
                        NbdServer.PIECE_BYTES + READ_AHEAD_BYTES + TransmissionCodec.REQUEST_BYTES);
        in = larger.put(in).flip();
        out = allocate(NbdServer.PIECE_BYTES + TransmissionCodec.REPLY_BYTES_MAX + BATCH_BYTES);
        inView = in.duplicate();
        outView = out.duplicate();
    }

    /**
     * @throws ProtocolException if the client has said something after asking for TLS: it was not
     *     protected, and must not count as if it were
     */
    void startTls(NbdTls tls) throws IOException {
        flush();
        if (in.hasRemaining()) {
            throw new ProtocolException(
                    "nbd",
                    offset(),
                    "bytes between STARTTLS and TLS",
                    "none",
                    Integer.toString(in.remaining()));
        }
        ServerTlsChannel secure =
                ServerTlsChannel.newBuilder(socket, tls.context())
                        .withEngineFactory(_ -> tls.engine())
                        .withPlainBufferAllocator(new HeapBufferAllocator())
                        .withEncryptedBufferAllocator(new HeapBufferAllocator())
                        .build();
        channel = secure;
        waiting();
        secure.handshake();
        waitingSinceNanos = NEITHER;
    }

    /** Of the next byte that {@link #in()} gives, from the start of the connection. */
    long offset() {
        return received - in.remaining();
    }

    /** What was received and not yet used, from position to limit. */
    ByteBuffer in() {
        return in;
    }

    /** Where replies are appended; {@link #room} first. */
    ByteBuffer out() {
        return out;
    }

    /** Nanoseconds since the client should have sent or taken something; 0 if it need not. */
    long waitedNanos(long nowNanos) {
        long since = waitingSinceNanos;
        return since == NEITHER ? 0 : nowNanos - since;
    }

    /** Nanoseconds since this side had what it needs for the next reply; 0 if it has not. */
    long workedNanos(long nowNanos) {
        long since = workingSinceNanos;
        return since == NEITHER ? 0 : nowNanos - since;
    }

    /**
     * Waits for a next request without a limit of time.
     *
     * @return false at the end of the stream
     */
    boolean awaitNext() throws IOException {
        if (!in.hasRemaining()) {
            flush();
            workingSinceNanos = NEITHER;
            if (receive(READ_AHEAD_BYTES) < 0) {
                return false;
            }
        }
        working();
        return true;
    }

    /** Has {@code bytes} in {@link #in()}, which must have room for them. */
    void need(int bytes, String unit) throws IOException {
        if (in.remaining() >= bytes) {
            return;
        }
        flush();
        waiting();
        while (in.remaining() < bytes) {
            int missing = bytes - in.remaining();
            // No byte beyond a large payload: the next request starts in an empty buffer, and
            // nothing is moved.
            int most = bytes > READ_AHEAD_BYTES ? missing : READ_AHEAD_BYTES;
            if (in.limit() + missing > in.capacity()) {
                in.compact().flip();
            }
            if (receive(most) < 0) {
                throw new TruncatedStreamException("nbd", offset(), unit, bytes, in.remaining());
            }
            waiting();
        }
        working();
    }

    private int receive(int most) throws IOException {
        if (!in.hasRemaining()) {
            in.clear().limit(0);
        }
        int start = in.position();
        int end = in.limit();
        in.limit(Math.min(in.capacity(), end + most)).position(end);
        try {
            int count = channel.read(in);
            received += Math.max(0, count);
            return count;
        } finally {
            in.limit(in.position()).position(start);
        }
    }

    /** A view of the next {@code bytes} of {@link #in()}, which are used up by this. */
    ByteBuffer takePayload(int bytes) {
        int start = in.position();
        in.position(start + bytes);
        return inView.limit(start + bytes).position(start);
    }

    /** Makes room for {@code bytes} in {@link #out()}. */
    void room(int bytes) throws IOException {
        if (out.remaining() < bytes) {
            flush();
        }
    }

    /** A view of {@code bytes} that lie {@code ahead} of the position of {@link #out()}. */
    ByteBuffer dataAhead(int ahead, int bytes) {
        int start = out.position() + ahead;
        return outView.limit(start + bytes).position(start);
    }

    /** Sends when it is worth it. */
    void flushBatch() throws IOException {
        if (out.position() >= BATCH_BYTES) {
            flush();
        }
    }

    /** Sends all there is. */
    void flush() throws IOException {
        if (out.position() == 0) {
            return;
        }
        out.flip();
        try {
            while (out.hasRemaining()) {
                waiting();
                if (channel.write(out) < 0) {
                    throw new EOFException("the client takes no more replies");
                }
            }
        } finally {
            working();
            out.clear();
        }
    }

    private void waiting() {
        workingSinceNanos = NEITHER;
        waitingSinceNanos = now();
    }

    private void working() {
        waitingSinceNanos = NEITHER;
        workingSinceNanos = now();
    }

    private static long now() {
        long now = System.nanoTime();
        return now == NEITHER ? 1 : now;
    }

    /** Ends TLS in order, then the connection, then frees the buffers. */
    @Override
    public void close() throws IOException {
        try {
            waiting();
            channel.close();
        } finally {
            waitingSinceNanos = NEITHER;
            socket.close();
            arena.close();
        }
    }
}
