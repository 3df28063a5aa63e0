package holdfast.node.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.wire.Bytes;
import holdfast.wire.nbd.NbdMessage.Padding;
import holdfast.wire.nbd.NbdOption;
import holdfast.wire.nbd.NbdOptionReply;
import holdfast.wire.nbd.NbdReply;
import holdfast.wire.nbd.NbdRequest;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;

/** Whatever a client does, its own connection ends, and a good client beside it notices nothing. */
@Timeout(120)
class HostileClientTest {
    /**
     * Those of time are no matter of most of these tests: a good client of a starved machine needs
     * seconds for its first handshake.
     */
    private static final NbdLimits LIMITS =
            new NbdLimits(4, 8, Duration.ofSeconds(60), Duration.ofSeconds(60));

    /** For tests that wait for them; the good client has to keep them, too. */
    private static final Duration SHORT = Duration.ofSeconds(5);

    private static final int GOOD_LIMIT_MILLIS = 60_000;

    @TempDir Path directory;

    private NbdServer server;
    private MemoryExport memory;
    private final AtomicBoolean stop = new AtomicBoolean();
    private final AtomicReference<Throwable> noticed = new AtomicReference<>();
    private final CountDownLatch working = new CountDownLatch(1);
    private long goodRounds;
    private Thread good;

    @BeforeEach
    void open() throws Exception {
        serve(LIMITS);
    }

    private void serve(NbdLimits limits) throws Exception {
        server =
                NbdServer.open(
                        UnixDomainSocketAddress.of(directory.resolve("nbd")),
                        limits,
                        Optional.empty());
        memory = new MemoryExport("disk0", 16 << 20);
        server.add(memory);
        TestClient client = TestClient.structured(server.address(), "disk0");
        good = Thread.ofPlatform().name("good-client").start(() -> work(client));
        assertThat(working.await(GOOD_LIMIT_MILLIS, TimeUnit.MILLISECONDS)).isTrue();
    }

    /** The good client has said all there is to say by now, and is quick to say it again. */
    private void serveAnewWithShortLimits() throws Exception {
        the_good_client_noticed_nothing();
        stop.set(false);
        serve(new NbdLimits(LIMITS.connectionsMax(), LIMITS.handshakesMax(), SHORT, SHORT));
    }

    private void work(TestClient client) {
        byte[] data = new byte[4096];
        Random random = new Random(7);
        try (client) {
            while (!stop.get()) {
                random.nextBytes(data);
                client.write(goodRounds, 0, data);
                assertThat(client.reply()).isEqualTo(new NbdReply.SimpleSuccess(goodRounds));
                client.request(new NbdRequest.Read(goodRounds, 0, 0, 4096));
                assertThat(client.reply()).isInstanceOf(NbdReply.OffsetData.class);
                assertThat(client.receive(4096)).isEqualTo(ByteBuffer.wrap(data));
                goodRounds++;
                working.countDown();
            }
            client.request(new NbdRequest.Disconnect(0, 0));
            client.awaitEnd();
        } catch (IOException | RuntimeException | AssertionError e) {
            noticed.set(e);
        }
    }

    @AfterEach
    void the_good_client_noticed_nothing() throws Exception {
        stop.set(true);
        good.join(GOOD_LIMIT_MILLIS);
        assertThat(good.isAlive()).isFalse();
        server.close();
        memory.close();
        assertThat(noticed.get()).isNull();
        assertThat(goodRounds).isPositive();
    }

    @Test
    void garbage_instead_of_a_handshake() throws IOException {
        Random random = new Random(1);
        for (int i = 0; i < 50; i++) {
            byte[] garbage = new byte[1 + random.nextInt(5000)];
            random.nextBytes(garbage);
            try (TestClient client = new TestClient(server.address())) {
                // Never a legal word by chance.
                garbage[0] |= 1;
                rawUnlessClosed(client, garbage);
                if (garbage.length < 4) {
                    client.channel.shutdownOutput();
                }
                client.awaitEnd();
            }
        }
    }

    /** The server may close while the client still sends. */
    private static void rawUnlessClosed(TestClient client, byte[] octets) {
        try {
            client.raw(octets);
        } catch (IOException closed) {
            assertThat(closed).hasMessageContaining("pipe");
        }
    }

    @Test
    void options_that_break_the_frame() throws IOException {
        for (String hex :
                List.of(
                        // No magic.
                        "4948415645505054 00000003 00000000",
                        // A length of 4 GiB.
                        "49484156454f5054 00000007 ffffffff",
                        // Just above the limit.
                        "49484156454f5054 00000007 00010001",
                        // A name that is no UTF-8, where no error can be answered.
                        "49484156454f5054 00000001 00000002 c328",
                        // An export that is not there, likewise.
                        "49484156454f5054 00000001 00000002 6e6f")) {
            try (TestClient client = TestClient.greeted(server.address(), Padding.NONE)) {
                client.raw(Bytes.ofHex(hex).toArray());
                client.awaitEnd();
            }
        }
    }

    @Test
    void lengths_inside_an_option_that_reach_beyond_it() throws IOException {
        try (TestClient client = TestClient.greeted(server.address(), Padding.NONE)) {
            for (String body :
                    List.of(
                            "ffffffff 0000",
                            "00000003 6162",
                            "00000000 ffff",
                            "00000000 0001 00",
                            "")) {
                byte[] octets = Bytes.ofHex(body).toArray();
                client.raw(
                        ByteBuffer.allocate(16)
                                .putLong(0x49484156454f5054L)
                                .putInt(7)
                                .putInt(octets.length)
                                .array());
                client.raw(octets);
                assertThat(client.optionReply())
                        .isInstanceOfSatisfying(
                                NbdOptionReply.Refused.class,
                                refused ->
                                        assertThat(refused.refusal())
                                                .isEqualTo(NbdOptionReply.Refusal.ERR_INVALID));
            }
            assertThat(client.ask(new NbdOption.Go("disk0", List.of())).getLast())
                    .isEqualTo(new NbdOptionReply.Ack(7));
        }
    }

