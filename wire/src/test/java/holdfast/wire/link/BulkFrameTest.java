package holdfast.wire.link;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.wire.ProtocolException;
import holdfast.wire.link.BulkFrame.Packing;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import java.nio.ByteBuffer;
import java.util.HexFormat;

class BulkFrameTest {
    @ParameterizedTest
    @CsvSource({
        "00000000 00000001 00000001, PLAIN, 1, 1",
        "00000000 00100000 00100000, PLAIN, 1048576, 1048576",
        "01000000 00000001 00000002, ZSTD, 1, 2",
        "01000000 000fffff 00100000, ZSTD, 1048575, 1048576",
    })
    void legal_headers(String hex, Packing packing, int stored, int raw) {
        byte[] bytes = HexFormat.of().parseHex(hex.replace(" ", ""));
        BulkFrame frame = BulkFrame.decode(ByteBuffer.wrap(bytes), 0);
        assertThat(frame).isEqualTo(new BulkFrame(packing, stored, raw));
        ByteBuffer again = ByteBuffer.allocate(BulkFrame.HEADER_BYTES);
        frame.encode(again);
        assertThat(again.array()).isEqualTo(bytes);
    }

    @ParameterizedTest
    @CsvSource({
        "00000000 00000000 00000000, raw bytes",
        "00000000 00100001 00100001, raw bytes",
        "00000000 00000001 00000002, stored bytes",
        "01000000 00000000 00000002, stored bytes",
        "01000000 00000002 00000002, stored bytes",
        "01000000 ffffffff 00000002, stored bytes",
        "01000000 00000001 80000000, raw bytes",
        "02000000 00000001 00000002, packing",
        "01000001 00000001 00000002, packing",
    })
    void illegal_headers_are_refused_with_their_place(String hex, String field) {
        byte[] bytes = HexFormat.of().parseHex(hex.replace(" ", ""));
        assertThatThrownBy(() -> BulkFrame.decode(ByteBuffer.wrap(bytes), 77))
                .isInstanceOfSatisfying(
                        ProtocolException.class,
                        refused -> {
                            assertThat(refused.offset()).isEqualTo(77);
                            assertThat(refused).hasMessageContaining(field);
                        });
    }
}
