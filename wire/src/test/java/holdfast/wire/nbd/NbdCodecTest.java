package holdfast.wire.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.wire.Bytes;
import holdfast.wire.ProtocolException;
import holdfast.wire.nbd.NbdMessage.ClientFlags;
import holdfast.wire.nbd.NbdMessage.ExportReply;
import holdfast.wire.nbd.NbdMessage.Greeting;
import holdfast.wire.nbd.NbdMessage.Padding;
import holdfast.wire.nbd.NbdOptionReply.Refusal;
import holdfast.wire.nbd.NbdReply.Extent;
import holdfast.wire.nbd.NbdReply.Position;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

class NbdCodecTest {
    private static final String OPTION = "49484156454f5054";
    private static final String REPLY = "0003e889045565a9";
    private static final String REQUEST = "25609513";
    private static final String CHUNK = "668e33ef";
    private static final String COOKIE = "0102030405060708";
    private static final long COOKIE_NUMBER = 0x0102030405060708L;

    record Row(String name, String hex, NbdMessage message) {
        @Override
        public String toString() {
            return name;
        }
    }

    /** Written by hand from the protocol's document. */
    static Stream<Row> rows() {
        return Stream.concat(handshakeRows(), transmissionRows());
    }

    private static Stream<Row> handshakeRows() {
        return Stream.of(
                new Row(
                        "greeting",
                        "4e42444d41474943 " + OPTION + " 0003",
                        new Greeting(Padding.NONE)),
                new Row(
                        "greeting with zeros",
                        "4e42444d41474943 " + OPTION + " 0001",
                        new Greeting(Padding.ZEROES)),
                new Row("client flags", "00000003", new ClientFlags(Padding.NONE)),
                new Row("old client's flags", "00000001", new ClientFlags(Padding.ZEROES)),
                new Row(
                        "export reply",
                        "0000000000100000 0d6d",
                        new ExportReply(
                                1 << 20,
                                Set.of(
                                        TransmissionFlag.HAS_FLAGS,
                                        TransmissionFlag.SEND_FLUSH,
                                        TransmissionFlag.SEND_FUA,
                                        TransmissionFlag.SEND_TRIM,
                                        TransmissionFlag.SEND_WRITE_ZEROES,
                                        TransmissionFlag.CAN_MULTI_CONN,
                                        TransmissionFlag.SEND_CACHE,
                                        TransmissionFlag.SEND_FAST_ZERO),
                                Padding.NONE)),
                new Row(
                        "export reply with zeros",
                        "0000000000100000 0093" + "00".repeat(124),
                        new ExportReply(
                                1 << 20,
                                Set.of(
                                        TransmissionFlag.HAS_FLAGS,
                                        TransmissionFlag.READ_ONLY,
                                        TransmissionFlag.ROTATIONAL,
                                        TransmissionFlag.SEND_DF),
                                Padding.ZEROES)),
                new Row(
                        "EXPORT_NAME",
                        OPTION + " 00000001 00000005 6469736b30",
                        new NbdOption.ExportName("disk0")),
                new Row("ABORT", OPTION + " 00000002 00000000", new NbdOption.Abort()),
                new Row("LIST", OPTION + " 00000003 00000000", new NbdOption.ListExports()),
                new Row("STARTTLS", OPTION + " 00000005 00000000", new NbdOption.StartTls()),
                new Row(
                        "INFO",
                        OPTION + " 00000006 00000006 00000000 0000",
                        new NbdOption.Info("", List.of())),
                new Row(
                        "GO",
                        OPTION + " 00000007 0000000f 00000005 6469736b30 0002 0000 0003",
                        new NbdOption.Go("disk0", List.of(0, 3))),
                new Row(
                        "STRUCTURED_REPLY",
                        OPTION + " 00000008 00000000",
                        new NbdOption.StructuredReply()),
                new Row(
                        "LIST_META_CONTEXT",
                        OPTION + " 00000009 00000012 00000001 61 00000001 00000005 626173653a",
                        new NbdOption.ListMetaContext("a", List.of("base:"))),
                new Row(
                        "SET_META_CONTEXT",
                        OPTION
                                + " 0000000a 0000001c 00000001 61 00000001"
                                + " 0000000f 626173653a616c6c6f636174696f6e",
                        new NbdOption.SetMetaContext("a", List.of("base:allocation"))),
                new Row(
                        "EXTENDED_HEADERS, unknown here",
                        OPTION + " 0000000b 00000000",
                        new NbdOption.UnknownOption(11, Bytes.EMPTY)),
                new Row(
                        "unknown option",
                        OPTION + " 80000000 00000002 abcd",
                        new NbdOption.UnknownOption(0x80000000, Bytes.ofHex("abcd"))),
                new Row("ACK", REPLY + " 00000007 00000001 00000000", new NbdOptionReply.Ack(7)),
                new Row(
                        "SERVER",
                        REPLY + " 00000003 00000002 0000000a 00000005 6469736b30 41",
                        new NbdOptionReply.Server("disk0", "A")),
                new Row(
                        "INFO EXPORT",
                        REPLY + " 00000007 00000003 0000000c 0000 0000000000001000 0001",
                        new NbdOptionReply.InfoExport(7, 4096, Set.of(TransmissionFlag.HAS_FLAGS))),
                new Row(
                        "INFO NAME",
                        REPLY + " 00000006 00000003 00000003 0001 61",
                        new NbdOptionReply.InfoName(6, "a")),
                new Row(
                        "INFO DESCRIPTION",
                        REPLY + " 00000006 00000003 00000003 0002 62",
                        new NbdOptionReply.InfoDescription(6, "b")),
                new Row(
                        "INFO BLOCK_SIZE",
                        REPLY + " 00000007 00000003 0000000e 0003 00000001 00001000 02000000",
                        new NbdOptionReply.InfoBlockSize(7, 1, 4096, 32 << 20)),
                new Row(
                        "META_CONTEXT",
                        REPLY + " 0000000a 00000004 00000005 00000001 63",
                        new NbdOptionReply.MetaContext(10, 1, "c")),
                new Row(
                        "ERR_UNSUP",
                        REPLY + " 0000000b 80000001 00000002 6e6f",
                        new NbdOptionReply.Refused(11, Refusal.ERR_UNSUP, "no")),
                new Row(
                        "ERR_TLS_REQD",
                        REPLY + " 00000003 80000005 00000000",
                        new NbdOptionReply.Refused(3, Refusal.ERR_TLS_REQD, "")));
    }

