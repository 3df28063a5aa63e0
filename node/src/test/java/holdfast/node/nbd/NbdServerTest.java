package holdfast.node.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.wire.Bytes;
import holdfast.wire.nbd.NbdError;
import holdfast.wire.nbd.NbdMessage.Padding;
import holdfast.wire.nbd.NbdOption;
import holdfast.wire.nbd.NbdOptionReply;
import holdfast.wire.nbd.NbdOptionReply.Refusal;
import holdfast.wire.nbd.NbdReply;
import holdfast.wire.nbd.NbdReply.Extent;
import holdfast.wire.nbd.NbdReply.Position;
import holdfast.wire.nbd.NbdRequest;
import holdfast.wire.nbd.TransmissionFlag;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

@Timeout(60)
class NbdServerTest {
    private static final int PIECE = NbdServer.PIECE_BYTES;

    @TempDir Path directory;

    private NbdServer server;
    private MemoryExport memory;

    @BeforeEach
    void open() throws IOException {
        server =
                NbdServer.open(
                        UnixDomainSocketAddress.of(directory.resolve("nbd")),
                        NbdLimits.DEFAULT,
                        Optional.empty());
        memory = new MemoryExport("disk0", 64 << 20);
        server.add(memory);
    }

    @AfterEach
    void close() throws IOException {
        server.close();
        memory.close();
    }

    private ScriptedExport scripted(boolean readOnly, BlockSizes sizes) {
        ScriptedExport export = new ScriptedExport("scripted", readOnly, sizes);
        server.add(export);
        return export;
    }

    private TestClient structured(String export) throws IOException {
        return TestClient.structured(server.address(), export);
    }

    @Test
    void the_socket_is_its_users_alone_and_goes_with_the_server() throws IOException {
        Path socket = directory.resolve("nbd");
        assertThat(Files.getPosixFilePermissions(socket)).hasSize(2);
        server.close();
        assertThat(socket).doesNotExist();
    }

    @Test
    void exports_are_listed_and_described() throws IOException {
        scripted(true, new BlockSizes(512, 4096, 1 << 20));
        try (TestClient client = TestClient.greeted(server.address(), Padding.NONE)) {
            assertThat(client.ask(new NbdOption.ListExports()))
                    .containsExactly(
                            new NbdOptionReply.Server("disk0", "memory"),
                            new NbdOptionReply.Server("scripted", "scripted"),
                            new NbdOptionReply.Ack(3));
            List<NbdOptionReply> info =
                    client.ask(new NbdOption.Info("scripted", List.of(1, 2, 3, 77)));
            assertThat(info)
                    .contains(
                            new NbdOptionReply.InfoName(6, "scripted"),
                            new NbdOptionReply.InfoDescription(6, "scripted"),
                            new NbdOptionReply.InfoBlockSize(6, 512, 4096, 1 << 20))
                    .endsWith(new NbdOptionReply.Ack(6));
            assertThat(info.getFirst())
                    .isInstanceOfSatisfying(
                            NbdOptionReply.InfoExport.class,
                            export -> {
                                assertThat(export.sizeBytes()).isEqualTo(64 << 20);
                                assertThat(export.flags())
                                        .contains(
                                                TransmissionFlag.READ_ONLY,
                                                TransmissionFlag.CAN_MULTI_CONN)
                                        .doesNotContain(
                                                TransmissionFlag.SEND_TRIM,
                                                TransmissionFlag.SEND_DF);
                            });
            assertThat(client.ask(new NbdOption.Abort()))
                    .containsExactly(new NbdOptionReply.Ack(2));
            client.awaitEnd();
        }
    }

