package holdfast.wire.disk;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.wire.ProtocolException;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.OptionalLong;
import java.util.Set;
import java.util.UUID;
import java.util.stream.Collectors;
import java.util.stream.Stream;

class JournalCodecTest {
    private static final UUID SESSION = UUID.fromString("01020304-0506-0708-090a-0b0c0d0e0f10");
    private static final String BODY =
            "0001 0000 00000000 0000000000001000 0000000000000005 68656c6c6f 000000"
                    + " 0002 0001 00000000 0000000000002000 0000000100000000";

    record Row<T>(String name, String hex, T value) {
        byte[] octets() {
            return HexFormat.of().parseHex(hex.replace(" ", ""));
        }

        @Override
        public String toString() {
            return name;
        }
    }

    /** Written by hand from docs/protocol.md; checksums by an independent CRC-32C. */
    static Stream<Row<JournalHeader>> headers() {
        return Stream.of(
                new Row<>(
                        "before the first commit",
                        "48464a4f55524e4c 0001 0000 0000004d 0000000000000001"
                                + " 0102030405060708090a0b0c0d0e0f10 ffffffffffffffff"
                                + " 0003 776562 0001 0000000000100000 0008 2f722f612e696d67"
                                + " 394fdfe5",
                        new JournalHeader(
                                1,
                                SESSION,
                                "web",
                                OptionalLong.empty(),
                                List.of(new JournalHeader.Disk("/r/a.img", 1 << 20)))),
                new Row<>(
                        "two disks",
                        "48464a4f55524e4c 0001 0000 0000005f 0000000000000007"
                                + " 0102030405060708090a0b0c0d0e0f10 0000000000000029"
                                + " 0003 776562 0002 0000000000100000 0008 2f722f612e696d67"
                                + " 0000000200000000 0008 2f6465762f736462 4b72e02d",
                        new JournalHeader(
                                7,
                                SESSION,
                                "web",
                                OptionalLong.of(41),
                                List.of(
                                        new JournalHeader.Disk("/r/a.img", 1 << 20),
                                        new JournalHeader.Disk("/dev/sdb", 1L << 33)))));
    }

    static Stream<Row<JournalRecord>> records() {
        return Stream.of(
                new Row<>(
                        "BATCH",
                        "0001 0000 00000038 0000000000000007 000000000000002a 0000000000000003"
                                + " 5de01cc9 c625ece9",
                        new JournalRecord.Batch(7, 42, 3, 56, 0x5de01cc9)),
                new Row<>(
                        "COMMIT",
                        "0002 0000 00000000 0000000000000007 000000000000002a 0000000000000004"
                                + " 00000000 9e2e3a32",
                        new JournalRecord.Commit(7, 42, 4)),
                new Row<>(
                        "END",
                        "0003 0000 00000000 0000000000000007 0000000000000000 0000000000000000"
                                + " 00000000 bb5aed34",
                        new JournalRecord.End(7)));
    }

    @ParameterizedTest
    @MethodSource("headers")
    void a_header_is_what_the_document_says(Row<JournalHeader> row) {
        assertThat(JournalCodec.encode(row.value())).isEqualTo(ByteBuffer.wrap(row.octets()));
        byte[] followed = Arrays.copyOf(row.octets(), row.octets().length + 9);
        ByteBuffer in = ByteBuffer.wrap(followed);
        assertThat(JournalCodec.headerBytes(in)).isEqualTo(row.octets().length);
        assertThat(JournalCodec.decodeHeader(in)).isEqualTo(row.value());
        assertThat(in.remaining()).isEqualTo(9);
    }