    private static Stream<Row> transmissionRows() {
        return Stream.of(
                new Row(
                        "READ with DF",
                        REQUEST + " 0004 0000 " + COOKIE + " 0000000000002000 00001000",
                        new NbdRequest.Read(COOKIE_NUMBER, NbdRequest.DF, 8192, 4096)),
                new Row(
                        "WRITE with FUA",
                        REQUEST + " 0001 0001 " + COOKIE + " 0000000000002000 02000000",
                        new NbdRequest.Write(COOKIE_NUMBER, NbdRequest.FUA, 8192, 32 << 20)),
                new Row(
                        "DISC",
                        REQUEST + " 0000 0002 " + COOKIE + " 0000000000000000 00000000",
                        new NbdRequest.Disconnect(COOKIE_NUMBER, 0)),
                new Row(
                        "FLUSH",
                        REQUEST + " 0000 0003 " + COOKIE + " 0000000000000000 00000000",
                        new NbdRequest.Flush(COOKIE_NUMBER, 0)),
                new Row(
                        "TRIM",
                        REQUEST + " 0000 0004 " + COOKIE + " 0000000000002000 ffffffff",
                        new NbdRequest.Trim(COOKIE_NUMBER, 0, 8192, 0xffffffffL)),
                new Row(
                        "CACHE",
                        REQUEST + " 0000 0005 " + COOKIE + " 0000000000002000 00001000",
                        new NbdRequest.Cache(COOKIE_NUMBER, 0, 8192, 4096)),
                new Row(
                        "WRITE_ZEROES with NO_HOLE and FAST_ZERO",
                        REQUEST + " 0012 0006 " + COOKIE + " ffffffffffffffff 00001000",
                        new NbdRequest.WriteZeroes(
                                COOKIE_NUMBER,
                                NbdRequest.NO_HOLE | NbdRequest.FAST_ZERO,
                                -1,
                                4096)),
                new Row(
                        "BLOCK_STATUS with REQ_ONE",
                        REQUEST + " 0008 0007 " + COOKIE + " 0000000000000000 00000001",
                        new NbdRequest.BlockStatus(COOKIE_NUMBER, NbdRequest.REQ_ONE, 0, 1)),
                new Row(
                        "unknown command",
                        REQUEST + " 0000 0008 " + COOKIE + " 0000000000001000 00000000",
                        new NbdRequest.Illegal(COOKIE_NUMBER, 0, 8, 4096, 0, "unknown command 8")),
                new Row(
                        "WRITE with a flag of another command",
                        REQUEST + " 0004 0001 " + COOKIE + " 0000000000001000 00000200",
                        new NbdRequest.Illegal(
                                COOKIE_NUMBER, 4, 1, 4096, 512, "WRITE does not take flags 0x4")),
                new Row(
                        "simple success",
                        "67446698 00000000 " + COOKIE,
                        new NbdReply.SimpleSuccess(COOKIE_NUMBER)),
                new Row(
                        "simple error",
                        "67446698 0000001c " + COOKIE,
                        new NbdReply.SimpleError(COOKIE_NUMBER, NbdError.ENOSPC)),
                new Row(
                        "NONE",
                        CHUNK + " 0001 0000 " + COOKIE + " 00000000",
                        new NbdReply.Done(COOKIE_NUMBER)),
                new Row(
                        "OFFSET_DATA",
                        CHUNK + " 0001 0001 " + COOKIE + " 00001008 0000000000002000",
                        new NbdReply.OffsetData(COOKIE_NUMBER, Position.LAST, 8192, 4096)),
                new Row(
                        "OFFSET_HOLE",
                        CHUNK + " 0000 0002 " + COOKIE + " 0000000c 0000000000002000 00010000",
                        new NbdReply.OffsetHole(COOKIE_NUMBER, Position.MORE, 8192, 65536)),
                new Row(
                        "BLOCK_STATUS",
                        CHUNK
                                + " 0001 0005 "
                                + COOKIE
                                + " 00000014 00000001 00001000 00000000 00010000 00000003",
                        new NbdReply.BlockStatus(
                                COOKIE_NUMBER,
                                Position.LAST,
                                1,
                                List.of(
                                        new Extent(4096, 0),
                                        new Extent(65536, Extent.HOLE | Extent.ZERO)))),
                new Row(
                        "ERROR",
                        CHUNK + " 0001 8001 " + COOKIE + " 00000008 00000005 0002 6e6f",
                        new NbdReply.ErrorChunk(COOKIE_NUMBER, Position.LAST, NbdError.EIO, "no")),
                new Row(
                        "ERROR_OFFSET",
                        CHUNK
                                + " 0000 8002 "
                                + COOKIE
                                + " 00000010 0000006c 0002 6e6f 0000000000002000",
                        new NbdReply.ErrorOffset(
                                COOKIE_NUMBER, Position.MORE, NbdError.ESHUTDOWN, "no", 8192)));
    }

