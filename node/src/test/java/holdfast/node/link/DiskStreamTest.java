package holdfast.node.link;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.port.ReplicaDisks;
import holdfast.wire.ProtocolException;
import holdfast.wire.link.LinkCodec;
import holdfast.wire.link.LinkMessage;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.io.EOFException;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.zip.CRC32C;

/** A primary's disk writes over a real connection. */
@Timeout(60)
class DiskStreamTest {
    private static final long SECONDS = TimeUnit.SECONDS.toNanos(1);
    private static final int DISK_BYTES = 8 << 20;

    private SocketChannel sending;
    private SocketChannel receiving;
    private final CompletableFuture<String> broken = new CompletableFuture<>();

    @BeforeEach
    void connect() throws IOException {
        try (ServerSocketChannel server = ServerSocketChannel.open()) {
            server.bind(new InetSocketAddress("127.0.0.1", 0));
            sending = SocketChannel.open(server.getLocalAddress());
            receiving = server.accept();
        }
    }

    @AfterEach
    void disconnect() throws IOException {
        sending.close();
        receiving.close();
    }

    private DiskStream stream(int ringBytes, long stallNanos) {
        DiskStream stream = new DiskStream(sending, "b", stallNanos, broken::complete, ringBytes);
        stream.start();
        return stream;
    }

    /** A disk in memory, with what its writer wrote since a boundary. */
    private static final class Image implements ReplicaDisks {
        final byte[] bytes = new byte[DISK_BYTES];
        final List<Long> boundaries = new ArrayList<>();

        @Override
        public void write(int disk, long offsetBytes, ByteBuffer data) {
            data.get(data.position(), bytes, (int) offsetBytes, data.remaining());
        }

        @Override
        public void writeZeroes(int disk, long offsetBytes, long lengthBytes) {
            java.util.Arrays.fill(
                    bytes, (int) offsetBytes, (int) (offsetBytes + lengthBytes), (byte) 0);
        }

        @Override
        public void boundary(long epoch) {
            boundaries.add(epoch);
        }

        @Override
        public void commit(long epoch) {}

        @Override
        public void apply(long epoch) {}

        @Override
        public void discardPartial() {}

        @Override
        public void settle() {}

        @Override
        public void close() {}
    }

    @Test
    void what_is_written_arrives_in_order_with_its_boundaries() throws Exception {
        Image image = new Image();
        LinkedBlockingQueue<Long> arrived = new LinkedBlockingQueue<>();
        DiskReceiver receiver = new DiskReceiver(receiving, image, arrived::add);
        Thread reader = Thread.ofVirtual().start(() -> ended(receiver));
        // A ring so small that everything wraps and waits, again and again.
        DiskStream stream = stream(64 << 10, 20 * SECONDS);
        byte[] expected = new byte[DISK_BYTES];
        Random random = new Random(7);
        for (long epoch = 0; epoch < 40; epoch++) {
            for (int i = 0; i < 50; i++) {
                int length = 1 + random.nextInt(random.nextInt(20) == 0 ? 300_000 : 9_000);
                int offset = random.nextInt(DISK_BYTES - length);
                if (random.nextInt(5) == 0) {
                    stream.writeZeroes(0, offset, length);
                    java.util.Arrays.fill(expected, offset, offset + length, (byte) 0);
                } else {
                    byte[] data = new byte[length];
                    random.nextBytes(data);
                    ByteBuffer source = ByteBuffer.allocateDirect(length).put(data).flip();
                    stream.write(0, offset, source);
                    assertThat(source.hasRemaining()).isFalse();
                    System.arraycopy(data, 0, expected, offset, length);
                }
            }
            stream.boundary(epoch);
            assertThat(arrived.poll(20, TimeUnit.SECONDS)).isEqualTo(epoch);
            assertThat(image.bytes).isEqualTo(expected);
        }
        assertThat(stream.figures().waits()).isPositive();
        awaitNothingQueued(stream);
        stream.close(5 * SECONDS);
        reader.join();
        assertThat(broken).isNotDone();
    }

    /**
     * What arrived is no longer queued once its sender has returned from the write that sent it.
     */
    private static void awaitNothingQueued(DiskStream stream) {
        long until = System.nanoTime() + 20 * SECONDS;
        while (stream.figures().queuedBytes() > 0) {
            assertThat(System.nanoTime() - until).as("all is sent in time").isNegative();
            Thread.onSpinWait();
        }
    }

    @Test
    void a_few_bytes_wait_for_their_boundary() throws Exception {
        DiskStream stream = stream(1 << 20, 20 * SECONDS);
        stream.write(0, 0, ByteBuffer.allocateDirect(4096));
        receiving.configureBlocking(false);
        assertThat(stream.figures().queuedBytes()).isGreaterThan(4096);
        assertThat(receiving.read(ByteBuffer.allocate(1))).isZero();
        receiving.configureBlocking(true);
        stream.boundary(0);
        LinkedBlockingQueue<Long> arrived = new LinkedBlockingQueue<>();
        DiskReceiver receiver = new DiskReceiver(receiving, new Image(), arrived::add);
        Thread reader = Thread.ofVirtual().start(() -> ended(receiver));
        assertThat(arrived.poll(20, TimeUnit.SECONDS)).isZero();
        stream.close(5 * SECONDS);
        reader.join();
    }