    @Test
    void the_empty_name_is_the_only_export_and_none_where_there_are_two() throws IOException {
        try (TestClient client = TestClient.greeted(server.address(), Padding.NONE)) {
            assertThat(client.ask(new NbdOption.Info("", List.of())).getLast())
                    .isEqualTo(new NbdOptionReply.Ack(6));
            scripted(false, BlockSizes.ANY);
            assertThat(client.ask(new NbdOption.Info("", List.of())))
                    .singleElement()
                    .isEqualTo(
                            new NbdOptionReply.Refused(
                                    6, Refusal.ERR_UNKNOWN, "no export \"\" here"));
        }
    }

    @Test
    void what_is_not_granted_is_refused_and_the_handshake_goes_on() throws IOException {
        try (TestClient client = TestClient.greeted(server.address(), Padding.NONE)) {
            assertThat(refusal(client, new NbdOption.UnknownOption(11, Bytes.EMPTY)))
                    .isEqualTo(Refusal.ERR_UNSUP);
            assertThat(refusal(client, new NbdOption.UnknownOption(4711, Bytes.ofHex("0102"))))
                    .isEqualTo(Refusal.ERR_UNSUP);
            assertThat(refusal(client, new NbdOption.StartTls())).isEqualTo(Refusal.ERR_UNSUP);
            assertThat(refusal(client, new NbdOption.Go("none", List.of())))
                    .isEqualTo(Refusal.ERR_UNKNOWN);
            assertThat(refusal(client, new NbdOption.ListMetaContext("disk0", List.of())))
                    .isEqualTo(Refusal.ERR_INVALID);
            // LIST with data.
            client.raw(Bytes.ofHex("49484156454f5054 00000003 00000001 00").toArray());
            assertThat(client.optionReply())
                    .isInstanceOfSatisfying(
                            NbdOptionReply.Refused.class,
                            refused ->
                                    assertThat(refused.refusal()).isEqualTo(Refusal.ERR_INVALID));
            client.ask(new NbdOption.StructuredReply());
            assertThat(client.ask(new NbdOption.ListMetaContext("disk0", List.of())))
                    .contains(new NbdOptionReply.MetaContext(9, 0, "base:allocation"));
            assertThat(client.ask(new NbdOption.ListMetaContext("disk0", List.of("qemu:"))))
                    .containsExactly(new NbdOptionReply.Ack(9));
            assertThat(client.ask(new NbdOption.Go("disk0", List.of())).getLast())
                    .isEqualTo(new NbdOptionReply.Ack(7));
        }
    }

    private static Refusal refusal(TestClient client, NbdOption option) throws IOException {
        List<NbdOptionReply> replies = client.ask(option);
        assertThat(replies).hasSize(1);
        return ((NbdOptionReply.Refused) replies.getFirst()).refusal();
    }

    @Test
    void an_old_client_reads_and_writes() throws IOException {
        byte[] data = random(3 * PIECE + 77);
        try (TestClient client = TestClient.simple(server.address(), "disk0")) {
            client.write(1, 4095, data);
            assertThat(client.reply()).isEqualTo(new NbdReply.SimpleSuccess(1));
            client.request(new NbdRequest.Read(2, 0, 4095, data.length));
            assertThat(client.reply()).isEqualTo(new NbdReply.SimpleSuccess(2));
            assertThat(client.receive(data.length)).isEqualTo(ByteBuffer.wrap(data));
            client.request(new NbdRequest.Read(3, 0, 0, 0));
            assertThat(client.reply()).isEqualTo(new NbdReply.SimpleSuccess(3));
            client.request(new NbdRequest.BlockStatus(4, 0, 0, 512));
            assertThat(client.reply()).isEqualTo(new NbdReply.SimpleError(4, NbdError.EINVAL));
            client.request(new NbdRequest.Disconnect(5, 0));
            client.awaitEnd();
        }
        assertThat(server.statistics("disk0").bytesWritten()).isEqualTo(data.length);
        assertThat(server.statistics("disk0").bytesRead()).isEqualTo(data.length);
        assertThat(server.statistics("disk0").errors()).isEqualTo(1);
    }

