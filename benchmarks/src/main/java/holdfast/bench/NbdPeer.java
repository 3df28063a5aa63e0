package holdfast.bench;

import holdfast.node.nbd.MemoryExport;
import holdfast.node.nbd.NbdLimits;
import holdfast.node.nbd.NbdServer;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** An NBD server on a Unix socket, ready to be measured. */
record NbdPeer(String name, Path socket, End end) implements AutoCloseable {
    /** How the server is ended. */
    interface End {
        void run() throws IOException;
    }

    private static final long START_NANOS = TimeUnit.SECONDS.toNanos(10);

    static NbdPeer holdfast(Path directory, long bytes) throws IOException {
        Path socket = directory.resolve("holdfast.sock");
        MemoryExport export = new MemoryExport("disk0", bytes);
        NbdServer server =
                NbdServer.open(
                        UnixDomainSocketAddress.of(socket), NbdLimits.DEFAULT, Optional.empty());
        server.add(export);
        return new NbdPeer(
                "holdfast",
                socket,
                () -> {
                    server.close();
                    export.close();
                });
    }

    static NbdPeer nbdkit(Path directory, long bytes) throws IOException, InterruptedException {
        Path socket = directory.resolve("nbdkit.sock");
        return started(
                "nbdkit",
                socket,
                List.of("nbdkit", "-f", "-U", socket.toString(), "memory", Long.toString(bytes)),
                directory);
    }

    /**
     * @param memory where its image lies: a directory of a tmpfs
     */
    static NbdPeer qemuNbd(Path directory, Path memory, long bytes)
            throws IOException, InterruptedException {
        Path image = memory.resolve("disk.raw");
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.setLength(bytes);
        }
        Path socket = directory.resolve("qemu-nbd.sock");
        return started(
                "qemu-nbd",
                socket,
                List.of(
                        "qemu-nbd",
                        "--socket=" + socket,
                        "--format=raw",
                        "--persistent",
                        "--shared=4",
                        "--cache=writeback",
                        "--discard=unmap",
                        image.toString()),
                directory);
    }

    private static NbdPeer started(String name, Path socket, List<String> command, Path directory)
            throws IOException, InterruptedException {
        Path log = directory.resolve(name + ".log");
        Process process =
                new ProcessBuilder(command)
                        .redirectErrorStream(true)
                        .redirectOutput(log.toFile())
                        .start();
        NbdPeer peer = new NbdPeer(name, socket, () -> stop(process));
        long until = System.nanoTime() + START_NANOS;
        while (!answers(socket)) {
            if (process.waitFor(20, TimeUnit.MILLISECONDS) || System.nanoTime() > until) {
                stop(process);
                throw new BenchException(
                        name + " does not listen on " + socket + ": " + Files.readString(log));
            }
        }
        return peer;
    }

    private static boolean answers(Path socket) {
        try (SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            return channel.connect(UnixDomainSocketAddress.of(socket));
        } catch (IOException e) {
            return false;
        }
    }

    private static void stop(Process process) {
        process.destroy();
        try {
            if (process.waitFor(5, TimeUnit.SECONDS)) {
                return;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        process.destroyForcibly();
    }

    @Override
    public void close() throws IOException {
        end.run();
    }
}
