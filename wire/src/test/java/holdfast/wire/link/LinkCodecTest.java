package holdfast.wire.link;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.wire.Bytes;
import holdfast.wire.ProtocolException;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import java.nio.ByteBuffer;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.stream.Stream;

class LinkCodecTest {
    private static final UUID NODE = UUID.fromString("00112233-4455-6677-8899-aabbccddeeff");
    private static final UUID SESSION = UUID.fromString("01020304-0506-0708-090a-0b0c0d0e0f10");

    record Row(String name, String hex, LinkMessage message) {
        @Override
        public String toString() {
            return name;
        }
    }

    /**
     * Bodies are written by hand from docs/protocol.md; checksums were computed once with an
     * independent CRC-32C.
     */
    static Stream<Row> rows() {
        return Stream.of(
                new Row(
                        "HELLO",
                        "00000034 0001 0000 8e43bc0a 4cab75e0 000200020001 0003302e31"
                                + " 0006686f73742d61 00112233445566778899aabbccddeeff 00"
                                + " 0102030405060708090a0b0c0d0e0f10",
                        new LinkMessage.Hello(
                                List.of(2, 1),
                                "0.1",
                                "host-a",
                                NODE,
                                ConnectionKind.CONTROL,
                                SESSION)),
                new Row(
                        "HELLO for bulk",
                        "0000002a 0001 0000 2d20a0b9 d43b3111 00010001 0000 000161"
                                + " 00112233445566778899aabbccddeeff 01"
                                + " 0102030405060708090a0b0c0d0e0f10",
                        new LinkMessage.Hello(
                                List.of(1), "", "a", NODE, ConnectionKind.BULK, SESSION)),
                new Row(
                        "WELCOME",
                        "0000001f 0002 0000 eff65074 4adc6964 0001 0003302e31 0006686f73742d62"
                                + " 00112233445566778899aabbccddeeff",
                        new LinkMessage.Welcome(1, "0.1", "host-b", NODE)),
                new Row(
                        "REFUSED",
                        "0000000e 0003 0000 6bdc95ac 1ce41319" + " 00 000b6e6f3a203120616e642032",
                        new LinkMessage.Refused(RefusalReason.VERSION, "no: 1 and 2")),
                new Row(
                        "OPEN_SESSION",
                        "0000004600100000d2b511fdbbdde7a9"
                                + "0102030405060708090a0b0c0d0e0f1000000000000000070000000010000000"
                                + "00000064000001f400000019010005726564697300086f70657261746f720000"
                                + "00027b7d0000",
                        new LinkMessage.OpenSession(
                                SESSION,
                                "redis",
                                7,
                                Bytes.ofHex("7b7d"),
                                268435456L,
                                StreamEncoding.DELTA,
                                100,
                                500,
                                25,
                                "operator",
                                List.of())),
                new Row(
                        "OPEN_SESSION with disks",
                        "0000005a00100000021355906ca9611e"
                                + "0102030405060708090a0b0c0d0e0f1000000000000000070000000010000000"
                                + "00000064000001f400000019010005726564697300086f70657261746f720000"
                                + "00027b7d 0002 0000 0000000200000000 0002 0000000000100000",
                        new LinkMessage.OpenSession(
                                SESSION,
                                "redis",
                                7,
                                Bytes.ofHex("7b7d"),
                                268435456L,
                                StreamEncoding.DELTA,
                                100,
                                500,
                                25,
                                "operator",
                                List.of(
                                        new LinkMessage.DiskSize(0, 8L << 30),
                                        new LinkMessage.DiskSize(2, 1 << 20)))),
                new Row(
                        "STAY_PROTECTED",
                        "00000012 0018 0000 ef17ff52 b744352d"
                                + " 000831302e302e302e32 1c3b 00000002 7b7d",
                        new LinkMessage.StayProtected("10.0.0.2", 7227, Bytes.ofHex("7b7d"))),
                new Row(
                        "SESSION_ACCEPTED",
                        "00000000 0011 0000 00000000 df386333" + "",
                        new LinkMessage.SessionAccepted()),
                new Row(
                        "SESSION_REFUSED",
                        "00000009 0012 0000 b2879c0a 7b5befb2" + " 00076e6f20726f6f6d",
                        new LinkMessage.SessionRefused("no room")),
                new Row(
                        "HEARTBEAT",
                        "00000008 0020 0000 46891f81 7fbd111d" + " 0102030405060708",
                        new LinkMessage.Heartbeat(0x0102030405060708L)),
                new Row(
                        "CHECKPOINT_MESSAGE",
                        "0000000c 0021 0000 247d5263 74cf66ef" + " 000000000000000900000001",
                        new LinkMessage.CheckpointMessage(9, Bytes.ofHex("00000001"))),
                new Row(
                        "CHECKPOINT_MESSAGE with a size",
                        "00000014 0021 0000 2a66e348 3870a0e7"
                                + " 0000000000000009000000040000000000008000",
                        new LinkMessage.CheckpointMessage(
                                9, Bytes.ofHex("00000004 0000000000008000"))),
                new Row(
                        "CHECKPOINT_DIGEST",
                        "00000014 0022 0000 f319c9f0 5c225dbd"
                                + " 0000000000000009000000000001e240e3069283",
                        new LinkMessage.CheckpointDigest(9, 123456, 0xe3069283)),
                new Row(
                        "DISMISS",
                        "00000006 0023 0000 fa3ea936 77be8ac2" + " 0004646f6e65",
                        new LinkMessage.Dismiss("done")),
                new Row(
                        "DISCARDED",
                        "00000009 0024 0000 7ba0afa1 a7656e94" + " 0007617320746f6c64",
                        new LinkMessage.Discarded("as told")),
                new Row(
                        "CLAIM",
                        "0000000a 0025 0000 b46aeb1a 61f6e6f9" + " 00086f70657261746f72",
                        new LinkMessage.Claim("operator")),
                new Row(
                        "STOOD_DOWN",
                        "00000000 0026 0000 00000000 63ddaaa1" + "",
                        new LinkMessage.StoodDown()),
                new Row(
                        "DOMAIN_DIED",
                        "0000000e 0027 0000 f2ee7613 69ad0931" + " 000c51454d5520697320676f6e65",
                        new LinkMessage.DomainDied("QEMU is gone")),
                new Row(
                        "CLOSE",
                        "00000002 0028 0000 f16177d2 db39ed29" + " 0000",
                        new LinkMessage.Close("")),
                new Row(
                        "INBOUND_FRAME",
                        "00000014 0030 0000 d3c10285 2aa54918"
                                + " 000000000000000900010002 0000ffffffffffff",
                        new LinkMessage.InboundFrame(9, 1, 2, Bytes.ofHex("0000ffffffffffff"))),
                new Row(
                        "DISK_WRITE",
                        "00000012 0031 0000 2ee9d8e3 f9ae3930"
                                + " 0001 0000000000010000 00001000 e3069283",
                        new LinkMessage.DiskWrite(1, 65536, 4096, 0xe3069283)),
                new Row(
                        "DISK_ZEROES",
                        "00000012 0032 0000 dcf54c02 7471fa6f"
                                + " 0001 0000000000010000 0000000001000000",
                        new LinkMessage.DiskZeroes(1, 65536, 16 << 20)),
                new Row(
                        "DISK_BOUNDARY",
                        "00000018 0033 0000 20f0bef3 5af45ba8"
                                + " 0000000000000009 0000000000000002 0000000001001000",
                        new LinkMessage.DiskBoundary(9, 2, (16 << 20) + 4096)),
                new Row(
                        "INQUIRE",
                        "00000011 0040 0000 77725e45 056a4dce"
                                + " 0102030405060708090a0b0c0d0e0f10 01",
                        new LinkMessage.Inquire(SESSION, LinkMessage.Question.DISMISS)),
                new Row(
                        "ANSWER",
                        "00000017 0041 0000 1a900eb5 a342cce6"
                                + " 00 0000000000000008 000c69742072756e732068657265",
                        new LinkMessage.Answer(Standing.TOOK_OVER, 8, "it runs here")),
                new Row(
                        "OPEN_MIGRATION",
                        "0000003600500000d771f8dcdc702c19"
                            + "0102030405060708090a0b0c0d0e0f100000000000000007000000001000000000000064000001f40200057265646973000000027b7d",
                        new LinkMessage.OpenMigration(
                                SESSION, "redis", 7, 268435456L, 100, 500, 2, Bytes.ofHex("7b7d"))),
                new Row(
                        "MIGRATION_PREPARED",
                        "0000000600510000c05f89ff4cb9bf5b" + "000000027b7d",
                        new LinkMessage.MigrationPrepared(Bytes.ofHex("7b7d"))),
                new Row(
                        "MIGRATION_PERFORMED",
                        "0000001f00520000372ab80b19b9b41a"
                                + "02000000000001e240e3069283000000000000000000000000000000027b7d",
                        new LinkMessage.MigrationPerformed(
                                List.of(
                                        new LinkMessage.StreamDigest(123456, 0xe3069283),
                                        new LinkMessage.StreamDigest(0, 0)),
                                Bytes.ofHex("7b7d"))),
                new Row(
                        "MIGRATION_FINISHED",
                        "0000000600530000c05f89ff9cbfe6cb" + "000000027b7d",
                        new LinkMessage.MigrationFinished(Bytes.ofHex("7b7d"))),
                new Row(
                        "HAND_OVER",
                        "000000080054000006f1ea45d93babc6" + "0000000000000008",
                        new LinkMessage.HandOver(8)),
                new Row(
                        "TAKEN_OVER",
                        "0000000600550000c05f89ffe9597a8a" + "000000027b7d",
                        new LinkMessage.TakenOver(Bytes.ofHex("7b7d"))),
                new Row(
                        "CANCEL_MIGRATION",
                        "0000000600560000981c200f3101ef05" + "0004676f6e65",
                        new LinkMessage.CancelMigration("gone")),
                new Row(
                        "ROLLED_BACK",
                        "0000000600570000c05f89ff395f231a" + "000000027b7d",
                        new LinkMessage.RolledBack(Bytes.ofHex("7b7d"))),
                new Row(
                        "MIGRATION_ACCEPTED",
                        "0000000600580000c05f89ff6a976ec0" + "000000027b7d",
                        new LinkMessage.MigrationAccepted(Bytes.ofHex("7b7d"))));
    }

