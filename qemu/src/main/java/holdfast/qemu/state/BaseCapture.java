package holdfast.qemu.state;

import holdfast.engine.HypervisorException;
import holdfast.qemu.launch.ReachableFiles;
import holdfast.qemu.qmp.QmpClient;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ReadableByteChannel;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;

/**
 * Takes the base out of a stopped QEMU: an ordinary migration to a socket of ours, with everything
 * that is a shared file left out. The guest stays stopped and whole; {@code cont} goes on with it.
 * One thread.
 */
final class BaseCapture implements AutoCloseable {
    private static final long BANDWIDTH_BYTES_PER_SECOND = 100_000_000_000L;
    private static final String COMMAND = "migrate";

    private final QmpClient qmp;
    private final Path socket;
    private final ServerSocketChannel listening;
    private final GrowingBuffer buffer = new GrowingBuffer(1 << 20, VmStateImage.STATE_BYTES_MAX);

    private BaseCapture(QmpClient qmp, Path socket, ServerSocketChannel listening) {
        this.qmp = qmp;
        this.socket = socket;
        this.listening = listening;
    }

    /**
     * @param socket where we listen for QEMU; a leftover of this name is removed
     */
    static BaseCapture open(QmpClient qmp, Path socket) {
        qmp.execute("migrate-set-parameters", Map.of("max-bandwidth", BANDWIDTH_BYTES_PER_SECOND));
        try {
            // A daemon that died leaves its socket's name behind; the directory is ours alone.
            Files.deleteIfExists(socket);
            ServerSocketChannel listening = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
            try {
                listening.bind(UnixDomainSocketAddress.of(socket));
                ReachableFiles.openTo(socket);
                listening.configureBlocking(false);
                return new BaseCapture(qmp, socket, listening);
            } catch (IOException e) {
                listening.close();
                throw e;
            }
        } catch (IOException e) {
            throw new HypervisorException(COMMAND, "cannot listen on " + socket, e);
        }
    }

    /**
     * Captures a stream and cuts it.
     *
     * @return the base, valid until the next call, and what it says
     */
    Base take(Duration limit) {
        long until = System.nanoTime() + limit.toNanos();
        MigrationSettings.events(qmp, MigrationSettings.Switch.ON);
        MigrationSettings.ignoreShared(qmp, MigrationSettings.Switch.ON);
        try (QmpClient.ExpectedEvent over =
                qmp.expect("MIGRATION", event -> isOver(event.data().path("status").asText()))) {
            qmp.execute(COMMAND, Map.of("uri", "unix:" + socket));
            buffer.clear();
            receive(until);
            String status = over.await(left(until)).data().path("status").asText();
            if (!status.equals("completed")) {
                String why = qmp.execute("query-migrate").path("error-desc").asText("no reason");
                throw new HypervisorException(COMMAND, status + ": " + why);
            }
        } catch (IOException e) {
            throw new HypervisorException(COMMAND, "cannot read the state from " + socket, e);
        } finally {
            if (qmp.closedBecause().isEmpty()) {
                MigrationSettings.ignoreShared(qmp, MigrationSettings.Switch.OFF);
            }
        }
        MemorySegment whole = buffer.bytes();
        StateStream stream = StateStream.parse(whole);
        return new Base(whole.asSlice(0, stream.cutOffset()), stream);
    }

    /** A cut stream and its description. */
    record Base(MemorySegment bytes, StateStream stream) {}

    private static boolean isOver(String status) {
        return status.equals("completed") || status.equals("failed") || status.equals("cancelled");
    }

    private void receive(long until) throws IOException {
        try (Selector selector = Selector.open()) {
            SelectionKey accepting = listening.register(selector, SelectionKey.OP_ACCEPT);
            try {
                await(selector, until);
                try (SocketChannel from = listening.accept()) {
                    if (from == null) {
                        throw new IOException("QEMU did not connect");
                    }
                    from.configureBlocking(false);
                    from.register(selector, SelectionKey.OP_READ);
                    while (buffer.read(from) >= 0) {
                        await(selector, until);
                    }
                }
            } finally {
                accepting.cancel();
            }
        }
    }

    private void await(Selector selector, long until) throws IOException {
        selector.selectedKeys().clear();
        long millis = left(until).toMillis();
        if (selector.select(Math.max(1, millis)) == 0) {
            throw new IOException("QEMU sent nothing for " + millis + " ms");
        }
    }

    private static Duration left(long until) {
        return Duration.ofNanos(Math.max(1, until - System.nanoTime()));
    }

    @Override
    public void close() {
        try (buffer) {
            listening.close();
            Files.deleteIfExists(socket);
        } catch (IOException e) {
            throw new HypervisorException(COMMAND, "cannot remove " + socket, e);
        }
    }

    /** Off-heap bytes that are read into and reused. */
    static final class GrowingBuffer implements AutoCloseable {
        private static final int READ_BYTES_MIN = 64 << 10;

        private final long bytesMax;
        private Arena arena = Arena.ofShared();
        private MemorySegment bytes;
        private long used;

        GrowingBuffer(long bytesFirst, long bytesMax) {
            this.bytesMax = bytesMax;
            this.bytes = arena.allocate(bytesFirst);
        }

        void clear() {
            used = 0;
        }

        /** What was read since {@link #clear}; valid until the next read. */
        MemorySegment bytes() {
            return bytes.asSlice(0, used);
        }

        /**
         * Reads what is there.
         *
         * @return -1 at the end
         */
        int read(ReadableByteChannel from) throws IOException {
            if (bytes.byteSize() - used < READ_BYTES_MIN) {
                grow();
            }
            long room = Math.min(bytes.byteSize() - used, Integer.MAX_VALUE);
            ByteBuffer into = bytes.asSlice(used, room).asByteBuffer();
            int count = from.read(into);
            used += Math.max(0, count);
            return count;
        }

        private void grow() throws IOException {
            if (bytes.byteSize() >= bytesMax) {
                throw new IOException("more than " + bytesMax + " bytes of state");
            }
            Arena larger = Arena.ofShared();
            MemorySegment moved =
                    larger.allocate(Math.min(bytes.byteSize() * 2, bytesMax + READ_BYTES_MIN));
            MemorySegment.copy(bytes, 0, moved, 0, used);
            arena.close();
            arena = larger;
            bytes = moved;
        }

        @Override
        public void close() {
            arena.close();
        }
    }
}
