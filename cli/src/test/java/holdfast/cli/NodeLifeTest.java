package holdfast.cli;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.ApiClient;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Starting, finding and ending a daemon in a process of its own. */
@Timeout(90)
class NodeLifeTest {
    @TempDir Path directory;
    private String before;

    private record Result(int status, String out, String err) {}

    /** A launcher like bin/holdfast, for the stand-in. */
    @BeforeEach
    void launcher() throws IOException {
        Path script =
                Files.writeString(
                        directory.resolve("launcher"),
                        "#!/bin/sh\nexec '"
                                + Path.of(System.getProperty("java.home"), "bin", "java")
                                + "' -cp '"
                                + System.getProperty("java.class.path")
                                + "' holdfast.cli.StandInDaemon \"$@\"\n");
        Files.setPosixFilePermissions(script, PosixFilePermissions.fromString("rwx------"));
        before = System.getProperty("holdfast.command");
        System.setProperty("holdfast.command", script.toString());
    }

    @AfterEach
    void end() {
        if (before == null) {
            System.clearProperty("holdfast.command");
        } else {
            System.setProperty("holdfast.command", before);
        }
        if (Files.exists(directory.resolve("state/api.sock"))) {
            run("node", "stop");
        }
    }

    private Result run(String... arguments) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        Surroundings surroundings =
                new Surroundings(
                        new ByteArrayInputStream(new byte[0]),
                        new PrintStream(out, true, StandardCharsets.UTF_8),
                        new PrintStream(err, true, StandardCharsets.UTF_8),
                        Surroundings.Terminal.ABSENT,
                        Map.of("HOLDFAST_STATE_DIR", directory.resolve("state").toString()),
                        "root",
                        directory,
                        ApiClient::new);
        int status = Main.run(List.of(arguments), surroundings);
        return new Result(
                status, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
    }

    @Test
    void a_daemon_starts_answers_and_ends() throws IOException {
        Result started = run("node", "start", "--name", "hostA", "--listen", "127.0.0.1:7333");
        assertThat(started.err()).isEmpty();
        assertThat(started.status()).isZero();
        assertThat(started.out())
                .startsWith("node hostA listens on")
                .contains("log " + directory + "/state/holdfastd.log");
        assertThat(Files.readString(directory.resolve("state/holdfastd.log")))
                .contains(
                        "node start --foreground --state-dir "
                                + directory
                                + "/state --name hostA --listen 127.0.0.1:7333");

        assertThat(run("list").out()).contains("web");
        Result second = run("node", "start");
        assertThat(second.status()).isEqualTo(2);
        assertThat(second.err()).contains("runs already", "`holdfast node stop` ends it");

        long pid = new ApiClient(directory.resolve("state/api.sock")).nodeInfo().pid();
        Result stopped = run("node", "stop");
        assertThat(stopped.out()).isEqualTo("node hostA has ended, process " + pid + "\n");
        assertThat(ProcessHandle.of(pid).map(ProcessHandle::isAlive))
                .isIn(Optional.empty(), Optional.of(false));
        assertThat(run("node", "status").status()).isEqualTo(3);
    }

    @Test
    void a_daemon_that_ends_at_once_is_reported_with_its_last_words() {
        Result result = run("node", "start", "--name", "unlucky");
        assertThat(result.status()).isEqualTo(1);
        assertThat(result.err()).contains("ended at once (no luck today)", "holdfastd.log");
    }

    @Test
    void nothing_runs_and_every_command_says_so() {
        for (String command :
                List.of(
                        "list",
                        "status web",
                        "node status",
                        "node stop",
                        "remus web hostB",
                        "save web f")) {
            Result result = run(command.split(" "));
            assertThat(result.status()).as(command).isEqualTo(3);
            assertThat(result.err()).contains("does not run", "try: holdfast node start");
        }
    }
}
