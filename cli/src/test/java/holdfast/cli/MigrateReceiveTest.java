package holdfast.cli;

import static holdfast.cli.CapturedStreams.BANNER;
import static holdfast.cli.CapturedStreams.GO;
import static holdfast.cli.CapturedStreams.READY;
import static holdfast.cli.CapturedStreams.REPORT;
import static holdfast.cli.CapturedStreams.concat;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.SequenceInputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Stream;

/** What is kept, said and reported, whatever the sender does. */
@Timeout(120)
class MigrateReceiveTest {
    @TempDir Path directory;

    /** What a command left behind. */
    private record Result(int status, byte[] out, String err) {}

    /** A sender that says nothing more, and lives. */
    private static final class Silence extends InputStream {
        private final CountDownLatch never = new CountDownLatch(1);

        @Override
        public int read() throws IOException {
            try {
                never.await();
            } catch (InterruptedException e) {
                throw new IOException(e);
            }
            return -1;
        }
    }

    /** Does something when it is reached, and is over. */
    private static final class Then extends InputStream {
        private final Runnable action;

        Then(Runnable action) {
            this.action = action;
        }

        @Override
        public int read() {
            action.run();
            return -1;
        }
    }

    /** A sender's end of the connection that takes so many bytes and breaks. */
    private static final class Breaking extends OutputStream {
        private int left;

        Breaking(int left) {
            this.left = left;
        }

        @Override
        public void write(int octet) throws IOException {
            if (left-- <= 0) {
                throw new IOException("Broken pipe");
            }
        }
    }

