package holdfast.qemu.memory;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** The test's handle on a {@link WriterMain} process, which is nobody's child of ours. */
final class Writer implements AutoCloseable {
    private static final long START_MILLIS = 30_000;

    private final Path directory;
    private final long pid;
    private final SocketChannel socket;
    private final DataInputStream in;
    private final DataOutputStream out;

    private Writer(Path directory, long pid, SocketChannel socket, DataInputStream in) {
        this.directory = directory;
        this.pid = pid;
        this.socket = socket;
        this.in = in;
        this.out = new DataOutputStream(Channels.newOutputStream(socket));
    }

    static Writer start(MappedMemory memory, String... options) throws Exception {
        Path directory = Files.createTempDirectory("hf-writer-");
        Path address = directory.resolve("s");
        try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            server.bind(UnixDomainSocketAddress.of(address));
            List<String> command = detached(directory.resolve("log"), WriterMain.class);
            command.add(address.toString());
            command.add(memory.path().toString());
            command.addAll(List.of(options));
            run(command);
            SocketChannel socket = accept(server, directory);
            DataInputStream in = new DataInputStream(Channels.newInputStream(socket));
            return new Writer(directory, in.readLong(), socket, in);
        }
    }

    /**
     * The command line of a JVM that outlives the shell which starts it, so that it is a child of
     * init.
     */
    static List<String> detached(Path log, Class<?> main) {
        List<String> command = new ArrayList<>();
        command.addAll(
                List.of(
                        "setsid",
                        "sh",
                        "-c",
                        "\"$@\" </dev/null >" + log + " 2>&1 &",
                        "sh",
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xmx64m",
                        "-XX:+UseSerialGC",
                        "-XX:TieredStopAtLevel=1",
                        "--enable-native-access=ALL-UNNAMED",
                        "-cp",
                        classPath(main, MappedMemory.class, holdfast.engine.memory.PfnSet.class),
                        main.getName()));
        return command;
    }

    private static String classPath(Class<?>... classes) {
        List<String> places = new ArrayList<>();
        for (Class<?> each : classes) {
            places.add(each.getProtectionDomain().getCodeSource().getLocation().getPath());
        }
        return String.join(":", places);
    }

    static void run(List<String> command) throws Exception {
        Process shell = new ProcessBuilder(command).inheritIO().start();
        if (!shell.waitFor(START_MILLIS, TimeUnit.MILLISECONDS) || shell.exitValue() != 0) {
            shell.destroyForcibly();
            throw new IllegalStateException("could not start " + command);
        }
    }

    static SocketChannel accept(ServerSocketChannel server, Path directory) throws IOException {
        server.configureBlocking(false);
        try (Selector selector = Selector.open()) {
            server.register(selector, SelectionKey.OP_ACCEPT);
            if (selector.select(START_MILLIS) == 0) {
                throw new IllegalStateException(
                        "no process connected: " + Files.readString(directory.resolve("log")));
            }
            return server.accept();
        }
    }

    long pid() {
        return pid;
    }

    void write(long page, long value) {
        command(WriterMain.WRITE, page, value);
    }

    /** Writes the first word of every page below {@code pages}. */
    void writeAllBelow(long pages, long value) {
        command(WriterMain.FILL_MANY, pages, value);
    }

    long read(long page) {
        return command(WriterMain.READ, page, 0);
    }

    /** Lets a thread write at random below {@code pages} until {@link #stopStorm}. */
    void startStorm(long pages, long seed) {
        command(WriterMain.START_STORM, pages, seed);
    }

    void stopStorm() {
        command(WriterMain.STOP_STORM, 0, 0);
    }

    void signal(String name) throws Exception {
        Process kill = new ProcessBuilder("kill", "-" + name, Long.toString(pid)).start();
        if (kill.waitFor() != 0) {
            throw new IllegalStateException("kill -" + name + " " + pid);
        }
    }

    private long command(int command, long page, long value) {
        try {
            out.write(command);
            out.writeLong(page);
            out.writeLong(value);
            return in.readLong();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Kills it, waits for its end, and removes its files. */
    @Override
    public void close() throws IOException {
        ProcessHandle.of(pid).ifPresent(ProcessHandle::destroyForcibly);
        // Its end closes the socket: the event to wait for.
        while (socket.isOpen() && in.read() >= 0) {
            continue;
        }
        socket.close();
        for (String name : List.of("s", "log")) {
            Files.deleteIfExists(directory.resolve(name));
        }
        Files.delete(directory);
    }
}
