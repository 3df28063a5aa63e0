package holdfast.bench;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Clients of Redis, each with one connection and one request on its way: {@code SET} of a short
 * value to one of a thousand keys, the next as soon as the answer is there.
 */
final class RespLoad {
    private static final int KEYS = 1000;
    private static final int SILENCE_MILLIS = 10_000;
    private static final byte[] OK = "+OK\r\n".getBytes(StandardCharsets.US_ASCII);

    private RespLoad() {}

    /** Requests answered per second; the first fifth of the time is not counted. */
    static double requestsPerSecond(InetSocketAddress redis, int clients, double seconds)
            throws IOException, InterruptedException {
        AtomicLong answered = new AtomicLong();
        AtomicReference<IOException> failure = new AtomicReference<>();
        List<Socket> sockets = new ArrayList<>();
        List<Thread> threads = new ArrayList<>();
        try {
            for (int i = 0; i < clients; i++) {
                Socket socket = new Socket();
                sockets.add(socket);
                socket.setTcpNoDelay(true);
                socket.setSoTimeout(SILENCE_MILLIS);
                socket.connect(redis, SILENCE_MILLIS);
            }
            long end = System.nanoTime() + (long) (seconds * 1e9);
            for (Socket socket : sockets) {
                threads.add(
                        Thread.ofVirtual()
                                .name("resp-client")
                                .start(() -> ask(socket, end, answered, failure)));
            }
            TimeUnit.NANOSECONDS.sleep((long) (seconds * 1e9 / 5));
            long begin = System.nanoTime();
            long before = answered.get();
            for (Thread thread : threads) {
                thread.join();
            }
            double elapsed = (System.nanoTime() - begin) / 1e9;
            if (failure.get() != null) {
                throw failure.get();
            }
            return (answered.get() - before) / elapsed;
        } finally {
            for (Socket socket : sockets) {
                socket.close();
            }
        }
    }

    private static void ask(
            Socket socket, long end, AtomicLong answered, AtomicReference<IOException> failure) {
        try {
            InputStream in = socket.getInputStream();
            OutputStream out = socket.getOutputStream();
            for (int n = 0; System.nanoTime() < end; n++) {
                out.write(
                        ("SET bench:" + n % KEYS + " " + n + "\r\n")
                                .getBytes(StandardCharsets.US_ASCII));
                byte[] answer = in.readNBytes(OK.length);
                if (!java.util.Arrays.equals(answer, OK)) {
                    throw new IOException(
                            "Redis answered \""
                                    + new String(answer, StandardCharsets.US_ASCII)
                                    + "\", expected +OK");
                }
                answered.incrementAndGet();
            }
        } catch (IOException e) {
            failure.compareAndSet(null, e);
        }
    }
}