    @ParameterizedTest
    @MethodSource("rows")
    void every_row_decodes_and_encodes_back(Row row) {
        byte[] frame = Bytes.ofHex(row.hex()).toArray();
        assertThat(decode(frame)).isEqualTo(row.message());
        ByteBuffer encoded = LinkCodec.encode(row.message());
        byte[] octets = new byte[encoded.remaining()];
        encoded.get(octets);
        assertThat(Bytes.copyOf(octets).toHex()).isEqualTo(Bytes.ofHex(row.hex()).toHex());
    }

    @ParameterizedTest
    @MethodSource("rows")
    void every_proper_prefix_is_refused(Row row) {
        byte[] frame = Bytes.ofHex(row.hex()).toArray();
        for (int length = 0; length < frame.length; length++) {
            byte[] prefix = java.util.Arrays.copyOf(frame, length);
            assertThatThrownBy(() -> decode(prefix)).isInstanceOf(ProtocolException.class);
        }
    }

    @ParameterizedTest
    @MethodSource("rows")
    void every_flipped_bit_is_refused(Row row) {
        byte[] frame = Bytes.ofHex(row.hex()).toArray();
        for (int bit = 0; bit < frame.length * 8; bit++) {
            byte[] flipped = frame.clone();
            flipped[bit / 8] ^= (byte) (1 << bit % 8);
            assertThatThrownBy(() -> decode(flipped))
                    .as("bit %d of byte %d", bit % 8, bit / 8)
                    .isInstanceOf(ProtocolException.class);
        }
    }

