package holdfast.cli.demo;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Stream;

/**
 * The demo's outside world, a program of its own on the client's host: writes numbered keys to
 * Redis over one TCP connection, at most {@value #WINDOW} unanswered, and remembers when each was
 * acknowledged. A line on standard input ends the writing; then it reads every acknowledged key
 * back over the same connection and prints one line of results.
 *
 * <p>Times are {@link System#nanoTime()}, which all processes of a Linux host share.
 */
final class WriterClient {
    private static final int WINDOW = 16;
    private static final int REPORT_MILLIS = 100;
    private static final int CONNECT_MILLIS = 500;

    /** Longer than any fail-over: a connection that is silent for so long is lost. */
    private static final int SILENCE_MILLIS = 20_000;

    /** Keys read back in one go: each batch waits for an epoch to be committed. */
    private static final int READ_BATCH = 4_000;

    /** What was on its way when a host died arrives within this time. */
    private static final long SOON_NANOS = 1_000_000_000L;

    /** Then they are written anew: more would not fit a guest of 256 MiB. */
    private static final int KEYS = 1_000_000;

    /** What is remembered of each bounds them; then nothing more is written. */
    private static final int WRITES_MAX = 16_000_000;

    private final Socket socket = new Socket();
    private final PrintStream report;
    private long[] ackedAtNanos = new long[1 << 16];
    private volatile int acked;
    private final CountDownLatch stopped = new CountDownLatch(1);
    private volatile boolean stopping;
    private volatile List<Long> strickenAtNanos = List.of();

    private WriterClient(PrintStream report) {
        this.report = report;
    }

    /** {@code arguments}: address and port of Redis. */
    public static void main(String[] arguments) throws IOException, InterruptedException {
        WriterClient client = new WriterClient(System.out);
        client.connect(arguments[0], Integer.parseInt(arguments[1]));
        client.writeUntilStopped();
    }

    /** Waits for the guest to come up, then keeps the connection on which it answered. */
    private void connect(String address, int port) throws IOException, InterruptedException {
        long deadline = System.nanoTime() + 90_000_000_000L;
        while (true) {
            Socket attempt = new Socket();
            try {
                attempt.connect(new InetSocketAddress(address, port), CONNECT_MILLIS);
                attempt.close();
                break;
            } catch (IOException e) {
                attempt.close();
                if (System.nanoTime() > deadline) {
                    throw e;
                }
                // Redis is not listening yet; there is no event to wait for on this side of the
                // network.
                Thread.sleep(50);
            }
        }
        socket.setTcpNoDelay(true);
        socket.setSoTimeout(SILENCE_MILLIS);
        socket.connect(new InetSocketAddress(address, port), SILENCE_MILLIS);
        say("connected");
    }

    private void writeUntilStopped() throws IOException, InterruptedException {
        Thread stopper =
                Thread.ofVirtual()
                        .start(
                                () -> {
                                    try (BufferedReader in =
                                            new BufferedReader(
                                                    new InputStreamReader(
                                                            System.in, StandardCharsets.UTF_8))) {
                                        stopAt(in.readLine());
                                    } catch (IOException e) {
                                        report.println("failed " + e);
                                    }
                                    stopping = true;
                                    stopped.countDown();
                                });
        String failure = "";
        int written = 0;
        try {
            written = write();
        } catch (IOException e) {
            failure = e.toString();
        }
        int lost = failure.isEmpty() ? countLost() : -1;
        List<Long> stricken = strickenAtNanos;
        Gap gap =
                stricken.isEmpty()
                        ? longestGap(Long.MIN_VALUE, Long.MAX_VALUE)
                        : longestGapSoonAfter(stricken.getFirst());
        Gap second = stricken.size() < 2 ? new Gap(0, 0) : longestGapSoonAfter(stricken.get(1));
        say(
                "result acked=%d written=%d lost=%d gapStart=%d gapEnd=%d secondGapEnd=%d failure=%s"
                        .formatted(
                                acked,
                                written,
                                lost,
                                gap.startNanos,
                                gap.endNanos,
                                second.endNanos,
                                failure));
        stopper.interrupt();
    }

    private static int key(int write) {
        return (write - 1) % KEYS + 1;
    }

