package holdfast.wire.xen;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.Optional;

class CapturedStreamsTest {
    private static final byte[] GO =
            "domain is yours, you are cleared to unpause\0".getBytes(StandardCharsets.US_ASCII);

    @ParameterizedTest
    @ValueSource(
            strings = {"tiny-pv.save", "tiny-pv.migrate", "tiny-pv.migrate-debug", "tiny-pv.remus"})
    void a_stream_of_a_pv_guest_is_read_and_written_byte_for_byte(String name) throws IOException {
        copiesByteForByte(XenCaptures.tiny(name));
    }

    @ParameterizedTest
    @ValueSource(strings = {"hvm.save", "hvm.remus"})
    @Tag("captures")
    void a_stream_of_an_hvm_guest_is_read_and_written_byte_for_byte(String name)
            throws IOException {
        copiesByteForByte(externalCapture(name));
    }

    @Test
    void what_xl_sends_after_the_stream_is_left_to_the_caller() throws IOException {
        StreamCopy.Copy copy = StreamCopy.fromChannel(XenCaptures.tiny("tiny-pv.migrate"));

        assertThat(copy.last()).isInstanceOf(StreamEvent.Finished.class);
        assertThat(copy.rest()).isEqualTo(GO);
    }

    @Test
    void a_remus_stream_ends_between_checkpoints() throws IOException {
        StreamCopy.Copy copy = StreamCopy.fromMemory(XenCaptures.tiny("tiny-pv.remus"));

        assertThat(copy.last()).isInstanceOf(StreamEvent.SourceEnded.class);
        assertThat(Collections.frequency(copy.events(), "CHECKPOINT")).isEqualTo(23);
        assertThat(Collections.frequency(copy.events(), "LIBXL_CHECKPOINT_END")).isEqualTo(23);
    }

    static byte[] externalCapture(String name) throws IOException {
        Optional<Path> directory = XenCaptures.directory();
        if (directory.isEmpty()) {
            String message =
                    "NOT RUN: "
                            + name
                            + ". Set "
                            + XenCaptures.DIRECTORY_VARIABLE
                            + " to the directory that holds "
                            + name
                            + ".zst";
            System.err.println(message);
            Assumptions.abort(message);
        }
        return XenCaptures.external(directory.orElseThrow(), name);
    }

    private static void copiesByteForByte(byte[] stream) throws IOException {
        StreamCopy.Copy fromChannel = StreamCopy.fromChannel(stream);
        StreamCopy.Copy fromMemory = StreamCopy.fromMemory(stream);

        assertThat(Arrays.mismatch(whole(fromChannel), stream)).isEqualTo(-1);
        assertThat(Arrays.mismatch(whole(fromMemory), stream)).isEqualTo(-1);
        assertThat(fromChannel.events()).isEqualTo(fromMemory.events());
    }

    private static byte[] whole(StreamCopy.Copy copy) {
        byte[] whole = Arrays.copyOf(copy.bytes(), copy.bytes().length + copy.rest().length);
        System.arraycopy(copy.rest(), 0, whole, copy.bytes().length, copy.rest().length);
        return whole;
    }
}
