package holdfast.node.link;

import holdfast.wire.link.ConnectionKind;
import holdfast.wire.link.LinkCodec;
import holdfast.wire.link.LinkMessage;

import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Stands between two nodes and passes on what they say, up to a place in their conversation: there
 * it holds, or cuts. So a test waits for a step of the protocol, never for a time.
 */
public final class FrameProxy implements AutoCloseable {
    /** The pseudo message of a BULK connection: all its bytes behind the handshake. */
    public static final String STREAM = "STREAM";

    /** Which way bytes go. */
    public enum Way {
        /** From who connects to who accepts. */
        THERE,
        BACK
    }

    /** What happens at the place. */
    public enum Act {
        /** Nothing; the place that was named after it counts from here on. */
        PASS,
        /** Bytes of this connection and way wait until {@link #release} or {@link #cut}. */
        HOLD,
        /** This connection ends in both directions. */
        CUT_ONE,
        /** All of them end. */
        CUT_ALL
    }

    /**
     * A place in the conversation, met once.
     *
     * @param message its name, as {@link Handshake#name} has it, or {@link #STREAM}
     * @param offset how many bytes of the frame, header included, have passed; -1 for all of them
     */
    public record Place(ConnectionKind kind, Way way, String message, long offset, Act act) {}

    /** A frame that went by. */
    public record Seen(ConnectionKind kind, Way way, String message, int bytes) {}

    private static final int LIMIT_SECONDS = 60;

    private final ServerSocket server;
    private final InetSocketAddress target;
    private final List<Socket> sockets = new CopyOnWriteArrayList<>();
    private final List<Seen> seen = new CopyOnWriteArrayList<>();
    private final Map<Way, AtomicInteger> streamBytes =
            new ConcurrentHashMap<>(
                    Map.of(Way.THERE, new AtomicInteger(), Way.BACK, new AtomicInteger()));
    private volatile Armed armed = new Armed(List.of());

    private static final class Armed {
        final Optional<Place> place;
        final List<Place> then;
        final CountDownLatch reached = new CountDownLatch(1);
        final CountDownLatch released = new CountDownLatch(1);

        Armed(List<Place> places) {
            this.place = places.stream().findFirst();
            this.then = places.isEmpty() ? List.of() : places.subList(1, places.size());
        }
    }

    public FrameProxy(String listen, InetSocketAddress target) throws IOException {
        this.server = new ServerSocket(0, 50, InetAddress.getByName(listen));
        this.target = target;
        Thread.ofVirtual().name("proxy").start(this::accept);
    }

    public int port() {
        return server.getLocalPort();
    }

    /** Forgets earlier places; the second of these counts when the first was met, and so on. */
    public void arm(Place... places) {
        Armed before = armed;
        seen.clear();
        streamBytes.values().forEach(bytes -> bytes.set(0));
        armed = new Armed(List.of(places));
        before.released.countDown();
    }

    /** Frames that went by whole since the last place was armed. */
    public List<Seen> seen() {
        return List.copyOf(seen);
    }

    /** Bytes that went by on BULK connections since the last place was armed. */
    public int streamBytes(Way way) {
        return streamBytes.get(way).get();
    }

    public boolean isReached() {
        return armed.reached.getCount() == 0;
    }

    public void awaitReached() throws InterruptedException {
        if (!armed.reached.await(LIMIT_SECONDS, TimeUnit.SECONDS)) {
            throw new AssertionError(
                    "not within " + LIMIT_SECONDS + " s: " + armed.place + "; seen " + seen);
        }
    }

    /** What waits goes on. */
    public void release() {
        armed.released.countDown();
    }

    /** All connections end, and what waited with them. */
    public void cut() {
        for (Socket socket : sockets) {
            close(socket);
        }
        sockets.clear();
        release();
    }

    private void accept() {
        while (!server.isClosed()) {
            try {
                Socket from = server.accept();
                Thread.ofVirtual().name("proxy-connection").start(() -> connect(from));
            } catch (IOException e) {
                return;
            }
        }
    }

    private void connect(Socket from) {
        Socket to = new Socket();
        sockets.add(from);
        sockets.add(to);
        try {
            from.setTcpNoDelay(true);
            to.connect(target, (int) TimeUnit.SECONDS.toMillis(5));
            to.setTcpNoDelay(true);
            DataInputStream in = new DataInputStream(from.getInputStream());
            byte[] hello = frame(in);
            LinkMessage.Hello said = (LinkMessage.Hello) decoded(hello);
            Line there = new Line(said.kind(), Way.THERE, from, to);
            there.pass(Handshake.name(said), hello, 0, hello.length);
            Thread.ofVirtual()
                    .name("proxy-back")
                    .start(() -> new Line(said.kind(), Way.BACK, to, from).run());
            there.run();
        } catch (IOException e) {
            close(from);
            close(to);
        }
    }