    @ParameterizedTest
    @MethodSource("rows")
    void every_row_decodes_and_encodes_back(Row row) {
        ByteBuffer in = buffer(row);
        assertThat(decode(row, in)).isEqualTo(row.message());
        assertThat(in.hasRemaining()).isFalse();
        assertThat(hex(encode(row.message()))).isEqualTo(Bytes.ofHex(row.hex()).toHex());
    }

    @ParameterizedTest
    @MethodSource("rows")
    void every_proper_prefix_is_refused(Row row) {
        byte[] whole = Bytes.ofHex(row.hex()).toArray();
        for (int length = 0; length < whole.length; length++) {
            ByteBuffer prefix = ByteBuffer.wrap(Arrays.copyOf(whole, length));
            assertThatThrownBy(() -> decode(row, prefix)).isInstanceOf(ProtocolException.class);
        }
    }

    @ParameterizedTest
    @MethodSource("rows")
    void every_flipped_bit_is_refused_or_decodes_to_something_legal(Row row) {
        byte[] whole = Bytes.ofHex(row.hex()).toArray();
        for (int bit = 0; bit < whole.length * 8; bit++) {
            byte[] flipped = whole.clone();
            flipped[bit / 8] ^= (byte) (0x80 >> bit % 8);
            NbdMessage decoded;
            try {
                decoded = decode(row, ByteBuffer.wrap(flipped));
            } catch (ProtocolException refused) {
                assertThat(refused.offset()).isBetween(0L, (long) whole.length);
                continue;
            }
            byte[] again = encode(decoded);
            assertThat(decode(row, ByteBuffer.wrap(again))).as("bit %d", bit).isEqualTo(decoded);
        }
    }