    @ParameterizedTest
    @MethodSource("headers")
    void a_header_that_is_cut_or_flipped_is_refused(Row<JournalHeader> row) {
        byte[] octets = row.octets();
        for (int bytes = 0; bytes < octets.length; bytes++) {
            ByteBuffer cut = ByteBuffer.wrap(octets, 0, bytes);
            assertThatThrownBy(() -> JournalCodec.decodeHeader(cut))
                    .isInstanceOf(ProtocolException.class);
        }
        for (int bit = 0; bit < 8 * octets.length; bit++) {
            ByteBuffer flipped = ByteBuffer.wrap(flip(octets, bit));
            assertThatThrownBy(() -> JournalCodec.decodeHeader(flipped))
                    .isInstanceOf(ProtocolException.class)
                    .hasMessageContaining("disk journal at offset ");
        }
    }

    @ParameterizedTest
    @MethodSource("records")
    void a_record_is_what_the_document_says(Row<JournalRecord> row) {
        ByteBuffer out = ByteBuffer.allocate(48);
        JournalCodec.encode(row.value(), out, 8);
        assertThat(out.slice(8, 40)).isEqualTo(ByteBuffer.wrap(row.octets()));
        assertThat(out.position()).isZero();
        assertThat(JournalCodec.decode(out.position(8), 0)).isEqualTo(row.value());
        assertThat(out.position()).isEqualTo(48);
    }

    @ParameterizedTest
    @MethodSource("records")
    void a_record_that_is_cut_or_flipped_is_refused(Row<JournalRecord> row) {
        byte[] octets = row.octets();
        for (int bytes = 0; bytes < octets.length; bytes++) {
            ByteBuffer cut = ByteBuffer.wrap(octets, 0, bytes);
            assertThatThrownBy(() -> JournalCodec.decode(cut, 100))
                    .isInstanceOf(ProtocolException.class)
                    .hasMessageContaining("at offset 100");
        }
        for (int bit = 0; bit < 8 * octets.length; bit++) {
            ByteBuffer flipped = ByteBuffer.wrap(flip(octets, bit));
            assertThatThrownBy(() -> JournalCodec.decode(flipped, 0))
                    .isInstanceOf(ProtocolException.class);
        }
    }

    @Test
    void every_record_has_a_row() {
        Set<Class<?>> rows =
                records().map(row -> row.value().getClass()).collect(Collectors.toSet());
        assertThat(rows).containsExactlyInAnyOrder(JournalRecord.class.getPermittedSubclasses());
    }

    @Test
    void a_body_is_what_the_document_says() {
        byte[] octets = HexFormat.of().parseHex(BODY.replace(" ", ""));
        ByteBuffer out = ByteBuffer.allocate(octets.length);
        JournalCodec.encode(new DiskWrite.Data(0, 4096, 5), out);
        out.put(new byte[] {'h', 'e', 'l', 'l', 'o', 0, 0, 0});
        JournalCodec.encode(new DiskWrite.Zeroes(1, 8192, 1L << 32), out);
        assertThat(out.array()).isEqualTo(octets);
        ByteBuffer in = ByteBuffer.wrap(octets);
        assertThat(JournalCodec.decodeWrite(in, 0)).isEqualTo(new DiskWrite.Data(0, 4096, 5));
        assertThat(in.get(in.position())).isEqualTo((byte) 'h');
        in.position(in.position() + JournalCodec.paddedBytes(5));
        assertThat(JournalCodec.decodeWrite(in, 0))
                .isEqualTo(new DiskWrite.Zeroes(1, 8192, 1L << 32));
        assertThat(in.hasRemaining()).isFalse();
    }

    @Test
    void a_body_that_is_cut_or_flipped_does_not_belong_to_its_batch() {
        byte[] octets = HexFormat.of().parseHex(BODY.replace(" ", ""));
        var batch = new JournalRecord.Batch(7, 42, 3, 56, 0x5de01cc9);
        ByteBuffer whole = ByteBuffer.wrap(octets);
        JournalCodec.requireBody(batch, whole, 0);
        assertThat(whole.remaining()).isEqualTo(56);
        for (int bytes = 0; bytes < octets.length; bytes++) {
            ByteBuffer cut = ByteBuffer.wrap(octets, 0, bytes);
            assertThatThrownBy(() -> JournalCodec.requireBody(batch, cut, 0))
                    .isInstanceOf(ProtocolException.class);
        }
        for (int bit = 0; bit < 8 * octets.length; bit++) {
            ByteBuffer flipped = ByteBuffer.wrap(flip(octets, bit));
            assertThatThrownBy(() -> JournalCodec.requireBody(batch, flipped, 0))
                    .isInstanceOf(ProtocolException.class);
        }
    }

