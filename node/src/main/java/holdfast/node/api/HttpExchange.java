package holdfast.node.api;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.AsynchronousCloseException;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * One HTTP/1.1 request and its answer over a Unix socket, for a process that lives for one of them:
 * the JDK's own client knows no Unix sockets, and a library would cost more start-up time than the
 * request takes. One thread.
 */
final class HttpExchange implements AutoCloseable {
    private static final int HEAD_BYTES_MAX = 16 << 10;

    /**
     * An answer without a length ends with its connection; what is in it says whether it is whole.
     */
    private static final long TO_THE_END = -1;

    private final SocketChannel channel;
    private final InputStream in;
    private final Watchdog watchdog;
    private int status;
    private long bodyBytesLeft = TO_THE_END;
    private boolean chunked;

    /**
     * Connects and arms the watch: whenever the other side is silent for {@code silenceMillis}, the
     * exchange fails.
     */
    HttpExchange(Path socket, long silenceMillis) throws IOException {
        channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            channel.connect(UnixDomainSocketAddress.of(socket));
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
        in = new BufferedInputStream(Channels.newInputStream(channel), 16 << 10);
        watchdog = new Watchdog(channel, silenceMillis);
        watchdog.start();
    }

    /** Sends the request and reads the answer's head. */
    int request(String method, String path, byte[] body) throws IOException {
        String head =
                method
                        + " "
                        + path
                        + " HTTP/1.1\r\n"
                        + "Host: holdfast\r\n"
                        + "Connection: close\r\n"
                        + "Content-Type: application/json\r\n"
                        + "Content-Length: "
                        + body.length
                        + "\r\n\r\n";
        ByteBuffer[] buffers = {
            ByteBuffer.wrap(head.getBytes(StandardCharsets.UTF_8)), ByteBuffer.wrap(body)
        };
        try {
            while (buffers[0].hasRemaining() || buffers[1].hasRemaining()) {
                channel.write(buffers);
            }
            readHead();
        } catch (AsynchronousCloseException e) {
            throw watchdog.explain(e);
        }
        return status;
    }

    /** All of the answer's body. */
    byte[] body() throws IOException {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (int octet = read(); octet >= 0; octet = read()) {
            append(all, octet);
        }
        return all.toByteArray();
    }

    /** The next line of the answer's body without its end, or null after the last. */
    byte[] line() throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        for (int octet = read(); octet >= 0; octet = read()) {
            if (octet == '\n') {
                return line.toByteArray();
            }
            append(line, octet);
        }
        return line.size() == 0 ? null : line.toByteArray();
    }

    private static void append(ByteArrayOutputStream to, int octet) throws IOException {
        if (to.size() == ApiMessage.BODY_BYTES_MAX) {
            throw new IOException(
                    "the daemon's answer is longer than " + ApiMessage.BODY_BYTES_MAX + " bytes");
        }
        to.write(octet);
    }

    private int read() throws IOException {
        try {
            if (chunked && bodyBytesLeft == 0) {
                nextChunk();
            }
            if (bodyBytesLeft == 0) {
                return -1;
            }
            if (bodyBytesLeft == TO_THE_END) {
                return octetOrEnd();
            }
            int octet = octet();
            bodyBytesLeft--;
            if (chunked && bodyBytesLeft == 0) {
                headLine();
            }
            return octet;
        } catch (AsynchronousCloseException e) {
            throw watchdog.explain(e);
        }
    }

    private void nextChunk() throws IOException {
        String size = headLine();
        int end = size.indexOf(';');
        bodyBytesLeft = number(end < 0 ? size : size.substring(0, end), 16);
        if (bodyBytesLeft == 0) {
            chunked = false;
        }
    }

    private void readHead() throws IOException {
        String first = headLine();
        String[] words = first.split(" ", 3);
        if (words.length < 2 || !words[0].equals("HTTP/1.1")) {
            throw new IOException("expected an HTTP/1.1 answer, found \"" + first + "\"");
        }
        status = (int) number(words[1], 10);
        for (String line = headLine(); !line.isEmpty(); line = headLine()) {
            int colon = line.indexOf(':');
            String name =
                    colon < 0 ? line : line.substring(0, colon).strip().toLowerCase(Locale.ROOT);
            String value = line.substring(colon + 1).strip();
            switch (name) {
                case "content-length" -> bodyBytesLeft = number(value, 10);
                case "transfer-encoding" -> {
                    chunked = true;
                    bodyBytesLeft = 0;
                }
                default -> {
                    // Other headers say nothing that we act on.
                }
            }
        }
    }

    private static long number(String text, int radix) throws IOException {
        try {
            long value = Long.parseLong(text.strip(), radix);
            if (value >= 0 && value <= Integer.MAX_VALUE) {
                return value;
            }
        } catch (NumberFormatException e) {
            throw new IOException(
                    "expected a number in the head of an HTTP answer, found \"" + text + "\"", e);
        }
        throw new IOException("a number in the head of an HTTP answer is out of range: " + text);
    }

    private String headLine() throws IOException {
        StringBuilder line = new StringBuilder();
        for (int octet = octet(); octet != '\n'; octet = octet()) {
            if (line.length() == HEAD_BYTES_MAX) {
                throw new IOException(
                        "a line in the head of an HTTP answer is longer than "
                                + HEAD_BYTES_MAX
                                + " bytes");
            }
            line.append((char) octet);
        }
        int length = line.length();
        return length > 0 && line.charAt(length - 1) == '\r'
                ? line.substring(0, length - 1)
                : line.toString();
    }

    private int octet() throws IOException {
        int octet = octetOrEnd();
        if (octet < 0) {
            throw new EOFException("the daemon closed the connection in the middle of its answer");
        }
        return octet;
    }

    private int octetOrEnd() throws IOException {
        int octet = in.read();
        watchdog.heard();
        return octet;
    }

    @Override
    public void close() throws IOException {
        watchdog.end();
        channel.close();
    }

    /**
     * Closes the channel after a silence: a blocking read of a channel has no time limit of its
     * own.
     */
    private static final class Watchdog implements Runnable {
        private final SocketChannel channel;
        private final long silenceNanos;
        private volatile long heardNanos = System.nanoTime();
        private volatile boolean ended;
        private volatile boolean fired;
        private Thread thread;

        Watchdog(SocketChannel channel, long silenceMillis) {
            this.channel = channel;
            this.silenceNanos = TimeUnit.MILLISECONDS.toNanos(silenceMillis);
        }

        void start() {
            thread = Thread.ofPlatform().daemon().name("api-watchdog").start(this);
        }

        void heard() {
            heardNanos = System.nanoTime();
        }

        void end() {
            ended = true;
            LockSupport.unpark(thread);
        }

        @Override
        public void run() {
            while (!ended) {
                long left = silenceNanos - (System.nanoTime() - heardNanos);
                if (left > 0) {
                    LockSupport.parkNanos(this, left);
                    continue;
                }
                fired = true;
                try {
                    channel.close();
                } catch (IOException e) {
                    throw new java.io.UncheckedIOException(e);
                }
                return;
            }
        }

        IOException explain(AsynchronousCloseException e) {
            return fired
                    ? new IOException(
                            "the daemon said nothing for "
                                    + TimeUnit.NANOSECONDS.toMillis(silenceNanos)
                                    + " ms",
                            e)
                    : e;
        }
    }
}