    /** Checksums hide most field checks from the test above: here they are made right again. */
    @ParameterizedTest
    @MethodSource("rows")
    void every_flipped_bit_of_a_body_with_right_checksums_is_refused_or_legal(Row row) {
        byte[] frame = Bytes.ofHex(row.hex()).toArray();
        for (int bit = LinkCodec.HEADER_BYTES * 8; bit < frame.length * 8; bit++) {
            byte[] flipped = frame.clone();
            flipped[bit / 8] ^= (byte) (1 << bit % 8);
            seal(flipped);
            try {
                LinkMessage decoded = decode(flipped);
                ByteBuffer encoded = LinkCodec.encode(decoded);
                assertThat(encoded).isEqualTo(ByteBuffer.wrap(flipped));
            } catch (ProtocolException refused) {
                assertThat(refused.offset()).isBetween(0L, (long) frame.length);
            }
        }
    }

    @Test
    void there_is_a_row_for_every_message() {
        Set<Class<?>> covered = new HashSet<>();
        rows().forEach(row -> covered.add(row.message().getClass()));
        assertThat(covered).containsExactlyInAnyOrderElementsOf(records(LinkMessage.class));
    }

    @Test
    void the_bounds_of_lengths_are_exact() {
        String longest = "r".repeat(LinkMessage.REASON_BYTES_MAX);
        LinkMessage message = new LinkMessage.Dismiss(longest);
        assertThat(decode(LinkCodec.encode(message).array(), message)).isEqualTo(message);
        assertThatThrownBy(() -> new LinkMessage.Dismiss(longest + "r"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("4096");

        LinkMessage frame =
                new LinkMessage.InboundFrame(
                        0, 0, 12, Bytes.copyOf(new byte[LinkMessage.FRAME_BYTES_MAX]));
        assertThat(decode(LinkCodec.encode(frame).array(), frame)).isEqualTo(frame);
        assertThatThrownBy(
                        () ->
                                new LinkMessage.InboundFrame(
                                        0,
                                        0,
                                        12,
                                        Bytes.copyOf(new byte[LinkMessage.FRAME_BYTES_MAX + 1])))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void a_disk_write_stays_within_what_a_disk_can_be() {
        long end = LinkMessage.DISK_BYTES_MAX;
        int longest = LinkMessage.DISK_WRITE_BYTES_MAX;
        LinkMessage last = new LinkMessage.DiskWrite(0xFFFF, end - longest, longest, 0);
        assertThat(decode(LinkCodec.encode(last).array(), last)).isEqualTo(last);
        assertThatThrownBy(() -> new LinkMessage.DiskWrite(0, end - longest + 1, longest, 0))
                .hasMessageContaining("offset");
        assertThatThrownBy(() -> new LinkMessage.DiskWrite(0, 0, longest + 1, 0))
                .hasMessageContaining("1048576");
        assertThatThrownBy(() -> new LinkMessage.DiskZeroes(0, 1, end))
                .hasMessageContaining("offset");
        assertThatThrownBy(
                        () ->
                                new LinkMessage.OpenSession(
                                        SESSION,
                                        "redis",
                                        7,
                                        Bytes.ofHex("7b7d"),
                                        4096,
                                        StreamEncoding.DELTA,
                                        100,
                                        500,
                                        25,
                                        "operator",
                                        List.of(
                                                new LinkMessage.DiskSize(1, 512),
                                                new LinkMessage.DiskSize(1, 512))))
                .hasMessageContaining("more than the one before");
    }

    @Test
    void a_length_beyond_the_type_is_refused_before_the_body_is_read() {
        byte[] header = LinkCodec.encode(new LinkMessage.Heartbeat(1)).array().clone();
        ByteBuffer.wrap(header).putInt(0, Integer.MAX_VALUE);
        sealHeader(header);
        assertThatThrownBy(
                        () ->
                                LinkCodec.decodeHeader(
                                        ByteBuffer.wrap(header, 0, LinkCodec.HEADER_BYTES), 32))
                .isInstanceOf(ProtocolException.class)
                .hasMessageContaining("offset 32")
                .hasMessageContaining("HEARTBEAT body length");
    }

    @Test
    void clipping_keeps_whole_characters() {
        String text = LinkMessage.clip("\uD83D\uDE00".repeat(3000));
        assertThat(new LinkMessage.Dismiss(text).reason()).isNotEmpty();
        assertThat(Character.isHighSurrogate(text.charAt(text.length() - 1))).isFalse();
        assertThat(LinkMessage.clip("short")).isEqualTo("short");
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

    private static LinkMessage decode(byte[] array, LinkMessage like) {
        ByteBuffer frame = ByteBuffer.wrap(array);
        frame.limit(LinkCodec.encode(like).remaining());
        return decode(frame);
    }

    private static LinkMessage decode(byte[] frame) {
        return decode(ByteBuffer.wrap(frame));
    }

    private static LinkMessage decode(ByteBuffer frame) {
        LinkCodec.Header header = LinkCodec.decodeHeader(frame, 0);
        return LinkCodec.decodeBody(header, frame);
    }

    private static void seal(byte[] frame) {
        java.util.zip.CRC32C body = new java.util.zip.CRC32C();
        body.update(frame, LinkCodec.HEADER_BYTES, frame.length - LinkCodec.HEADER_BYTES);
        ByteBuffer.wrap(frame).putInt(8, (int) body.getValue());
        sealHeader(frame);
    }

    private static void sealHeader(byte[] frame) {
        java.util.zip.CRC32C header = new java.util.zip.CRC32C();
        header.update(frame, 0, 12);
        ByteBuffer.wrap(frame).putInt(12, (int) header.getValue());
    }
}
