package holdfast.wire.link;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Holds the table of messages in docs/protocol.md to the code. */
class DocumentedLinkTest {
    @Test
    void every_message_is_documented_with_its_number() throws IOException {
        String document = Files.readString(Path.of("..", "docs", "protocol.md"));
        for (LinkCodec.Type type : LinkCodec.Type.values()) {
            assertThat(document).contains("| " + type.number() + " | " + type + " | ");
        }
    }
}