    @Test
    void the_export_reply_has_zeros_only_for_those_who_want_them() throws IOException {
        for (Padding padding : Padding.values()) {
            try (TestClient client = TestClient.greeted(server.address(), padding)) {
                assertThat(client.exportName("disk0").sizeBytes()).isEqualTo(64 << 20);
                client.request(new NbdRequest.Flush(9, 0));
                assertThat(client.reply()).isEqualTo(new NbdReply.SimpleSuccess(9));
            }
        }
    }

    @Test
    void a_long_read_comes_in_chunks_unless_it_must_not() throws IOException {
        byte[] data = random(2 * PIECE + 512);
        try (TestClient client = structured("disk0")) {
            client.write(1, 0, data);
            assertThat(client.reply()).isEqualTo(new NbdReply.SimpleSuccess(1));
            client.request(new NbdRequest.Read(2, 0, 0, data.length));
            for (int at = 0; at < data.length; at += PIECE) {
                int bytes = Math.min(PIECE, data.length - at);
                Position position = at + bytes == data.length ? Position.LAST : Position.MORE;
                assertThat(client.reply())
                        .isEqualTo(new NbdReply.OffsetData(2, position, at, bytes));
                assertThat(client.receive(bytes)).isEqualTo(ByteBuffer.wrap(data, at, bytes));
            }
            client.request(new NbdRequest.Read(3, NbdRequest.DF, 0, data.length));
            assertThat(client.reply())
                    .isEqualTo(new NbdReply.OffsetData(3, Position.MORE, 0, data.length));
            assertThat(client.receive(data.length)).isEqualTo(ByteBuffer.wrap(data));
            assertThat(client.reply()).isEqualTo(new NbdReply.Done(3));
            client.request(new NbdRequest.Read(4, NbdRequest.DF, 512, 512));
            assertThat(client.reply())
                    .isEqualTo(new NbdReply.OffsetData(4, Position.LAST, 512, 512));
            assertThat(client.receive(512)).isEqualTo(ByteBuffer.wrap(data, 512, 512));
            client.request(new NbdRequest.Read(5, 0, 0, 0));
            assertThat(client.reply()).isEqualTo(new NbdReply.Done(5));
        }
    }

    @Test
    void the_longest_write_and_read_pass() throws IOException {
        byte[] data = random(32 << 20);
        try (TestClient client = structured("disk0")) {
            client.write(1, 0, data);
            assertThat(client.reply()).isEqualTo(new NbdReply.SimpleSuccess(1));
            client.request(new NbdRequest.Read(2, NbdRequest.DF, 0, data.length));
            assertThat(client.reply()).isInstanceOf(NbdReply.OffsetData.class);
            assertThat(client.receive(data.length)).isEqualTo(ByteBuffer.wrap(data));
            assertThat(client.reply()).isEqualTo(new NbdReply.Done(2));
        }
    }

    @Test
    void many_requests_at_once_are_answered_in_order() throws Exception {
        try (TestClient client = structured("disk0")) {
            Thread sender = Thread.ofVirtual().start(() -> writeThenRead(client));
            for (int i = 0; i < 500; i++) {
                assertThat(client.reply()).isEqualTo(new NbdReply.SimpleSuccess(i));
            }
            for (int i = 0; i < 500; i++) {
                assertThat(client.reply())
                        .isEqualTo(new NbdReply.OffsetData(i, Position.LAST, 4096L * i, 4096));
                assertThat(client.receive(4096).getInt(0)).isEqualTo(i);
            }
            sender.join();
        }
    }

