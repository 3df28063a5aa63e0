package holdfast.wire.xen;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.wire.colo.ColoOrder;
import holdfast.wire.netfilter.FrameFormat;

import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Holds the tables of docs/protocol.md to the code. */
class DocumentedProtocolTest {
    private static String document;

    @BeforeAll
    static void readDocument() throws IOException {
        document = Files.readString(Path.of("..", "docs", "protocol.md"));
    }

    @Test
    void every_libxc_record_is_documented_with_its_number() {
        for (LibxcType type : LibxcType.values()) {
            assertThat(document).contains("| 0x%02x | %s |".formatted(type.code(), type));
        }
    }

    @Test
    void every_libxl_record_is_documented_with_its_number() {
        for (LibxlType type : LibxlType.values()) {
            assertThat(document).contains("| %d | %s |".formatted(type.code(), type));
        }
    }

    @Test
    void every_colo_message_is_documented() {
        for (ColoOrder.Due message : ColoOrder.Due.values()) {
            assertThat(document).contains("| %d | %s |".formatted(message.ordinal(), message));
        }
    }

    @Test
    void every_message_of_xls_handshake_is_documented_with_its_length() {
        XlMessagesTest.vectors()
                .forEach(
                        vector ->
                                assertThat(document)
                                        .containsPattern(
                                                "\\| [1-6] \\| %s \\|[^|]*\\|[^|]*\\| %d[:,]"
                                                        .formatted(
                                                                vector.message()
                                                                        .getClass()
                                                                        .getSimpleName(),
                                                                vector.bytes())));
    }

    @Test
    void every_rule_of_the_verifier_is_documented() {
        for (StreamRule rule : StreamRule.values()) {
            assertThat(document).contains("| " + rule + " |");
        }
    }

    @Test
    void the_limits_are_documented() {
        assertThat(document)
                .contains("| WRITTEN_PAGES_MAX | " + XenLimits.WRITTEN_PAGES_MAX + " |")
                .contains("| RECORD_PAGES_MAX | " + XenLimits.RECORD_PAGES_MAX + " |")
                .contains("| DELTA_BYTES_MAX | " + XenLimits.DELTA_BYTES_MAX + " |")
                .contains("| RECORD_BYTES_MAX | " + XenLimits.RECORD_BYTES_MAX + " |")
                .contains(
                        "| XL_OPTIONAL_DATA_BYTES_MAX | "
                                + XenLimits.XL_OPTIONAL_DATA_BYTES_MAX
                                + " |")
                .contains("1 to " + FrameFormat.FRAME_BYTES_MAX);
    }
}
