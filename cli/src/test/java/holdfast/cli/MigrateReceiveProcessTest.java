package holdfast.cli;

import static holdfast.cli.CapturedStreams.BANNER;
import static holdfast.cli.CapturedStreams.GO;
import static holdfast.cli.CapturedStreams.READY;
import static holdfast.cli.CapturedStreams.REPORT;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * A sender's half of xl's migration, written from the protocol alone, against the command in a
 * process of its own: it says nothing before it is asked, and takes every octet that is answered.
 */
@Timeout(120)
class MigrateReceiveProcessTest {
    private static final long END_SECONDS_MAX = 30;

    @TempDir Path directory;
    private Path launcher;
    private String err;

    @BeforeEach
    void launcher() throws IOException {
        launcher =
                Files.writeString(
                        directory.resolve("launcher"),
                        "#!/bin/sh\nexec '"
                                + Path.of(System.getProperty("java.home"), "bin", "java")
                                + "' --enable-native-access=ALL-UNNAMED -XX:TieredStopAtLevel=1"
                                + " -XX:+UseSerialGC -cp '"
                                + System.getProperty("java.class.path")
                                + "' holdfast.cli.Main \"$@\"\n");
        Files.setPosixFilePermissions(launcher, PosixFilePermissions.fromString("rwx------"));
    }

    /** The command at work. */
    private final class Receiver implements AutoCloseable {
        private final Process process;
        private final InputStream answers;
        private final OutputStream stream;
        private final BufferedReader errors;

        Receiver(String... options) throws IOException {
            List<String> command = new ArrayList<>(List.of(launcher.toString(), "migrate-receive"));
            command.addAll(List.of("--output", image().toString()));
            command.addAll(List.of(options));
            process = new ProcessBuilder(command).start();
            errors = process.errorReader();
            answers = process.getInputStream();
            stream = process.getOutputStream();
        }

        void expect(byte[] octets) throws IOException {
            assertThat(answers.readNBytes(octets.length)).isEqualTo(octets);
        }

        void send(byte[] octets) throws IOException {
            stream.write(octets);
            stream.flush();
        }

        /** Closes the sender's end; nothing more may be said then but {@code last}. */
        int endOfFile(byte[]... last) throws Exception {
            stream.close();
            return end(last);
        }

        int end(byte[]... last) throws Exception {
            byte[] rest = answers.readAllBytes();
            err = String.join("\n", errors.readAllLines());
            assertThat(rest).as(err).isEqualTo(CapturedStreams.concat(last));
            assertThat(process.waitFor(END_SECONDS_MAX, TimeUnit.SECONDS)).isTrue();
            return process.exitValue();
        }

        void awaitFirstCheckpoint() throws IOException {
            assertThat(errors.readLine()).startsWith("the first checkpoint is complete");
        }

        @Override
        public void close() {
            process.destroyForcibly();
        }
    }

    private Path image() {
        return directory.resolve("image");
    }

