package holdfast.wire.xen;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The verifier on a stream whose sender waits for an answer. */
class ArrivingStreamTest {
    private static final int GO_BYTES = 44;

    /** Notes what it is told. */
    private static final class Notes implements StreamWatcher {
        private final List<Long> checkpointEnds = new ArrayList<>();
        private String configuration = "";
        private long end = -1;

        @Override
        public void configuration(byte[] text) {
            configuration = new String(text, StandardCharsets.UTF_8);
        }

        @Override
        public void checkpointComplete(long checkpoints, long endOffset) {
            checkpointEnds.add(endOffset);
            assertThat(checkpointEnds).hasSize((int) checkpoints);
        }

        @Override
        public void streamComplete(long endOffset) {
            end = endOffset;
        }
    }

    /** A sender that would wait for ever behind its last byte. */
    private static final class Waiting extends InputStream {
        private final ByteArrayInputStream bytes;

        Waiting(byte[] bytes) {
            this.bytes = new ByteArrayInputStream(bytes);
        }

        @Override
        public int read() {
            throw new UnsupportedOperationException("only whole reads");
        }

        @Override
        public int read(byte[] target, int offset, int length) {
            int read = bytes.read(target, offset, length);
            if (read < 0) {
                throw new AssertionError("waits for a byte that the sender does not send");
            }
            return read;
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"tiny-pv.migrate", "tiny-pv.migrate-debug"})
    void it_returns_at_the_end_without_waiting_for_more(String name) throws IOException {
        byte[] captured = XenCaptures.tiny(name);
        byte[] stream = Arrays.copyOf(captured, captured.length - GO_BYTES);
        Notes notes = new Notes();

        StreamVerdict verdict =
                StreamVerifier.verifyArriving(new Waiting(stream), ReaderOptions.PLAIN, notes);

        assertThat(verdict.accepted()).isTrue();
        assertThat(verdict.bytes()).isEqualTo(stream.length).isEqualTo(notes.end);
        assertThat(notes.configuration).startsWith("{").contains("\"name\": \"tinyhot\"");
        assertThat(notes.checkpointEnds).isEmpty();
    }

    @Test
    void what_was_read_too_much_is_not_of_the_stream() throws IOException {
        byte[] captured = XenCaptures.tiny("tiny-pv.migrate");

        StreamVerdict verdict =
                StreamVerifier.verifyArriving(
                        new ByteArrayInputStream(captured), ReaderOptions.PLAIN, new Notes());

        assertThat(verdict.bytes()).isEqualTo(captured.length - GO_BYTES);
    }

    @Test
    void every_checkpoint_is_told_with_its_end() throws IOException {
        byte[] captured = XenCaptures.tiny("tiny-pv.remus");
        Notes notes = new Notes();

        StreamVerdict verdict =
                StreamVerifier.verifyArriving(
                        new ByteArrayInputStream(captured), ReaderOptions.PLAIN, notes);

        assertThat(verdict.accepted()).isTrue();
        assertThat(notes.end).isEqualTo(-1);
        assertThat(notes.checkpointEnds).hasSize(23).isSorted().endsWith((long) captured.length);
        for (long end : notes.checkpointEnds) {
            byte[] cut = Arrays.copyOf(captured, (int) end);
            assertThat(
                            StreamVerifier.verify(
                                            new ByteArrayInputStream(cut), ReaderOptions.PLAIN)
                                    .accepted())
                    .isTrue();
        }
    }

    @Test
    void it_begins_at_xls_header_and_nowhere_else() throws IOException {
        for (byte[] other :
                List.of(
                        new StreamBytes().hvmStart().toArray(),
                        new StreamBytes().imageHeader(3).domainHeader(2).toArray())) {
            StreamVerdict verdict =
                    StreamVerifier.verifyArriving(
                            new ByteArrayInputStream(other), ReaderOptions.PLAIN, new Notes());
            assertThat(verdict.deviation())
                    .hasValueSatisfying(
                            deviation -> {
                                assertThat(deviation.rule()).isEqualTo(StreamRule.XL_HEADER);
                                assertThat(deviation.offset()).isZero();
                                assertThat(deviation.expected()).isEqualTo("xl's magic");
                            });
        }
    }

    @Test
    void a_libxl_stream_of_version_1_is_refused_by_its_flags() throws IOException {
        byte[] stream = new StreamBytes().xlHeader("{}\0").hvmStart().toArray();
        stream[36] = 1;
        StreamVerdict verdict =
                StreamVerifier.verifyArriving(
                        new ByteArrayInputStream(stream), ReaderOptions.PLAIN, new Notes());
        assertThat(verdict.deviation())
                .hasValueSatisfying(
                        deviation ->
                                assertThat(deviation)
                                        .hasToString(
                                                "XL_HEADER at offset 36 in xl header: expected"
                                                        + " mandatory flags 3 (JSON configuration,"
                                                        + " libxl stream version 2), found 0x1"));
    }

    @Test
    void what_a_watcher_throws_comes_out_as_it_is() {
        IOException full = new IOException("disk full");
        StreamWatcher watcher =
                new StreamWatcher() {
                    @Override
                    public void configuration(byte[] text) throws IOException {
                        throw full;
                    }

                    @Override
                    public void checkpointComplete(long checkpoints, long endOffset) {}

                    @Override
                    public void streamComplete(long endOffset) {}
                };
        byte[] captured = XenCaptures.tiny("tiny-pv.migrate");
        assertThatThrownBy(
                        () ->
                                StreamVerifier.verifyArriving(
                                        new ByteArrayInputStream(captured),
                                        ReaderOptions.PLAIN,
                                        watcher))
                .isSameAs(full);
    }
}
