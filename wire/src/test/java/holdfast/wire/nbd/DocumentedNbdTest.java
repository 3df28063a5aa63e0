package holdfast.wire.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Holds the tables of the NBD chapter of docs/protocol.md to the code. */
class DocumentedNbdTest {
    private static String chapter;

    @BeforeAll
    static void readDocument() throws IOException {
        String document = Files.readString(Path.of("..", "docs", "protocol.md"));
        int start = document.indexOf("\n## NBD (`holdfast.wire.nbd`)");
        int end = document.indexOf("\n## ", start + 1);
        chapter = document.substring(start, end < 0 ? document.length() : end);
    }

    @Test
    void every_option_and_reply_is_documented_with_its_number() {
        for (NbdOption.Type type : NbdOption.Type.values()) {
            assertThat(chapter).contains("| " + type.number() + " | " + type + " | ");
        }
        for (NbdOptionReply.Type type : NbdOptionReply.Type.values()) {
            assertThat(chapter).contains("| " + type.number() + " | " + type + " | ");
        }
        for (NbdOptionReply.Refusal refusal : NbdOptionReply.Refusal.values()) {
            assertThat(chapter)
                    .contains("| 2^31 + " + (refusal.number() & 0xFFFF) + " | " + refusal + " | ");
        }
    }

    @Test
    void every_request_chunk_flag_and_error_is_documented_with_its_number() {
        for (NbdRequest.Type type : NbdRequest.Type.values()) {
            assertThat(chapter).contains("| " + type.number() + " | " + type + " | ");
        }
        for (NbdReply.ChunkType type : NbdReply.ChunkType.values()) {
            assertThat(chapter).contains("| 0x%04x | %s | ".formatted(type.number(), type));
        }
        for (TransmissionFlag flag : TransmissionFlag.values()) {
            assertThat(chapter).contains("| " + flag.bit() + " | " + flag + " | ");
        }
        for (NbdError error : NbdError.values()) {
            assertThat(chapter).contains("| " + error.number() + " | " + error + " | ");
        }
    }

    @Test
    void the_limits_are_documented() {
        assertThat(chapter)
                .contains("| STRING_BYTES_MAX | " + NbdMessage.STRING_BYTES_MAX + " |")
                .contains("| OPTION_BYTES_MAX | " + NbdMessage.OPTION_BYTES_MAX + " |")
                .contains("| QUERIES_MAX | " + NbdMessage.QUERIES_MAX + " |")
                .contains("| PAYLOAD_BYTES_MAX | " + NbdMessage.PAYLOAD_BYTES_MAX + " |")
                .contains("| EXTENTS_MAX | " + NbdMessage.EXTENTS_MAX + " |");
    }
}
