package holdfast.qemu.qmp;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A monitor that follows a script: a test writes both sides of the dialogue. */
final class FakeMonitor implements AutoCloseable {
    static final String GREETING =
            """
            {"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}\r
            """;
    private static final Pattern ID = Pattern.compile("\"id\":(\\d+)");

    /** What the server does with its one client. */
    interface Script {
        void play(FakeMonitor monitor) throws Exception;
    }

    final Path socket;
    private final Path folder;
    private final ServerSocketChannel listening;
    private final CompletableFuture<Void> played = new CompletableFuture<>();
    private SocketChannel client;
    private BufferedReader lines;
    private String lastId = "0";

    private FakeMonitor(Path folder) throws IOException {
        this.folder = folder;
        this.socket = folder.resolve("qmp");
        this.listening = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        listening.bind(UnixDomainSocketAddress.of(socket));
    }

    static FakeMonitor playing(Script script) throws IOException {
        FakeMonitor monitor = new FakeMonitor(Files.createTempDirectory("hf-qmp"));
        Thread.ofVirtual()
                .start(
                        () -> {
                            try (SocketChannel accepted = monitor.listening.accept()) {
                                monitor.client = accepted;
                                monitor.lines =
                                        new BufferedReader(
                                                new InputStreamReader(
                                                        Channels.newInputStream(accepted),
                                                        StandardCharsets.UTF_8));
                                script.play(monitor);
                                monitor.played.complete(null);
                            } catch (Throwable e) {
                                monitor.played.completeExceptionally(e);
                            }
                        });
        return monitor;
    }

    /** Greets and answers the negotiation. */
    void welcome() throws IOException {
        write(GREETING);
        hear("qmp_capabilities");
        answer("{}");
    }

    /** Reads the next command, which must contain {@code text}. */
    String hear(String text) throws IOException {
        String line = lines.readLine();
        if (line == null || !line.contains(text)) {
            throw new AssertionError("found " + line + ", expected " + text);
        }
        Matcher id = ID.matcher(line);
        lastId = id.find() ? id.group(1) : "none";
        return line;
    }

    String lastId() {
        return lastId;
    }

    void answer(String value) throws IOException {
        answerTo(Long.parseLong(lastId), value);
    }

    void answerTo(long id, String value) throws IOException {
        write("{\"return\": " + value + ", \"id\": " + id + "}\r\n");
    }

    /** Reads exactly {@code text}, which need not be a line. */
    void awaitBytes(String text) throws IOException {
        char[] found = new char[text.length()];
        int count = 0;
        while (count < found.length) {
            int more = lines.read(found, count, found.length - count);
            if (more < 0) {
                break;
            }
            count += more;
        }
        if (!new String(found, 0, count).equals(text)) {
            throw new AssertionError("found " + new String(found, 0, count) + ", expected " + text);
        }
    }

    void write(String text) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
        while (bytes.hasRemaining()) {
            client.write(bytes);
        }
    }

    /** Blocks until the client has closed. */
    void untilClosed() throws IOException {
        while (lines.readLine() != null) {}
    }

    /** Fails if the script did. */
    void finished() throws Exception {
        played.get(5, TimeUnit.SECONDS);
    }

    @Override
    public void close() throws IOException {
        listening.close();
        Files.deleteIfExists(socket);
        Files.deleteIfExists(folder);
    }
}