    private static byte[] frame(DataInputStream in) throws IOException {
        byte[] head = in.readNBytes(LinkCodec.HEADER_BYTES);
        if (head.length < LinkCodec.HEADER_BYTES) {
            throw new EOFException();
        }
        int bodyBytes = LinkCodec.decodeHeader(ByteBuffer.wrap(head), 0).bodyBytes();
        byte[] frame = java.util.Arrays.copyOf(head, head.length + bodyBytes);
        in.readFully(frame, head.length, bodyBytes);
        return frame;
    }

    private static LinkMessage decoded(byte[] frame) {
        ByteBuffer bytes = ByteBuffer.wrap(frame);
        LinkCodec.Header header = LinkCodec.decodeHeader(bytes, 0);
        return LinkCodec.decodeBody(
                header, ByteBuffer.wrap(frame, LinkCodec.HEADER_BYTES, header.bodyBytes()).slice());
    }

    /** What the guest wrote follows its frame; here it is a part of it. */
    private static byte[] withData(LinkMessage message, byte[] frame, DataInputStream in)
            throws IOException {
        if (!(message instanceof LinkMessage.DiskWrite write)) {
            return frame;
        }
        byte[] whole = java.util.Arrays.copyOf(frame, frame.length + write.bytes());
        in.readFully(whole, frame.length, write.bytes());
        return whole;
    }

    private final class Line {
        private final ConnectionKind kind;
        private final Way way;
        private final Socket from;
        private final Socket to;

        Line(ConnectionKind kind, Way way, Socket from, Socket to) {
            this.kind = kind;
            this.way = way;
            this.from = from;
            this.to = to;
        }

        void run() {
            try {
                DataInputStream in = new DataInputStream(from.getInputStream());
                if (kind == ConnectionKind.BULK) {
                    stream(in);
                } else {
                    while (true) {
                        byte[] frame = frame(in);
                        LinkMessage message = decoded(frame);
                        byte[] whole = withData(message, frame, in);
                        pass(Handshake.name(message), whole, 0, whole.length);
                    }
                }
            } catch (IOException e) {
                // The end of one end is that of the other, but what was said before arrives.
                shutDown(to);
            }
        }

        private void stream(DataInputStream in) throws IOException {
            if (way == Way.BACK) {
                byte[] welcome = frame(in);
                pass(Handshake.name(decoded(welcome)), welcome, 0, welcome.length);
            }
            byte[] chunk = new byte[64 << 10];
            long offset = 0;
            for (int count = in.read(chunk); count >= 0; count = in.read(chunk)) {
                pass(STREAM, chunk, offset, count);
                offset += count;
                streamBytes.get(way).addAndGet(count);
            }
            throw new EOFException();
        }

        /**
         * @param base where {@code bytes} begins in its frame
         */
        void pass(String message, byte[] bytes, long base, int count) throws IOException {
            OutputStream out = to.getOutputStream();
            Armed now = armed;
            Optional<Place> here =
                    now.place.filter(
                            place ->
                                    place.kind() == kind
                                            && place.way() == way
                                            && place.message().equals(message)
                                            && now.reached.getCount() > 0);
            if (here.isPresent()) {
                long offset = here.get().offset();
                if (offset >= base && offset < base + count) {
                    int before = (int) (offset - base);
                    out.write(bytes, 0, before);
                    act(now);
                    out.write(bytes, before, count - before);
                    seen.add(new Seen(kind, way, message, count));
                    return;
                }
                if (offset == -1 || !message.equals(STREAM) && offset >= base + count) {
                    out.write(bytes, 0, count);
                    seen.add(new Seen(kind, way, message, count));
                    act(now);
                    return;
                }
            }
            out.write(bytes, 0, count);
            if (!message.equals(STREAM)) {
                seen.add(new Seen(kind, way, message, count));
            }
        }

        private void act(Armed now) throws IOException {
            if (!now.then.isEmpty()) {
                armed = new Armed(now.then);
            }
            now.reached.countDown();
            switch (now.place.orElseThrow().act()) {
                case PASS -> {}
                case HOLD -> {
                    try {
                        if (!now.released.await(LIMIT_SECONDS, TimeUnit.SECONDS)) {
                            throw new IOException("nobody let it go on");
                        }
                    } catch (InterruptedException e) {
                        throw new IOException("interrupted", e);
                    }
                }
                case CUT_ONE -> {
                    close(from);
                    close(to);
                    throw new IOException("cut");
                }
                case CUT_ALL -> {
                    cut();
                    throw new IOException("cut");
                }
            }
        }
    }

    private static void shutDown(Socket socket) {
        try {
            socket.shutdownOutput();
        } catch (IOException e) {
            close(socket);
        }
    }

    private static void close(Socket socket) {
        try {
            socket.close();
        } catch (IOException e) {
            throw new AssertionError("closing a socket", e);
        }
    }

    @Override
    public void close() throws IOException {
        server.close();
        cut();
    }
}