    private List<String> images() throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.map(file -> file.getFileName().toString())
                    .filter(name -> name.startsWith("image"))
                    .toList();
        }
    }

    private void assertImage(byte[] expected) throws Exception {
        assertThat(Arrays.mismatch(Files.readAllBytes(image()), expected)).isEqualTo(-1);
        assertThat(images()).containsExactly("image");
        Process verify =
                new ProcessBuilder(launcher.toString(), "stream", "verify", image().toString())
                        .redirectErrorStream(true)
                        .start();
        verify.getOutputStream().close();
        assertThat(new String(verify.getInputStream().readAllBytes())).contains("keeps every rule");
        assertThat(verify.waitFor(END_SECONDS_MAX, TimeUnit.SECONDS)).isTrue();
        assertThat(verify.exitValue()).isZero();
    }

    @ParameterizedTest
    @ValueSource(strings = {"tiny-pv.migrate", "tiny-pv.migrate-debug", "tiny-pv.save"})
    void a_migration_step_by_step(String name) throws Exception {
        migrates(CapturedStreams.streamOf(name));
    }

    @Test
    @Tag("captures")
    void the_migration_of_an_hvm_guest_step_by_step() throws Exception {
        migrates(CapturedStreams.external("hvm.save"));
    }

    private void migrates(byte[] stream) throws Exception {
        try (Receiver receiver = new Receiver()) {
            receiver.expect(BANNER);
            assertThat(Files.exists(image())).isFalse();
            receiver.send(stream);
            receiver.expect(READY);
            assertThat(Files.exists(image())).as("before it is ours").isFalse();
            receiver.send(GO);
            receiver.expect(REPORT);
            receiver.expect(GO);
            // The sender's end is still open, as xl's is: nothing more is asked of it.
            assertThat(receiver.end()).isZero();
        }
        assertImage(stream);
        assertThat(err).contains("it was not started here");
    }

    @Test
    void a_protection_until_the_sender_is_gone() throws Exception {
        protects(CapturedStreams.tiny("tiny-pv.remus"), 23);
    }

    @Test
    @Tag("captures")
    void the_protection_of_an_hvm_guest_until_the_sender_is_gone() throws Exception {
        protects(CapturedStreams.external("hvm.remus"), 13);
    }

    private void protects(byte[] stream, int checkpoints) throws Exception {
        try (Receiver receiver = new Receiver("--remus", "--json")) {
            receiver.expect(BANNER);
            receiver.send(stream);
            assertThat(receiver.endOfFile()).isZero();
        }
        assertImage(stream);
        assertThat(err.lines().toList().getLast())
                .startsWith("{\"file\":\"" + image() + "\",\"domain\":\"")
                .contains(
                        "\"mode\":\"remus\",\"kept\":true,\"bytes\":"
                                + stream.length
                                + ",\"checkpoints\":"
                                + checkpoints
                                + ",\"problem\":null");
    }

    @Test
    void a_sender_that_ends_at_any_step_leaves_nothing() throws Exception {
        byte[] stream = CapturedStreams.streamOf("tiny-pv.migrate");
        try (Receiver receiver = new Receiver()) {
            receiver.expect(BANNER);
            assertThat(receiver.endOfFile()).isEqualTo(1);
            assertThat(err).contains("TRUNCATED at offset 0");
        }
        try (Receiver receiver = new Receiver()) {
            receiver.expect(BANNER);
            receiver.send(Arrays.copyOf(stream, stream.length / 2));
            assertThat(receiver.endOfFile()).isEqualTo(1);
            assertThat(err).contains("TRUNCATED at offset " + stream.length / 2);
        }
        try (Receiver receiver = new Receiver()) {
            receiver.expect(BANNER);
            receiver.send(stream);
            receiver.expect(READY);
            assertThat(receiver.endOfFile(REPORT, GO)).isEqualTo(1);
            assertThat(err).contains("handshake at offset " + stream.length, "after 0 bytes");
        }
        try (Receiver receiver = new Receiver()) {
            receiver.expect(BANNER);
            receiver.send(stream);
            receiver.expect(READY);
            receiver.send(Arrays.copyOf(GO, 43));
            assertThat(receiver.endOfFile(REPORT, GO)).isEqualTo(1);
            assertThat(err).contains("after 43 bytes", "nothing is kept");
        }
        assertThat(images()).isEmpty();
    }

    @Test
    void a_sender_that_does_not_listen_to_the_answer_leaves_the_image() throws Exception {
        byte[] stream = CapturedStreams.streamOf("tiny-pv.migrate");
        try (Receiver receiver = new Receiver()) {
            receiver.expect(BANNER);
            receiver.send(stream);
            receiver.expect(READY);
            receiver.answers.close();
            receiver.send(GO);
            err = String.join("\n", receiver.errors.readAllLines());
            assertThat(receiver.process.waitFor(END_SECONDS_MAX, TimeUnit.SECONDS)).isTrue();
            assertThat(receiver.process.exitValue()).isEqualTo(1);
        }
        assertThat(err).contains("the sender does not know it", "--migratedaway");
        assertImage(stream);
    }

    @Test
    void a_receiver_that_is_told_to_end_keeps_its_checkpoint_and_nothing_of_a_migration()
            throws Exception {
        byte[] remus = CapturedStreams.tiny("tiny-pv.remus");
        int end = CapturedStreams.checkpointEnds(remus).getFirst();
        try (Receiver receiver = new Receiver("--remus")) {
            receiver.expect(BANNER);
            receiver.send(Arrays.copyOf(remus, end + 100));
            receiver.awaitFirstCheckpoint();
            receiver.process.toHandle().destroy();
            assertThat(receiver.end()).isEqualTo(143);
        }
        assertThat(err).contains("told to end; the image of checkpoint 1 is kept");
        assertImage(Arrays.copyOf(remus, end));
        Files.delete(image());

        byte[] stream = CapturedStreams.streamOf("tiny-pv.migrate");
        try (Receiver receiver = new Receiver()) {
            receiver.expect(BANNER);
            receiver.send(stream);
            receiver.expect(READY);
            receiver.process.toHandle().destroy();
            assertThat(receiver.end(REPORT, GO)).isEqualTo(143);
        }
        assertThat(err).contains("told to end; nothing is kept");
        assertThat(images()).isEmpty();
    }

    @Test
    void a_receiver_that_is_killed_leaves_no_file_under_the_images_name() throws Exception {
        byte[] remus = CapturedStreams.tiny("tiny-pv.remus");
        try (Receiver receiver = new Receiver("--remus")) {
            receiver.expect(BANNER);
            receiver.send(remus);
            receiver.awaitFirstCheckpoint();
            receiver.process.toHandle().destroyForcibly();
            assertThat(receiver.end()).isEqualTo(137);
        }
        assertThat(images()).singleElement().asString().endsWith(".partial");
    }

    @Test
    void the_sender_of_the_examples_gets_its_answers() throws Exception {
        byte[] saved = CapturedStreams.streamOf("tiny-pv.save");
        Path file = Files.write(directory.resolve("saved"), saved);
        Path script = Path.of("../examples/xl-send.sh").toAbsolutePath();
        Process sender =
                new ProcessBuilder(
                                script.toString(),
                                file.toString(),
                                "'" + launcher + "' migrate-receive --output '" + image() + "'")
                        .redirectErrorStream(true)
                        .start();
        sender.getOutputStream().close();
        String said = new String(sender.getInputStream().readAllBytes());
        assertThat(sender.waitFor(END_SECONDS_MAX, TimeUnit.SECONDS)).isTrue();
        assertThat(sender.exitValue()).as(said).isZero();
        assertThat(said)
                .contains(
                        "sender: got the banner\n",
                        "sender: got the ready message\n",
                        "sender: got the report\n",
                        "sender: the receiver reports status 1\n",
                        "sender: got the permission to go on\n");
        assertImage(saved);
    }
}