    private static void writeThenRead(TestClient client) {
        try {
            for (int i = 0; i < 500; i++) {
                client.write(i, 4096L * i, ByteBuffer.allocate(4096).putInt(i).array());
            }
            for (int i = 0; i < 500; i++) {
                client.request(new NbdRequest.Read(i, 0, 4096L * i, 4096));
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Test
    void block_status_tells_holes_from_data() throws IOException {
        try (TestClient client = structured("disk0")) {
            client.write(1, 1 << 20, random(65536));
            client.reply();
            client.request(new NbdRequest.BlockStatus(2, 0, 0, 4 << 20));
            assertThat(client.reply())
                    .isEqualTo(
                            new NbdReply.BlockStatus(
                                    2,
                                    Position.LAST,
                                    1,
                                    List.of(
                                            new Extent(1 << 20, Extent.HOLE | Extent.ZERO),
                                            new Extent(65536, 0),
                                            new Extent(
                                                    (3 << 20) - 65536,
                                                    Extent.HOLE | Extent.ZERO))));
            client.request(new NbdRequest.BlockStatus(3, NbdRequest.REQ_ONE, 1 << 20, 4 << 20));
            assertThat(client.reply())
                    .isEqualTo(
                            new NbdReply.BlockStatus(
                                    3, Position.LAST, 1, List.of(new Extent(65536, 0))));
        }
    }

    @Test
    void flags_and_pieces_reach_the_export() throws IOException {
        ScriptedExport export = scripted(false, BlockSizes.ANY);
        try (TestClient client = structured("scripted")) {
            client.request(new NbdRequest.Write(1, NbdRequest.FUA, 512, PIECE + 512));
            client.raw(new byte[PIECE + 512]);
            client.reply();
            client.request(
                    new NbdRequest.WriteZeroes(
                            2, NbdRequest.NO_HOLE | NbdRequest.FUA, 0, 64L << 20));
            client.reply();
            client.request(new NbdRequest.WriteZeroes(3, NbdRequest.FAST_ZERO, 0, 4096));
            assertThat(client.reply()).isEqualTo(error(3, NbdError.ENOTSUP, "fast"));
            client.request(new NbdRequest.Trim(4, 0, 4096, 8192));
            client.reply();
            client.request(new NbdRequest.Flush(5, NbdRequest.FUA));
            client.reply();
            client.request(new NbdRequest.Trim(6, 0, 4096, 0));
            assertThat(client.reply()).isEqualTo(new NbdReply.SimpleSuccess(6));
        }
        assertThat(export.calls)
                .containsExactly(
                        "write ON_RETURN 512+" + PIECE,
                        "write ON_RETURN " + (512 + PIECE) + "+512",
                        "zero [NO_HOLE] ON_RETURN 0+" + (64L << 20),
                        "trim FLUSHED_LATER 4096+8192",
                        "flush 0+0");
    }

    /** Any error chunk of these values, whatever its text says beside {@code part}. */
    private static NbdReply error(long cookie, NbdError error, String part) {
        return new NbdReply.ErrorChunk(cookie, Position.LAST, error, textWith(part));
    }

    private static String textWith(String part) {
        return switch (part) {
            case "fast" -> "there is no fast way to zero";
            default -> part;
        };
    }

    @Test
    void what_the_export_cannot_take_never_reaches_it() throws IOException {
        ScriptedExport export = scripted(false, new BlockSizes(512, 4096, 1 << 20));
        long end = ScriptedExport.SIZE_BYTES;
        try (TestClient client = structured("scripted")) {
            assertFails(client, new NbdRequest.Read(1, 0, end - 512, 1024), NbdError.EINVAL);
            assertFails(client, new NbdRequest.Read(2, 0, -512, 512), NbdError.EINVAL);
            assertFails(client, new NbdRequest.Read(3, 0, 1, 512), NbdError.EINVAL);
            assertFails(client, new NbdRequest.Read(4, 0, 0, 511), NbdError.EINVAL);
            assertFails(client, new NbdRequest.Read(5, 0, 0, 2 << 20), NbdError.EINVAL);
            assertFails(
                    client, new NbdRequest.Trim(6, 0, end, NbdRequest.FUA * 512L), NbdError.EINVAL);
            assertFails(
                    client,
                    new NbdRequest.WriteZeroes(7, 0, Long.MAX_VALUE - 511, 512),
                    NbdError.ENOSPC);
            assertFails(client, new NbdRequest.BlockStatus(8, 0, end, 512), NbdError.EINVAL);
            assertFails(client, new NbdRequest.Cache(9, 0, 0, 512), NbdError.EINVAL);
            assertFails(
                    client, new NbdRequest.Illegal(10, 0, 99, 0, 0, "no command"), NbdError.EINVAL);
            client.request(new NbdRequest.Write(11, 0, end, 512));
            client.raw(new byte[512]);
            assertThat(((NbdReply.ErrorChunk) client.reply()).error()).isEqualTo(NbdError.ENOSPC);
            // An illegal flag on a write: its payload must not be taken for requests.
            client.request(new NbdRequest.Illegal(12, NbdRequest.DF, 1, 0, 512, "flag"));
            client.raw(new byte[512]);
            assertThat(((NbdReply.ErrorChunk) client.reply()).error()).isEqualTo(NbdError.EINVAL);
            assertThat(export.calls).isEmpty();
            client.request(new NbdRequest.Flush(13, 0));
            assertThat(client.reply()).isEqualTo(new NbdReply.SimpleSuccess(13));
        }
        assertThat(server.statistics("scripted").errors()).isEqualTo(12);
    }

    private static void assertFails(TestClient client, NbdRequest request, NbdError error)
            throws IOException {
        client.request(request);
        assertThat(client.reply())
                .isInstanceOfSatisfying(
                        NbdReply.ErrorChunk.class,
                        chunk -> {
                            assertThat(chunk.cookie()).isEqualTo(request.cookie());
                            assertThat(chunk.error()).isEqualTo(error);
                            assertThat(chunk.text()).isNotEmpty();
                        });
    }

    @Test
    void a_read_only_export_is_not_written() throws IOException {
        ScriptedExport export = scripted(true, BlockSizes.ANY);
        try (TestClient client = structured("scripted")) {
            client.write(1, 0, new byte[3 * PIECE]);
            assertThat(((NbdReply.ErrorChunk) client.reply()).error()).isEqualTo(NbdError.EPERM);
            assertFails(client, new NbdRequest.Trim(2, 0, 0, 512), NbdError.EPERM);
            assertFails(client, new NbdRequest.WriteZeroes(3, 0, 0, 512), NbdError.EPERM);
            client.request(new NbdRequest.Read(4, 0, 0, 512));
            assertThat(client.reply()).isInstanceOf(NbdReply.OffsetData.class);
        }
        assertThat(export.calls).containsExactly("read 0+512");
    }

    @Test
    void an_export_that_fails_fails_the_request_and_not_the_connection() throws IOException {
        ScriptedExport export = scripted(false, BlockSizes.ANY);
        export.failsFrom = PIECE;
        try (TestClient client = structured("scripted")) {
            client.write(1, 0, new byte[3 * PIECE]);
            assertThat(client.reply()).isEqualTo(error(1, NbdError.ENOSPC, "no room"));
            client.request(new NbdRequest.Read(2, 0, 0, 3 * PIECE));
            assertThat(client.reply())
                    .isEqualTo(new NbdReply.OffsetData(2, Position.MORE, 0, PIECE));
            client.receive(PIECE);
            assertThat(client.reply()).isEqualTo(error(2, NbdError.ENOSPC, "no room"));
            export.failure = new IOException("the disk is gone");
            assertFails(client, new NbdRequest.Trim(3, 0, PIECE, 512), NbdError.EIO);
            export.failure = new IllegalStateException("a mistake in the export");
            assertFails(client, new NbdRequest.Read(4, 0, PIECE, 512), NbdError.EIO);
            // A chunk that may not be divided was promised whole: zeros for the rest.
            client.request(new NbdRequest.Read(5, NbdRequest.DF, 0, 2 * PIECE));
            assertThat(client.reply())
                    .isEqualTo(new NbdReply.OffsetData(5, Position.MORE, 0, 2 * PIECE));
            ByteBuffer data = client.receive(2 * PIECE);
            assertThat(data.get(PIECE - 1)).isEqualTo((byte) 0x5a);
            assertThat(data.get(PIECE)).isZero();
            assertThat(data.get(2 * PIECE - 1)).isZero();
            assertThat(((NbdReply.ErrorChunk) client.reply()).error()).isEqualTo(NbdError.EIO);
            client.request(new NbdRequest.Read(6, 0, 0, 512));
            assertThat(client.reply()).isInstanceOf(NbdReply.OffsetData.class);
        }
    }

    @Test
    void a_simple_reply_that_fails_half_way_ends_the_connection() throws IOException {
        ScriptedExport export = scripted(false, BlockSizes.ANY);
        export.failsFrom = PIECE;
        try (TestClient client = TestClient.simple(server.address(), "scripted")) {
            client.request(new NbdRequest.Read(1, 0, PIECE, 512));
            assertThat(client.reply()).isEqualTo(new NbdReply.SimpleError(1, NbdError.ENOSPC));
            client.request(new NbdRequest.Read(2, 0, 0, 2 * PIECE));
            client.awaitEnd();
        }
    }

    @Test
    void what_one_connection_wrote_the_others_read() throws IOException {
        byte[] data = random(4096);
        try (TestClient one = structured("disk0");
                TestClient other = structured("disk0")) {
            for (int i = 0; i < 200; i++) {
                data[0] = (byte) i;
                one.write(i, 8192, data);
                one.reply();
                other.request(new NbdRequest.Read(i, 0, 8192, 4096));
                other.reply();
                assertThat(other.receive(4096)).isEqualTo(ByteBuffer.wrap(data));
            }
            assertThat(server.statistics("disk0").connections()).isEqualTo(2);
        }
    }

    @Test
    void a_removed_export_lets_its_connections_go_and_no_other() throws Exception {
        ScriptedExport export = scripted(false, BlockSizes.ANY);
        export.block = new CountDownLatch(1);
        try (TestClient stays = structured("disk0");
                TestClient goes = structured("scripted")) {
            goes.write(1, 0, new byte[512]);
            assertThat(export.blocked.await(10, TimeUnit.SECONDS)).isTrue();
            NbdStatistics last = server.remove("scripted");
            assertThat(last.writeRequests()).isEqualTo(1);
            assertThat(export.shutDown.getCount()).isZero();
            goes.awaitEnd();
            stays.request(new NbdRequest.Flush(1, 0));
            assertThat(stays.reply()).isEqualTo(new NbdReply.SimpleSuccess(1));
        }
        assertThatThrownBy(() -> server.remove("scripted"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("no export \"scripted\"");
        assertThatThrownBy(() -> server.add(memory))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("already");
    }

    @Test
    void closing_ends_a_call_that_waits() throws Exception {
        ScriptedExport export = scripted(false, BlockSizes.ANY);
        export.block = new CountDownLatch(1);
        try (TestClient client = structured("scripted")) {
            client.write(1, 0, new byte[512]);
            assertThat(export.blocked.await(10, TimeUnit.SECONDS)).isTrue();
            server.close();
            client.awaitEnd();
        }
        assertThatThrownBy(() -> server.add(export)).isInstanceOf(IllegalStateException.class);
        List<String> left =
                Thread.getAllStackTraces().keySet().stream()
                        .map(Thread::getName)
                        .filter(name -> name.startsWith("nbd-scripted"))
                        .toList();
        assertThat(left).isEmpty();
    }

    private static byte[] random(int bytes) {
        byte[] data = new byte[bytes];
        new Random(bytes).nextBytes(data);
        return data;
    }
}