    @Test
    void many_bytes_wait_for_nothing() throws Exception {
        DiskStream stream = stream(1 << 20, 20 * SECONDS);
        stream.write(0, 0, ByteBuffer.allocateDirect(300_000));
        // It goes by pieces, and what is left behind the first may be few bytes, which wait.
        ByteBuffer found = ByteBuffer.allocate(300_000 - (128 << 10));
        while (found.hasRemaining()) {
            assertThat(receiving.read(found)).isPositive();
        }
        stream.close(5 * SECONDS);
    }

    private static void ended(DiskReceiver receiver) {
        assertThatThrownBy(receiver::run).isInstanceOf(IOException.class);
    }

    @Test
    void a_writer_that_waits_goes_on_as_soon_as_the_stream_discards() throws Exception {
        DiskStream stream = stream(256 << 10, 20 * SECONDS);
        CompletableFuture<Long> written = new CompletableFuture<>();
        Thread writer =
                Thread.ofPlatform()
                        .start(
                                () -> {
                                    // Nobody reads: the socket's buffers fill, then the ring.
                                    for (int i = 0; i < 200; i++) {
                                        stream.write(0, 0, ByteBuffer.allocateDirect(200_000));
                                    }
                                    written.complete(System.nanoTime());
                                });
        while (stream.figures().waits() == 0) {
            Thread.onSpinWait();
        }
        assertThat(written).isNotDone();
        long discarded = System.nanoTime();
        assertThat(stream.discard()).isTrue();
        assertThat(stream.discard()).isFalse();
        assertThat(written.get(5, TimeUnit.SECONDS) - discarded).isLessThan(SECONDS);
        writer.join();
        stream.boundary(0);
        stream.close(5 * SECONDS);
        assertThat(broken).as("whoever discards knows why").isNotDone();
        assertThat(boundaries(receiving)).as("what lacks a write is never whole").isEmpty();
    }

    @Test
    void a_secondary_that_takes_nothing_in_does_not_stop_the_guest_for_long() throws Exception {
        DiskStream stream = stream(256 << 10, SECONDS / 2);
        long start = System.nanoTime();
        for (int i = 0; i < 200; i++) {
            stream.write(0, 0, ByteBuffer.allocateDirect(200_000));
        }
        assertThat(System.nanoTime() - start).isLessThan(10 * SECONDS);
        assertThat(broken.get(1, TimeUnit.SECONDS))
                .contains("took in no disk writes for 500 ms")
                .contains("look at the disk");
        stream.close(5 * SECONDS);
    }

    @Test
    void a_connection_that_breaks_is_told_once_and_stops_nobody() throws Exception {
        DiskStream stream = stream(256 << 10, 20 * SECONDS);
        receiving.close();
        for (int i = 0; i < 200; i++) {
            stream.write(0, 0, ByteBuffer.allocateDirect(200_000));
        }
        assertThat(broken.get(5, TimeUnit.SECONDS)).contains("disk connection to node b broke");
        stream.close(5 * SECONDS);
    }

    private static List<LinkMessage> boundaries(SocketChannel channel) throws IOException {
        List<LinkMessage> found = new ArrayList<>();
        Image image = new Image();
        try {
            new DiskReceiver(
                            channel,
                            image,
                            epoch -> found.add(new LinkMessage.DiskBoundary(epoch, 0, 0)))
                    .run();
        } catch (EOFException e) {
            return found;
        } catch (IOException e) {
            // Reset: the sender closed with bytes of ours unread, or of its own unsent.
            return found;
        }
        throw new AssertionError("it ends only by an exception");
    }

    private void send(ByteBuffer... parts) throws IOException {
        for (ByteBuffer part : parts) {
            while (part.hasRemaining()) {
                sending.write(part);
            }
        }
        sending.shutdownOutput();
    }

    private void refused(String what) {
        assertThatThrownBy(() -> new DiskReceiver(receiving, new Image(), _ -> {}).run())
                .isInstanceOf(ProtocolException.class)
                .hasMessageContaining(what);
    }

    @Test
    void damaged_bytes_are_refused() throws Exception {
        byte[] data = new byte[4096];
        CRC32C crc = new CRC32C();
        crc.update(data);
        data[77] = 1;
        send(
                LinkCodec.encode(
                        new LinkMessage.DiskWrite(0, 0, data.length, (int) crc.getValue())),
                ByteBuffer.wrap(data));
        refused("checksum of a write to disk 0 at 0");
    }

    @Test
    void an_epoch_that_lacks_a_write_is_refused() throws Exception {
        send(
                LinkCodec.encode(new LinkMessage.DiskZeroes(0, 0, 4096)),
                LinkCodec.encode(new LinkMessage.DiskBoundary(0, 2, 8192)));
        refused("count of the writes of epoch 0: expected 2 with 8192 bytes, found 1 with 4096");
    }

    @Test
    void what_does_not_belong_there_is_refused() throws Exception {
        send(LinkCodec.encode(new LinkMessage.Heartbeat(1)));
        refused("what the guest wrote, found HEARTBEAT");
    }

    @Test
    void an_end_within_a_frame_is_an_end() throws Exception {
        ByteBuffer frame = LinkCodec.encode(new LinkMessage.DiskZeroes(0, 0, 4096));
        send(frame.limit(frame.limit() - 1));
        assertThatThrownBy(() -> new DiskReceiver(receiving, new Image(), _ -> {}).run())
                .isInstanceOf(EOFException.class)
                .hasMessageContaining("within a frame");
    }
}