    @Test
    void there_is_a_row_for_every_message() {
        Set<Class<?>> covered = new HashSet<>();
        rows().forEach(row -> covered.add(row.message().getClass()));
        assertThat(covered).containsExactlyInAnyOrderElementsOf(records(NbdMessage.class));
    }

    @Test
    void a_wrong_body_leaves_the_next_option_readable() {
        ByteBuffer in =
                ByteBuffer.wrap(
                        Bytes.ofHex(
                                        OPTION
                                                + " 00000007 00000006 000000ff 0000 "
                                                + OPTION
                                                + " 00000002 00000000")
                                .toArray());
        HandshakeCodec.OptionHeader header = HandshakeCodec.decodeOptionHeader(in, 100);
        assertThatThrownBy(() -> HandshakeCodec.decodeOption(header, in))
                .isInstanceOf(ProtocolException.class)
                .hasMessageContaining("nbd at offset 120: option GO export");
        HandshakeCodec.OptionHeader next = HandshakeCodec.decodeOptionHeader(in, 122);
        assertThat(HandshakeCodec.decodeOption(next, in)).isEqualTo(new NbdOption.Abort());
    }

    @Test
    void both_sides_of_each_limit() {
        String longest = "n".repeat(NbdMessage.STRING_BYTES_MAX);
        assertThat(new NbdOption.ExportName(longest).name()).hasSize(4096);
        assertThatThrownBy(() -> new NbdOption.ExportName(longest + "n"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("4096");
        assertThatThrownBy(() -> new NbdOption.ExportName("a\0b"))
                .isInstanceOf(IllegalArgumentException.class);

        assertThat(request(0, 0, 32 << 20)).isInstanceOf(NbdRequest.Read.class);
        assertThat(request(0, 0, (32 << 20) + 1)).isInstanceOf(NbdRequest.Illegal.class);
        assertThat(request(0, 1, 32 << 20)).isInstanceOf(NbdRequest.Write.class);
        assertThatThrownBy(() -> request(0, 1, (32 << 20) + 1))
                .isInstanceOf(ProtocolException.class)
                .hasMessageContaining("WRITE length")
                .hasMessageContaining("33554432");
        assertThatThrownBy(() -> request(0, 1, -1)).isInstanceOf(ProtocolException.class);
        assertThat(request(0, 7, 0)).isInstanceOf(NbdRequest.Illegal.class);
        assertThat(request(0, 7, 1)).isInstanceOf(NbdRequest.BlockStatus.class);

        ByteBuffer header = ByteBuffer.allocate(16);
        header.put(Bytes.ofHex(OPTION).toArray()).putInt(7).putInt(NbdMessage.OPTION_BYTES_MAX);
        assertThat(HandshakeCodec.decodeOptionHeader(header.flip(), 0).bodyBytes())
                .isEqualTo(65536);
        header.putInt(12, NbdMessage.OPTION_BYTES_MAX + 1).rewind();
        assertThatThrownBy(() -> HandshakeCodec.decodeOptionHeader(header, 0))
                .isInstanceOf(ProtocolException.class);
    }

    @Test
    void every_request_takes_the_flags_that_its_type_allows_and_no_other() {
        for (NbdRequest.Type type : NbdRequest.Type.values()) {
            int length = type == NbdRequest.Type.BLOCK_STATUS ? 1 : 0;
            for (int bit = 0; bit < 16; bit++) {
                boolean allowed = (type.flagsAllowed() >> bit & 1) != 0;
                assertThat(request(1 << bit, type.number(), length) instanceof NbdRequest.Illegal)
                        .as("%s bit %d", type, bit)
                        .isNotEqualTo(allowed);
            }
        }
    }

    @Test
    void the_payload_of_an_illegal_write_is_known() {
        assertThat(request(2, 1, 4096))
                .isInstanceOfSatisfying(
                        NbdRequest.Illegal.class,
                        illegal -> assertThat(illegal.payloadBytes()).isEqualTo(4096));
        assertThat(request(2, 0, 4096))
                .isInstanceOfSatisfying(
                        NbdRequest.Illegal.class,
                        illegal -> assertThat(illegal.payloadBytes()).isZero());
    }

    @Test
    void unknown_errors_and_flags_of_a_server_are_read_as_the_protocol_says() {
        ByteBuffer reply = ByteBuffer.wrap(Bytes.ofHex("67446698 00000063 " + COOKIE).toArray());
        assertThat(TransmissionCodec.decodeReply(reply, 0))
                .isEqualTo(new NbdReply.SimpleError(COOKIE_NUMBER, NbdError.EINVAL));
        assertThat(TransmissionFlag.of(0xFFFF))
                .containsExactlyInAnyOrder(TransmissionFlag.values());
    }

    @Test
    void clipping_keeps_whole_characters() {
        String text = NbdMessage.clip("\uD83D\uDE00".repeat(3000));
        assertThat(new NbdReply.ErrorChunk(1, Position.LAST, NbdError.EIO, text).text())
                .isNotEmpty();
        assertThat(Character.isHighSurrogate(text.charAt(text.length() - 1))).isFalse();
        assertThat(NbdMessage.clip("short")).isEqualTo("short");
    }

    private static NbdRequest request(int flags, int type, int length) {
        ByteBuffer in = ByteBuffer.allocate(TransmissionCodec.REQUEST_BYTES);
        in.putInt(0x25609513).putShort((short) flags).putShort((short) type);
        in.putLong(1).putLong(0).putInt(length).flip();
        return TransmissionCodec.decodeRequest(in, 0);
    }

    private static NbdMessage decode(Row row, ByteBuffer in) {
        return switch (row.message()) {
            case Greeting _ -> HandshakeCodec.decodeGreeting(in, 0);
            case ClientFlags _ -> HandshakeCodec.decodeClientFlags(in, 0);
            case ExportReply reply -> HandshakeCodec.decodeExportReply(in, reply.padding(), 0);
            case NbdOption _ ->
                    HandshakeCodec.decodeOption(HandshakeCodec.decodeOptionHeader(in, 0), in);
            case NbdOptionReply _ ->
                    HandshakeCodec.decodeReply(HandshakeCodec.decodeReplyHeader(in, 0), in);
            case NbdRequest _ -> TransmissionCodec.decodeRequest(in, 0);
            case NbdReply _ -> TransmissionCodec.decodeReply(in, 0);
        };
    }

    private static byte[] encode(NbdMessage message) {
        ByteBuffer out = ByteBuffer.allocate(HandshakeCodec.MESSAGE_BYTES_MAX);
        switch (message) {
            case Greeting m -> HandshakeCodec.encode(m, out);
            case ClientFlags m -> HandshakeCodec.encode(m, out);
            case ExportReply m -> HandshakeCodec.encode(m, out);
            case NbdOption m -> HandshakeCodec.encode(m, out);
            case NbdOptionReply m -> HandshakeCodec.encode(m, out);
            case NbdRequest m -> TransmissionCodec.encode(m, out);
            case NbdReply m -> TransmissionCodec.encode(m, out);
        }
        return Arrays.copyOf(out.array(), out.position());
    }

    private static ByteBuffer buffer(Row row) {
        return ByteBuffer.wrap(Bytes.ofHex(row.hex()).toArray());
    }

    private static String hex(byte[] octets) {
        return Bytes.copyOf(octets).toHex();
    }

    private static Set<Class<?>> records(Class<?> sealed) {
        Set<Class<?>> found = new HashSet<>();
        for (Class<?> permitted : sealed.getPermittedSubclasses()) {
            if (permitted.isRecord()) {
                found.add(permitted);
            } else {
                found.addAll(records(permitted));
            }
        }
        return found;
    }
}