    private Result receive(InputStream in, String... options) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        Result result = receive(in, out, options);
        return new Result(result.status(), out.toByteArray(), result.err());
    }

    private Result receive(InputStream in, OutputStream out, String... options) {
        List<String> arguments = new ArrayList<>(List.of("migrate-receive", "--output", "image"));
        arguments.addAll(List.of(options));
        return run(in, out, arguments);
    }

    private Result run(InputStream in, OutputStream out, List<String> arguments) {
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        Surroundings surroundings =
                new Surroundings(
                        in,
                        new PrintStream(out, false, StandardCharsets.UTF_8),
                        new PrintStream(err, true, StandardCharsets.UTF_8),
                        Surroundings.Terminal.ABSENT,
                        Map.of(),
                        "root",
                        directory,
                        _ -> {
                            throw new AssertionError("this command needs no node");
                        });
        int status = Main.run(arguments, surroundings);
        return new Result(status, new byte[0], err.toString(StandardCharsets.UTF_8));
    }

    private Result receive(byte[] in, String... options) {
        return receive(new ByteArrayInputStream(in), options);
    }

    private Path image() {
        return directory.resolve("image");
    }

    private List<String> files() throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    private void assertVerified() {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        Result verified =
                run(InputStream.nullInputStream(), out, List.of("stream", "verify", "image"));
        assertThat(verified.status()).as(out.toString(StandardCharsets.UTF_8)).isZero();
    }

    private void assertNothingKept(Result result, String... words) throws IOException {
        assertThat(result.status()).as(result.err()).isEqualTo(1);
        assertThat(result.err())
                .contains("holdfast: ")
                .contains("nothing is kept, the domain stays the sender's")
                .contains(words)
                .doesNotContain("Exception", "defect");
        assertThat(files()).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(strings = {"tiny-pv.save", "tiny-pv.migrate", "tiny-pv.migrate-debug"})
    void a_domain_is_kept_and_given_back(String name) throws IOException {
        byte[] stream = CapturedStreams.streamOf(name);

        Result result = receive(concat(stream, GO));

        assertThat(result.status()).as(result.err()).isZero();
        assertThat(result.out()).isEqualTo(concat(BANNER, READY, REPORT, GO));
        assertThat(result.err())
                .contains("it was not started here", "told to let its own copy run on")
                .hasLineCount(1);
        assertThat(Files.readAllBytes(image())).isEqualTo(stream);
        assertThat(files()).containsExactly("image");
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(image())))
                .isEqualTo("rw-------");
        assertVerified();
    }

    @Test
    void a_stream_cut_anywhere_leaves_nothing() throws IOException {
        byte[] stream = CapturedStreams.streamOf("tiny-pv.migrate");
        List<Integer> cuts = new ArrayList<>(List.of(0, 1, 7, 31, 32, 40, 47, 48, 51, 52, 100));
        for (int boundary : CapturedStreams.boundaries(stream)) {
            cuts.addAll(List.of(boundary, boundary + 1, boundary + 7, boundary + 9));
        }
        cuts.removeIf(cut -> cut >= stream.length);
        cuts.add(stream.length - 1);
        assertThat(cuts).hasSizeGreaterThan(80);
        for (int cut : cuts) {
            Result result = receive(Arrays.copyOf(stream, cut));
            assertNothingKept(result, "TRUNCATED at offset ");
            assertThat(result.out()).isEqualTo(BANNER);
        }
    }

    @Test
    void a_handshake_cut_anywhere_leaves_nothing_and_answers_all_the_same() throws IOException {
        byte[] stream = CapturedStreams.streamOf("tiny-pv.migrate");
        for (int cut = 0; cut < GO.length; cut++) {
            Result result = receive(concat(stream, Arrays.copyOf(GO, cut)));
            assertNothingKept(
                    result,
                    "xl migration handshake at offset " + stream.length,
                    "expected 44 bytes, found end of stream after " + cut + " bytes");
            assertThat(result.out()).isEqualTo(concat(BANNER, READY, REPORT, GO));
        }
    }

    @Test
    void another_message_than_the_permission_is_refused_and_answered() throws IOException {
        byte[] stream = CapturedStreams.streamOf("tiny-pv.migrate");
        byte[] other = GO.clone();
        other[10] = 'm';
        // It need not be whole to be wrong.
        Result result = receive(concat(stream, Arrays.copyOf(other, 11)));
        assertNothingKept(
                result,
                "offset " + (stream.length + 10),
                "expected 0x79 of \"domain is yours",
                "found 0x6d");
        assertThat(result.out()).isEqualTo(concat(BANNER, READY, REPORT, GO));
    }

    @Test
    void an_image_that_was_there_stays_when_the_new_one_fails_and_is_replaced_when_not()
            throws IOException {
        byte[] stream = CapturedStreams.streamOf("tiny-pv.migrate");
        Files.writeString(image(), "the old one");
        assertThat(receive(stream).status()).isEqualTo(1);
        assertThat(image()).hasContent("the old one");
        assertThat(receive(concat(stream, GO)).status()).isZero();
        assertThat(Files.readAllBytes(image())).isEqualTo(stream);
        assertThat(files()).containsExactly("image");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "0  | ff | XL_HEADER at offset 0 in xl header: expected xl's magic, found 0xff",
                "20 | 00 | XL_HEADER at offset 8 in xl header: expected xl's magic",
                "32 | 05 | XL_HEADER at offset 32 in xl header: expected byte order mark 01020304",
                "36 | 01 | expected mandatory flags 3 (JSON configuration, libxl stream version 2)",
                "36 | 07 | offset 36 in xl header",
                "40 | 01 | optional flags 0, found 1",
                "47 | 7f | XL_CONFIGURATION at offset 44",
                "52 | 00 | XL_CONFIGURATION at offset 52 in xl configuration: expected a JSON"
            })
    void a_header_of_something_else_is_refused_by_name(int at, String octet, String words)
            throws IOException {
        byte[] stream = CapturedStreams.streamOf("tiny-pv.migrate");
        stream[at] = (byte) Integer.parseInt(octet, 16);
        Result result = receive(concat(stream, GO));
        assertNothingKept(result, words);
        assertThat(result.out()).isEqualTo(BANNER);
    }

    @Test
    void a_stream_without_xls_header_or_with_a_broken_record_is_refused() throws IOException {
        byte[] stream = CapturedStreams.streamOf("tiny-pv.migrate");
        List<Integer> boundaries = CapturedStreams.boundaries(stream);
        int libxl = boundaries.get(1);
        assertNothingKept(
                receive(Arrays.copyOfRange(stream, libxl, stream.length)),
                "expected xl's magic, found 0x4c6962786c466d74");
        byte[] broken = stream.clone();
        int record = boundaries.get(boundaries.size() / 2);
        broken[record] = 0x7e;
        assertNothingKept(
                receive(concat(broken, GO)), "UNKNOWN_MANDATORY_RECORD at offset " + record);
    }

    @Test
    void a_remus_stream_holds_the_last_complete_checkpoint_wherever_it_is_cut() throws IOException {
        byte[] stream = CapturedStreams.tiny("tiny-pv.remus");
        List<Integer> ends = CapturedStreams.checkpointEnds(stream);
        assertThat(ends).hasSize(23);
        for (int checkpoint = 1; checkpoint <= ends.size(); checkpoint++) {
            int end = ends.get(checkpoint - 1);
            int next = checkpoint < ends.size() ? ends.get(checkpoint) : end;
            // At the checkpoint, inside a record header, and anywhere in the next one.
            for (int cut : new TreeSet<>(List.of(end, Math.min(end + 5, next), (end + next) / 2))) {
                Result result = receive(Arrays.copyOf(stream, cut), "--remus");
                assertThat(result.status()).as(result.err()).isZero();
                assertThat(result.out()).isEqualTo(BANNER);
                assertThat(result.err())
                        .contains(
                                ", checkpoint " + checkpoint + "; the sender is gone (",
                                "was not started here");
                assertThat(Files.readAllBytes(image())).isEqualTo(Arrays.copyOf(stream, end));
                assertVerified();
                Files.delete(image());
                assertThat(files()).isEmpty();
            }
        }
    }

    @Test
    void a_remus_stream_cut_before_its_first_checkpoint_leaves_nothing() throws IOException {
        byte[] stream = CapturedStreams.tiny("tiny-pv.remus");
        int first = CapturedStreams.checkpointEnds(stream).getFirst();
        for (int cut : new int[] {0, 20, 48, 500, first / 2, first - 9, first - 1}) {
            Result result = receive(Arrays.copyOf(stream, cut), "-r");
            assertNothingKept(result, "no checkpoint was complete before it");
            assertThat(result.out()).isEqualTo(BANNER);
        }
    }

    @Test
    void a_broken_remus_stream_keeps_its_last_checkpoint_but_is_no_fail_over() throws IOException {
        byte[] stream = CapturedStreams.tiny("tiny-pv.remus");
        List<Integer> ends = CapturedStreams.checkpointEnds(stream);
        stream[ends.get(4)] = 0x7e;
        Result result = receive(stream, "--remus", "--json");
        assertThat(result.status()).isEqualTo(1);
        assertThat(result.err())
                .contains(
                        "\"mode\":\"remus\",\"kept\":true,\"bytes\":" + ends.get(4),
                        "\"checkpoints\":5",
                        "the sender may still run the domain",
                        "\"deviation\":{\"rule\":\"UNKNOWN_MANDATORY_RECORD\",\"offset\":"
                                + ends.get(4));
        assertThat(Files.size(image())).isEqualTo((long) ends.get(4));
        assertVerified();
    }

    @Test
    void each_mode_refuses_the_others_stream() throws IOException {
        byte[] stream = CapturedStreams.tiny("tiny-pv.remus");
        assertNothingKept(
                receive(stream),
                "checkpoint at offset " + CapturedStreams.checkpointEnds(stream).getFirst(),
                "needs --remus");
        assertNothingKept(
                receive(CapturedStreams.streamOf("tiny-pv.migrate"), "--remus"),
                "must not have --remus");
    }

    @Test
    void a_silent_sender_is_given_up_and_is_not_taken_for_dead() throws IOException {
        byte[] stream = CapturedStreams.streamOf("tiny-pv.migrate");
        String silence = "the sender sent nothing for 1 s";
        assertNothingKept(
                receive(
                        new SequenceInputStream(
                                new ByteArrayInputStream(stream, 0, stream.length / 2),
                                new Silence()),
                        "--timeout",
                        "1"),
                silence);
        Result late =
                receive(
                        new SequenceInputStream(new ByteArrayInputStream(stream), new Silence()),
                        "--timeout",
                        "1");
        assertNothingKept(late, silence);
        assertThat(late.out()).isEqualTo(concat(BANNER, READY, REPORT, GO));

        byte[] remus = CapturedStreams.tiny("tiny-pv.remus");
        Result checkpoints =
                receive(
                        new SequenceInputStream(new ByteArrayInputStream(remus), new Silence()),
                        "--remus",
                        "--timeout",
                        "1");
        assertThat(checkpoints.status()).isEqualTo(1);
        assertThat(checkpoints.err())
                .contains(silence, "image of checkpoint 23 is kept", "look there first");
        assertThat(Files.readAllBytes(image())).isEqualTo(remus);
    }

    @Test
    void a_stream_may_be_as_long_as_allowed_and_no_longer() throws IOException {
        byte[] stream = CapturedStreams.streamOf("tiny-pv.migrate");
        assertThat(receive(concat(stream, GO), "--max-bytes", "" + stream.length).status())
                .isZero();
        Files.delete(image());
        assertNothingKept(
                receive(concat(stream, GO), "--max-bytes", "" + (stream.length - 1)),
                "longer than the " + (stream.length - 1) + " bytes that --max-bytes allows");
        assertNothingKept(
                receive(concat(stream, GO), "--max-bytes", "1M"), "longer than the 1048576 bytes");

        byte[] remus = CapturedStreams.tiny("tiny-pv.remus");
        int third = CapturedStreams.checkpointEnds(remus).get(2);
        Result result = receive(remus, "--remus", "--max-bytes", "" + third);
        assertThat(result.status()).isEqualTo(1);
        assertThat(result.err()).contains("image of checkpoint 3 is kept");
        assertThat(Files.size(image())).isEqualTo(third);
    }

    @Test
    void a_sender_that_does_not_hear_the_banner_is_not_waited_for() throws IOException {
        Result result = receive(new Silence(), new Breaking(0));
        assertNothingKept(result, "cannot write to the sender: Banner did not get through");
    }

    @Test
    void a_sender_that_does_not_hear_the_answer_leaves_the_image_for_it_may_be_all_there_is()
            throws IOException {
        byte[] stream = CapturedStreams.streamOf("tiny-pv.migrate");
        Result result =
                receive(
                        new ByteArrayInputStream(concat(stream, GO)),
                        new Breaking(BANNER.length + READY.length));
        assertThat(result.status()).isEqualTo(1);
        assertThat(result.err())
                .contains("cannot write to the sender", "the image is kept", "--migratedaway");
        assertThat(Files.readAllBytes(image())).isEqualTo(stream);
    }

    @Test
    void an_image_that_cannot_get_its_name_is_left_where_it_is() throws IOException {
        byte[] remus = CapturedStreams.tiny("tiny-pv.remus");
        Result result =
                receive(
                        new SequenceInputStream(
                                new ByteArrayInputStream(remus), new Then(() -> occupy(image()))),
                        "--remus");
        assertThat(result.status()).isEqualTo(1);
        List<String> files = files();
        assertThat(files).hasSize(2).first().isEqualTo("image");
        assertThat(files.get(1)).startsWith("image.").endsWith(".partial");
        assertThat(result.err()).contains("cannot rename", "left as " + directory, files.get(1));
        assertThat(Files.readAllBytes(directory.resolve(files.get(1)))).isEqualTo(remus);
    }

    private static void occupy(Path image) {
        try {
            Files.createDirectories(image.resolve("something"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Test
    void a_name_that_is_no_name_reaches_no_terminal() throws IOException {
        byte[] stream = CapturedStreams.streamOf("tiny-pv.migrate");
        String text = new String(stream, StandardCharsets.ISO_8859_1);
        // As long as before: the lengths around it stay true.
        assertThat(text).contains("\"name\": \"tinyhot\"");
        stream =
                text.replace("\"name\": \"tinyhot\"", "\"name\":\"\\u001b[m\"")
                        .getBytes(StandardCharsets.ISO_8859_1);
        Result result = receive(concat(stream, GO));
        assertThat(result.status()).as(result.err()).isZero();
        assertThat(result.err()).contains(": \"\\u001B[m\", ").doesNotContain("\u001b");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "migrate-receive",
                "migrate-receive --output",
                "migrate-receive --output .",
                "migrate-receive --output /dev/null",
                "migrate-receive --output missing/image",
                "migrate-receive --output image --max-bytes 0",
                "migrate-receive --output image --max-bytes many",
                "migrate-receive --output image --timeout 0",
                "migrate-receive --output image --timeout 86401",
                "migrate-receive --output image more"
            })
    void a_wrong_request_says_nothing_to_the_sender(String line) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        Result result = run(new Silence(), out, List.of(line.split(" ")));
        assertThat(result.status()).as(result.err()).isEqualTo(2);
        assertThat(result.err()).startsWith("holdfast: ").doesNotContain("Exception");
        assertThat(out.size()).isZero();
        assertThat(files()).isEmpty();
    }
}