    /** A body has one checksum; without it, a write is decoded legally or refused. */
    @Test
    void a_write_that_is_cut_or_flipped_does_no_harm() {
        byte[] octets = HexFormat.of().parseHex(BODY.replace(" ", ""));
        for (int bit = 0; bit < 8 * octets.length; bit++) {
            ByteBuffer in = ByteBuffer.wrap(flip(octets, bit));
            try {
                while (in.hasRemaining()) {
                    DiskWrite write = JournalCodec.decodeWrite(in, 0);
                    if (write instanceof DiskWrite.Data data) {
                        in.position(in.position() + JournalCodec.paddedBytes(data.bytes()));
                    }
                }
            } catch (ProtocolException refused) {
                assertThat(refused).hasMessageContaining("disk journal");
            }
        }
        for (int bytes = 0; bytes < 32; bytes++) {
            ByteBuffer cut = ByteBuffer.wrap(octets, 0, bytes);
            assertThatThrownBy(() -> JournalCodec.decodeWrite(cut, 0))
                    .isInstanceOf(ProtocolException.class);
        }
    }

    private static byte[] flip(byte[] octets, int bit) {
        byte[] flipped = octets.clone();
        flipped[bit / 8] ^= (byte) (1 << bit % 8);
        return flipped;
    }

    @Test
    void illegal_values_cannot_be_made() {
        assertThatThrownBy(() -> new JournalRecord.Batch(0, 0, 0, 8, 0))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new JournalRecord.Batch(1, 0, 0, 12, 0))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(
                        () -> new JournalRecord.Batch(1, 0, 0, JournalRecord.BODY_BYTES_MAX + 8, 0))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new JournalRecord.Commit(1, -1, 0))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new DiskWrite.Data(JournalHeader.DISKS_MAX, 0, 1))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new DiskWrite.Zeroes(0, Long.MAX_VALUE, 1))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new JournalHeader.Disk("", 1))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(
                        () -> new JournalHeader(1, SESSION, "web", OptionalLong.empty(), List.of()))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void the_largest_header_fits() {
        String path = "/" + "x".repeat(JournalHeader.TEXT_BYTES_MAX - 1);
        JournalHeader header =
                new JournalHeader(
                        Long.MAX_VALUE,
                        SESSION,
                        path,
                        OptionalLong.of(Long.MAX_VALUE),
                        java.util.Collections.nCopies(
                                JournalHeader.DISKS_MAX,
                                new JournalHeader.Disk(path, Long.MAX_VALUE)));
        assertThat(JournalCodec.decodeHeader(JournalCodec.encode(header))).isEqualTo(header);
    }

    @Test
    void every_record_is_documented_with_its_number() throws IOException {
        String document = Files.readString(Path.of("..", "docs", "protocol.md"));
        assertThat(document)
                .contains("| 1 | BATCH | ", "| 2 | COMMIT | ", "| 3 | END | ")
                .contains("| 1 | DATA | ", "| 2 | ZEROES | ")
                .contains("| BODY_BYTES_MAX | " + JournalRecord.BODY_BYTES_MAX + " | ")
                .contains("| HEADER_BYTES_MAX | " + JournalCodec.HEADER_BYTES_MAX + " | ")
                .contains("| DISKS_MAX | " + JournalHeader.DISKS_MAX + " | ")
                .contains("| TEXT_BYTES_MAX | " + JournalHeader.TEXT_BYTES_MAX + " | ");
    }
}