    @Test
    void options_without_end() throws IOException {
        try (TestClient client = TestClient.greeted(server.address(), Padding.NONE)) {
            byte[] many = Bytes.ofHex("49484156454f5054 0000ffff 00000000".repeat(2000)).toArray();
            Thread reader = Thread.ofVirtual().start(client::awaitEnd);
            rawUnlessClosed(client, many);
            join(reader);
        }
    }

    private static void join(Thread thread) {
        try {
            thread.join(20_000);
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
        assertThat(thread.isAlive()).isFalse();
    }

    @Test
    void requests_that_are_none() throws IOException {
        for (String hex :
                List.of(
                        // No magic.
                        "25609514 0000 0000 0000000000000001 0000000000000000 00000200",
                        // A write of 4 GiB.
                        "25609513 0000 0001 0000000000000001 0000000000000000 ffffffff",
                        // A write just above the limit.
                        "25609513 0000 0001 0000000000000001 0000000000000000 02000001")) {
            try (TestClient client = TestClient.structured(server.address(), "disk0")) {
                client.raw(Bytes.ofHex(hex).toArray());
                client.awaitEnd();
            }
        }
    }

    @Test
    void clients_that_vanish_in_the_middle() throws IOException {
        for (int bytes : new int[] {0, 1, 3, 10}) {
            try (TestClient client = new TestClient(server.address())) {
                client.raw(new byte[bytes]);
            }
        }
        for (int bytes : new int[] {0, 1, 27, 28, 100, 4000}) {
            try (TestClient client = TestClient.structured(server.address(), "disk0")) {
                ByteBuffer request = ByteBuffer.allocate(4096);
                request.putInt(0x25609513).putShort((short) 0).putShort((short) 1);
                request.putLong(1).putLong(8192).putInt(8192);
                client.raw(java.util.Arrays.copyOf(request.array(), bytes));
                client.channel.shutdownOutput();
                client.awaitEnd();
            }
        }
    }

    @Test
    void half_a_handshake_is_closed_at_its_deadline_and_frees_its_place() throws Exception {
        serveAnewWithShortLimits();
        long start = System.nanoTime();
        List<TestClient> idle = new ArrayList<>();
        for (int i = 0; i < LIMITS.handshakesMax(); i++) {
            idle.add(new TestClient(server.address()));
            idle.getLast().receive(18);
        }
        // No place for one more, who is told so by the end of the connection.
        try (TestClient oneMore = new TestClient(server.address())) {
            oneMore.awaitEnd();
        }
        for (TestClient client : idle) {
            client.awaitEnd();
            client.close();
        }
        assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(20));
        try (TestClient client = TestClient.structured(server.address(), "disk0")) {
            client.request(new NbdRequest.Flush(1, 0));
            assertThat(client.reply()).isEqualTo(new NbdReply.SimpleSuccess(1));
        }
    }

    @Test
    void a_drip_of_options_does_not_outlast_the_handshakes_deadline() throws Exception {
        serveAnewWithShortLimits();
        try (TestClient client = TestClient.greeted(server.address(), Padding.NONE)) {
            Thread reader = Thread.ofVirtual().start(client::awaitEnd);
            long until = System.nanoTime() + Duration.ofSeconds(20).toNanos();
            byte[] option = Bytes.ofHex("49484156454f5054 0000ffff 00000000").toArray();
            while (reader.isAlive() && System.nanoTime() < until) {
                rawUnlessClosed(client, option);
                try {
                    reader.join(50);
                } catch (InterruptedException e) {
                    throw new AssertionError(e);
                }
            }
            assertThat(reader.isAlive()).isFalse();
        }
    }

    @Test
    void a_payload_that_does_not_come_is_closed_at_its_deadline() throws Exception {
        serveAnewWithShortLimits();
        try (TestClient client = TestClient.structured(server.address(), "disk0")) {
            client.request(new NbdRequest.Write(1, 0, 0, 32 << 20));
            client.raw(new byte[1 << 20]);
            client.awaitEnd();
        }
    }

    @Test
    void replies_that_nobody_takes_are_given_up_at_their_deadline() throws Exception {
        serveAnewWithShortLimits();
        try (TestClient client = TestClient.structured(server.address(), "disk0")) {
            for (int i = 0; i < 64; i++) {
                client.request(new NbdRequest.Read(i, 0, 0, 8 << 20));
            }
            long until = System.nanoTime() + Duration.ofSeconds(20).toNanos();
            while (server.statistics("disk0").connections() > 1) {
                assertThat(System.nanoTime()).isLessThan(until);
                Thread.onSpinWait();
            }
        }
    }

    @Test
    void connections_beyond_the_limit_are_closed() throws IOException {
        List<TestClient> clients = new ArrayList<>();
        // The good client has one place.
        for (int i = 1; i < LIMITS.connectionsMax(); i++) {
            clients.add(TestClient.structured(server.address(), "disk0"));
        }
        try (TestClient oneMore = TestClient.greeted(server.address(), Padding.NONE)) {
            oneMore.ask(new NbdOption.Go("disk0", List.of()));
            oneMore.awaitEnd();
        }
        for (TestClient client : clients) {
            client.request(new NbdRequest.Flush(1, 0));
            assertThat(client.reply()).isEqualTo(new NbdReply.SimpleSuccess(1));
            client.close();
        }
    }
}