    private int write() throws IOException, InterruptedException {
        InputStream in = socket.getInputStream();
        OutputStream out = socket.getOutputStream();
        byte[] answers = new byte[64 * 1024];
        int sent = 0;
        int inLine = 0;
        long reported = System.nanoTime();
        while (!stopping || acked < sent) {
            StringBuilder requests = new StringBuilder();
            while (!stopping && sent - acked < WINDOW && sent < WRITES_MAX) {
                sent++;
                requests.append("SET w:").append(key(sent)).append(' ').append(sent).append("\r\n");
            }
            if (acked == sent) {
                // All that may be written was: no answer will come.
                stopped.await();
                continue;
            }
            if (!requests.isEmpty()) {
                out.write(requests.toString().getBytes(StandardCharsets.US_ASCII));
            }
            int read = in.read(answers);
            if (read < 0) {
                throw new IOException(
                        "the connection was closed after " + acked + " acknowledged writes");
            }
            long now = System.nanoTime();
            for (int i = 0; i < read; i++) {
                if ("+OK\r\n".charAt(inLine) != answers[i]) {
                    throw new IOException(
                            "unexpected answer "
                                    + new String(answers, 0, read, StandardCharsets.US_ASCII));
                }
                inLine++;
                if (inLine == 5) {
                    inLine = 0;
                    acknowledged(now);
                }
            }
            if (now - reported > REPORT_MILLIS * 1_000_000L) {
                reported = now;
                say("acked " + acked);
            }
        }
        return sent;
    }

    private void acknowledged(long nowNanos) {
        if (acked == ackedAtNanos.length) {
            ackedAtNanos = Arrays.copyOf(ackedAtNanos, 2 * acked);
        }
        ackedAtNanos[acked] = nowNanos;
        acked = acked + 1;
    }

    /**
     * Reads every key back, which must have its last acknowledged write; returns how many are
     * missing or wrong.
     */
    private int countLost() throws IOException {
        OutputStream out = socket.getOutputStream();
        BufferedReader in =
                new BufferedReader(
                        new InputStreamReader(socket.getInputStream(), StandardCharsets.US_ASCII));
        int lost = 0;
        for (int first = Math.max(1, acked - KEYS + 1); first <= acked; first += READ_BATCH) {
            int end = Math.min(acked, first + READ_BATCH - 1);
            StringBuilder requests = new StringBuilder();
            for (int n = first; n <= end; n++) {
                requests.append("GET w:").append(key(n)).append("\r\n");
            }
            out.write(requests.toString().getBytes(StandardCharsets.US_ASCII));
            for (int n = first; n <= end; n++) {
                String length = in.readLine();
                if (length == null) {
                    throw new IOException("the connection was closed while reading back");
                }
                if (length.equals("$-1") || !Integer.toString(n).equals(in.readLine())) {
                    lost++;
                }
            }
        }
        return lost;
    }

    /**
     * {@code stop NANOS...}: hosts were killed then. Anything else, and the end of input, only
     * stops: then the silence told is the longest of all.
     */
    private void stopAt(String command) {
        if (command != null && command.startsWith("stop ")) {
            strickenAtNanos =
                    Stream.of(command.substring("stop ".length()).split(" "))
                            .map(Long::valueOf)
                            .toList();
        }
    }

    private record Gap(long startNanos, long endNanos) {}

    /**
     * Of the silences that ended after the host was killed, those that began soon: answers that
     * were on their way then still came in; later ones have other reasons.
     */
    private Gap longestGapSoonAfter(long strickenNanos) {
        return longestGap(strickenNanos, strickenNanos + SOON_NANOS);
    }

    /** Of the silences that ended after {@code endedAfterNanos} and began before the other time. */
    private Gap longestGap(long endedAfterNanos, long begunBeforeNanos) {
        Gap longest = new Gap(0, 0);
        for (int i = 1; i < acked; i++) {
            if (ackedAtNanos[i] > endedAfterNanos
                    && ackedAtNanos[i - 1] < begunBeforeNanos
                    && ackedAtNanos[i] - ackedAtNanos[i - 1]
                            > longest.endNanos - longest.startNanos) {
                longest = new Gap(ackedAtNanos[i - 1], ackedAtNanos[i]);
            }
        }
        return longest;
    }

    private void say(String line) {
        report.println(line);
        report.flush();
    }
}
