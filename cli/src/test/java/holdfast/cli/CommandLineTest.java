package holdfast.cli;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.ApiException;
import holdfast.node.api.AttachRequest;
import holdfast.node.api.DomainSource;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.RemusRequest;
import holdfast.node.api.RestoreRequest;
import holdfast.node.api.SaveRequest;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** What commands print, ask the node and exit with. */
class CommandLineTest {
    @TempDir Path directory;
    private final FixedNode node = new FixedNode();
    private Path socket;
    private byte[] input = {};

    /** What a command left behind. */
    record Result(int status, String out, String err) {}

    private Result run(String... arguments) {
        return run(Surroundings.Terminal.ABSENT, arguments);
    }

    private Result run(Surroundings.Terminal terminal, String... arguments) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        Surroundings surroundings =
                new Surroundings(
                        new ByteArrayInputStream(input),
                        new PrintStream(out, true, StandardCharsets.UTF_8),
                        new PrintStream(err, true, StandardCharsets.UTF_8),
                        terminal,
                        Map.of("HOLDFAST_STATE_DIR", "/state"),
                        "root",
                        directory,
                        path -> {
                            socket = path;
                            return node;
                        });
        int status = Main.run(List.of(arguments), surroundings);
        return new Result(
                status, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
    }

    @Test
    void list_is_an_aligned_table() {
        assertThat(run("list"))
                .isEqualTo(
                        new Result(
                                0,
                                """
                                NAME      STATE    ROLE         PEER   MEMORY    VCPUS  PROCESS
                                database  ended    unprotected  -      4096 MiB  2      -
                                web       running  primary      hostB  256 MiB   1      4712
                                """,
                                ""));
        assertThat(run("list", "--names").out()).isEqualTo("database\nweb\n");
        assertThat(run("list", "--json").out())
                .startsWith("{\"domains\":[{\"name\":\"database\",")
                .hasLineCount(1);
        node.domains = List.of();
        assertThat(run("list"))
                .isEqualTo(
                        new Result(
                                0,
                                "",
                                "no domains on this node; `holdfast create FILE` starts one\n"));
        assertThat(run("list", "--json").out()).isEqualTo("{\"domains\":[]}\n");
    }

    private static final String STATUS =
            """
            name          web
            uuid          6f4b7bd2-0a53-4a6e-9e38-7fbd6f2f4a11
            state         running on hostA, process 4712
            role          primary
            machine       256 MiB, 1 vCPU
            nic 0         tap hf-web, 52:54:00:12:34:56
            disk 0        /images/web.qcow2, qcow2, read-write, 1.0 GiB
            protection    sending; peer hostB (10.0.0.2:7227); every 25 ms; arbiter none; generation 3
              mode        output held
              since       2026-11-20T10:00:00.000Z
              commits     1234 epochs, the last 12 ms ago, 39.8 a second
              tracker     soft-dirty
                          not write-protect: needs Linux 6.7, found 6.1
              guest stops p50 2.9 ms, p99 6.1 ms, max 12.4 ms
                of that   suspend 0.7, state 1.4, output 0.1, track 0.3, copy 0.2, resume 0.2 ms (p50)
              dirty pages p50 200, p99 700
              stream      12.3 MiB, 4.1 MiB on the link
              held output 3 frames, 4.1 KiB; peak 1.2 MiB of 64.0 MiB; 0 dropped
              trouble     back-pressure 7 ms, 1 checkpoint failed
              disk 0      in-sync, 1.0 GiB sent
              disk queue  4.0 KiB; 2 writes waited 31 ms
            when lost     protected again by itself, by hostB:7227
            last event    2026-11-20T10:00:00.000Z protected by hostB
            """;

    @Test
    void status_tells_everything_and_watches() {
        assertThat(run("status", "web")).isEqualTo(new Result(0, STATUS, ""));
        assertThat(run("status", "web", "--watch", "--times", "2").out())
                .isEqualTo(STATUS + "\n" + STATUS);
        assertThat(run("status", "web", "--watch", "--times", "3", "--json").out()).hasLineCount(3);
        assertThat(node.asked).contains("status web", "awaitChange web 7");
        assertThat(run("status", "web", "--json").out())
                .contains(
                        "\"state\":\"running\"",
                        "\"pauseMicros\":{\"p50\":2900,\"p99\":6100,\"max\":12400}",
                        "\"arbiter\":\"none\"");
    }

    @Test
    void a_domain_without_protection_has_a_short_status() {
        assertThat(StatusText.of(FixedNode.DB))
                .isEqualTo(
                        """
                        name          database
                        uuid          0e8cbb1e-7a55-4b0f-9b0a-0c6c0a8a3c55
                        state         ended on hostA
                        role          unprotected
                        machine       4096 MiB, 2 vCPUs\
                        """);
    }

    @Test
    void commands_of_one_domain_say_what_became_of_it() {
        assertThat(run("pause", "web").out()).isEqualTo("web is running\n");
        assertThat(run("unpause", "web").out()).isEqualTo("web is running\n");
        assertThat(run("unprotect", "web").out()).isEqualTo("web runs on hostA, unprotected\n");
        node.unprotected = FixedNode.LOOKING;
        assertThat(run("unprotect", "web").out())
                .isEqualTo(
                        "web runs on hostA, unprotected; looking for a node that protects it, until"
                                + " `holdfast unprotect web` is said once more\n");
        assertThat(run("failover", "web").out()).isEqualTo("web runs on hostA as primary\n");
        assertThat(run("destroy", "web").out()).isEqualTo("web is destroyed\n");
        assertThat(run("destroy", "web", "--json").out()).isEqualTo("{\"destroyed\":\"web\"}\n");
        assertThat(node.asked)
                .startsWith(
                        "pause web",
                        "unpause web",
                        "unprotect web",
                        "unprotect web",
                        "failover web",
                        "destroy web");
    }

    @Test
    void remus_shows_its_rounds_and_says_one_line() {
        assertThat(run("remus", "web", "hostB"))
                .isEqualTo(
                        new Result(
                                0,
                                "web is protected by hostB: epoch 25 ms, tracker soft-dirty\n",
                                "round 0: 0 of 256 MiB\nround 1: 0 of 3 MiB\nfirst checkpoint\n"));
        assertThat(node.asked)
                .containsExactly(
                        new RemusRequest(
                                "web",
                                "hostB",
                                25,
                                true,
                                false,
                                RemusRequest.ArbiterKind.OPERATOR,
                                RemusRequest.OF_THE_NODE,
                                RemusRequest.OF_THE_NODE,
                                null,
                                List.of(),
                                RemusRequest.AfterLoss.PROTECT_AGAIN,
                                MigrateRequest.Compress.AUTO));
    }

    @Test
    void remus_passes_every_option_on() {
        run(
                "remus",
                "web",
                "hostB:99",
                "-i",
                "10",
                "--no-net",
                "--plain",
                "--arbiter",
                "none",
                "--heartbeat",
                "50",
                "--deadline",
                "200",
                "--tee",
                "bulk.xen",
                "--once");
        assertThat(node.asked)
                .containsExactly(
                        RemusRequest.of("web", "hostB:99")
                                .withInterval(10)
                                .withHeldOutput(false)
                                .withPlain(true)
                                .withArbiter(RemusRequest.ArbiterKind.NONE)
                                .withDeadline(50, 200)
                                .withTee(directory + "/bulk.xen")
                                .withAfterLoss(RemusRequest.AfterLoss.STAY_ALONE));
    }

    @Test
    void remus_takes_further_nodes_and_renews_protection_unless_told_not_to() {
        run("remus", "web", "hostB", "hostC:99");
        assertThat(node.asked)
                .containsExactly(RemusRequest.of("web", "hostB").withOthers(List.of("hostC:99")));
        assertThat(run("remus", "web").status()).isEqualTo(2);
    }

    @Test
    void a_domain_that_looks_for_a_node_says_so() {
        assertThat(StatusText.of(FixedNode.LOOKING))
                .contains(
                        "alone         looking for a node, one of hostB:7227, hostC:7227; next try"
                                + " in 1.5 s, 3 attempts in vain",
                        "  because     hostB:7227: Connection refused");
        node.domains = List.of(FixedNode.LOOKING);
        assertThat(run("list").out()).contains("survivor  looking");
    }

    @Test
    void a_status_says_when_a_move_ends_and_why_nobody_looks_for_a_node() {
        assertThat(StatusText.of(FixedNode.MOVING))
                .contains(
                        "when lost     not protected again by itself\n"
                                + "  because     this node's settings have `reprotect: false`",
                        "  ends        in about 1.3 s\n");
        node.domains = List.of(FixedNode.MOVING);
        assertThat(run("list", "--json").out())
                .contains(
                        "\"expectedEndMillis\":1250",
                        "\"phases\":[{\"phase\":\"disks\",\"time\":\"2026-11-20T10:00:00.100Z\"}");
    }

    @Test
    void migrate_asks_for_what_was_said_and_says_how_it_ended() {
        assertThat(run("migrate", "web", "hostB"))
                .isEqualTo(
                        new Result(
                                0,
                                "web runs on hostB: guest stood still 12.5 ms, 320 ms in all\n",
                                "asking hostB:7227\nround 1\n"));
        assertThat(node.asked).containsExactly(MigrateRequest.of("web", "hostB"));
        node.asked.clear();
        Result lines =
                run(
                        "migrate",
                        "web",
                        "hostB",
                        "--require",
                        "net,hook:vdp",
                        "--best-effort",
                        "disk-cache",
                        "--downtime",
                        "5",
                        "--max-rounds",
                        "7",
                        "--bandwidth",
                        "100",
                        "--auto-converge",
                        "--connections",
                        "2",
                        "--timeout",
                        "60",
                        "--on-timeout",
                        "stop",
                        "--feature-timeout",
                        "9",
                        "--heartbeat",
                        "50",
                        "--deadline",
                        "200",
                        "--strict",
                        "--events");
        assertThat(lines.out().lines())
                .hasSize(6)
                .satisfies(
                        all -> {
                            // Nothing has a phase before there is a migration.
                            assertThat(all.getFirst()).startsWith("{\"event\":\"progress\"");
                            assertThat(all.get(1))
                                    .isEqualTo(
                                            "{\"event\":\"phase\",\"phase\":\"disks\",\"time\":\"2026-11-20T10:00:00.100Z\"}");
                            assertThat(all.get(2)).contains("perform").contains("00.200Z");
                            assertThat(all.get(3)).contains("\"round\":1");
                            assertThat(all.get(4)).startsWith("{\"event\":\"progress\"");
                            assertThat(all.getLast()).startsWith("{\"event\":\"result\"");
                        });
        assertThat(node.asked)
                .containsExactly(
                        MigrateRequest.of("web", "hostB")
                                .withPolicy(MigrateRequest.Policy.STRICT)
                                .withFeatures(List.of("net", "hook:vdp"), List.of("disk-cache"))
                                .withRounds(5, 7)
                                .withBandwidth(100)
                                .withAutoConverge(true)
                                .withConnections(2)
                                .withTimeout(60, MigrateRequest.OnTimeout.STOP)
                                .withFeatureSeconds(9)
                                .withDeadline(50, 200));
    }

    @Test
    void disks_are_copied_where_they_are_not_shared_or_as_the_operator_says() {
        run("migrate", "web", "hostB");
        run("migrate", "web", "hostB", "--storage", "shared");
        run("migrate", "web", "hostB", "--storage", "copy");
        assertThat(node.asked)
                .extracting(asked -> ((MigrateRequest) asked).storage())
                .containsExactly(
                        MigrateRequest.Storage.AUTO,
                        MigrateRequest.Storage.SHARED,
                        MigrateRequest.Storage.COPY);
        assertThat(
                        MigrateCommand.sentence(
                                new MigrateResult(
                                        "web",
                                        "hostB",
                                        "moved",
                                        "as asked",
                                        320,
                                        12.5,
                                        FixedNode.MIGRATION)))
                .isEqualTo(
                        "web runs on hostB: guest stood still 12.5 ms, 320 ms in all\n"
                                + "  disk0 was copied to /images/web.raw; its image here stays as"
                                + " it was at the hand-over");
    }

    @Test
    void a_domain_that_stayed_exits_1_and_wrong_migrations_exit_2() {
        node.migrationOutcome = "stayed";
        Result stayed = run("migrate", "web", "hostB");
        assertThat(stayed.status()).isEqualTo(1);
        assertThat(stayed.out()).isEqualTo("web was not moved and runs here: as asked\n");
        assertThat(run("migrate", "web").status()).isEqualTo(2);
        assertThat(run("migrate", "web", "hostB", "--urgent", "--strict").status()).isEqualTo(2);
        Result never = run("migrate", "web", "hostB", "--downtime", "0");
        assertThat(never.status()).isEqualTo(2);
        assertThat(never.err()).contains("downtimeMillis (--downtime) 0: allowed 1 to 60000");
        Result cloud = run("migrate", "web", "hostB", "--storage", "cloud");
        assertThat(cloud.status()).isEqualTo(2);
        assertThat(cloud.err()).contains("expected one of [auto, shared, copy] but was 'cloud'\n");
        assertThat(run("migrate", "web", "hostB", "--cancel").status()).isEqualTo(2);
        assertThat(run("migrate", "web", "--cancel").status()).isZero();
    }

    @Test
    void remus_without_waiting_leaves_at_the_first_word() {
        Result result = run("remus", "web", "hostB", "--no-wait");
        assertThat(result.status()).isZero();
        assertThat(result.err()).isEqualTo("round 0: 0 of 256 MiB\n");
        assertThat(result.out()).contains("has begun");
    }

    @Test
    void a_person_sees_a_bar() {
        Result result = run(Surroundings.Terminal.PRESENT, "save", "web", "web.save");
        assertThat(result.err())
                .isEqualTo(
                        "\r\u001b[?7l[#######.......................] 25% saving memory, 1 of 4"
                                + " MiB\u001b[K\u001b[?7h"
                                + "\r\u001b[?7l[##############################] 100% saving memory,"
                                + " 4 of 4 MiB\u001b[K\u001b[?7h\n");
        assertThat(result.out())
                .isEqualTo(
                        "web is saved: "
                                + directory
                                + "/web.save, 4.1 MiB, guest stopped for 412 ms\n");
    }

    @Test
    void paths_are_those_of_the_caller() throws IOException {
        Files.writeString(directory.resolve("web.yaml"), "name: web");
        run("create", "web.yaml");
        run("save", "web", "../w", "--leave-paused");
        run("save", "web", "/w", "--leave-running");
        run("restore", "w", "--name", "other", "--path", "/images=here");
        run("attach", "--qmp", "qmp.sock");
        assertThat(node.asked)
                .containsExactly(
                        new DomainSource(directory + "/web.yaml", "name: web"),
                        new SaveRequest(
                                "web", directory.getParent() + "/w", SaveRequest.After.PAUSE),
                        new SaveRequest("web", "/w", SaveRequest.After.CONTINUE),
                        new RestoreRequest(
                                directory + "/w",
                                "other",
                                java.util.Map.of("/images", directory + "/here")),
                        new AttachRequest(directory + "/qmp.sock", null));
    }

    @Test
    void a_domain_that_is_not_protected_as_its_description_wants_is_exit_status_1()
            throws IOException {
        Files.writeString(directory.resolve("web.yaml"), "name: web");
        node.created = FixedNode.UNPROTECTED_WITH_BACKUP;
        assertThat(run("create", "web.yaml"))
                .isEqualTo(
                        new Result(
                                1,
                                "web is running on hostA, process 4712\n",
                                "holdfast: web is not protected, though remus_backup names hostB;"
                                        + " not protected: node hostB:7227 cannot be reached\n"
                                        + "  try: holdfast remus web hostB\n"));
        node.created = FixedNode.WEB;
        assertThat(run("create", "web.yaml").status()).isZero();
    }

    @Test
    void the_state_directory_comes_from_the_option_or_the_variable() {
        run("list");
        assertThat(socket).hasToString("/state/api.sock");
        run("list", "-D", "/o");
        assertThat(socket).hasToString("/o/api.sock");
        run("--state-dir", "o", "list");
        assertThat(socket).isEqualTo(directory.resolve("o/api.sock"));
        run("-D/p", "list");
        assertThat(socket).hasToString("/p/api.sock");
    }

    @Test
    void the_node_shows_itself() {
        assertThat(run("node", "status").out())
                .isEqualTo(
                        """
                        node          hostA, Holdfast 0.1.0
                        daemon        process 4711 since 2026-11-20T09:00:00Z
                        listens on    0.0.0.0:7227
                        state in      /run/holdfast
                        guest memory  /dev/shm, 12.0 GiB free
                        qemu          /usr/bin/qemu-system-x86_64 7.2.22, accelerator tcg
                        domains       2
                        """);
    }

    @ParameterizedTest
    @EnumSource
    void every_kind_of_failure_has_its_exit_status_and_one_clear_line(ApiException.Kind kind) {
        node.refusal = new ApiException(kind, "what happened; what to do", "a command", null);
        Result result = run("pause", "web");
        int expected =
                switch (kind) {
                    case UNKNOWN_DOMAIN,
                            UNKNOWN_NODE,
                            ALREADY_PROTECTED,
                            NOT_PROTECTED,
                            EXISTS,
                            BAD_REQUEST ->
                            2;
                    case MISSING -> 3;
                    case FAILED -> 1;
                };
        assertThat(result)
                .isEqualTo(
                        new Result(
                                expected,
                                "",
                                "holdfast: what happened; what to do\n  try: a command\n"));
    }

    @Test
    void the_known_failures_name_the_next_step() {
        node.refusal = ApiException.unknownDomain("wbe");
        assertThat(run("status", "wbe").err())
                .isEqualTo(
                        "holdfast: no domain \"wbe\" on this node; `holdfast list` shows those"
                                + " there are\n");
        node.refusal = ApiException.alreadyProtected("web", "hostB");
        assertThat(run("remus", "web", "hostC").err())
                .endsWith(
                        "holdfast: domain \"web\" is protected by hostB already; `holdfast"
                                + " unprotect web` ends that\n");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "lst",
                "status",
                "status a b",
                "list --jsn",
                "remus web",
                "remus web hostB -i x",
                "remus web hostB -i 0",
                "remus web hostB -i 10001",
                "remus web hostB --arbiter any",
                "remus web hostB --heartbeat 100 --deadline 150",
                "remus web hostB --tee f",
                "save web f --leave-paused --leave-running",
                "attach",
                "node",
                "node begin",
                "stream",
                "stream verify",
                "stream verify /nonexistent",
                "stream verify .",
                "create /nonexistent",
                "completion tcsh",
                "simulate --schedules 0",
                "simulate --seed x",
                "node start --listen nowhere --foreground",
                "node start --config /nonexistent --foreground"
            })
    void a_wrong_request_is_exit_status_2_and_says_why(String line) {
        Result result = run(line.isEmpty() ? new String[0] : line.split(" "));
        assertThat(result.status()).as(result.err()).isEqualTo(2);
        assertThat(result.err()).startsWith("holdfast: ").doesNotContain("Exception", "\tat ");
        assertThat(result.out()).isEmpty();
        assertThat(node.asked).isEmpty();
    }

    @Test
    void a_daemon_that_is_not_there_is_exit_status_3() {
        node.refusal =
                new ApiException(
                        ApiException.Kind.MISSING,
                        "the daemon of this node does not run",
                        "holdfast node start",
                        null);
        assertThat(run("list"))
                .isEqualTo(
                        new Result(
                                3,
                                "",
                                "holdfast: the daemon of this node does not run\n"
                                        + "  try: holdfast node start\n"));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "node",
                "node start",
                "node stop",
                "node status",
                "create",
                "attach",
                "list",
                "status",
                "pause",
                "unpause",
                "destroy",
                "save",
                "restore",
                "remus",
                "unprotect",
                "failover",
                "stream inspect",
                "stream verify",
                "migrate-receive",
                "simulate",
                "completion",
                "version"
            })
    void every_command_explains_itself(String command) {
        Result result = run((command + " --help").strip().split(" "));
        assertThat(result.status()).isZero();
        assertThat(result.out()).startsWith("Usage: " + ("holdfast " + command).strip());
        if (!command.equals("node")) {
            assertThat(result.out()).contains("Example:\n  ");
        }
        assertThat(result.out().lines()).allMatch(line -> line.length() <= 120);
    }

    @Test
    void streams_are_verified_compressed_or_not_from_files_and_from_standard_input()
            throws IOException {
        byte[] noStream = "this is no Xen stream at all".getBytes(StandardCharsets.US_ASCII);
        Files.write(directory.resolve("bad"), noStream);
        Files.write(directory.resolve("bad.zst"), com.github.luben.zstd.Zstd.compress(noStream));
        input = noStream;
        for (String file : List.of("bad", "bad.zst", "-")) {
            Result result = run("stream", "verify", file);
            assertThat(result.status()).isEqualTo(1);
            assertThat(result.out())
                    .startsWith(file + ": ")
                    .contains("at offset 0")
                    .hasLineCount(1);
        }
        assertThat(run("stream", "verify", "--json", "bad").out())
                .contains("\"accepted\":false", "\"offset\":0");
        assertThat(run("stream", "inspect", "bad").status()).isEqualTo(1);
        assertThat(run("stream", "inspect", "--json", "bad").out()).contains("\"problem\":\"");
    }

    @ParameterizedTest
    @ValueSource(strings = {"bash", "zsh"})
    void completion_is_a_script_that_a_shell_can_read(String shell) throws Exception {
        Result result = run("completion", shell);
        assertThat(result.status()).isZero();
        assertThat(result.out()).contains("_holdfast_or_domain", "failover");
        Path script = Files.writeString(directory.resolve("completion"), result.out());
        Process check =
                new ProcessBuilder("bash", "-n", script.toString())
                        .redirectErrorStream(true)
                        .start();
        assertThat(check.waitFor(10, TimeUnit.SECONDS)).isTrue();
        assertThat(new String(check.getInputStream().readAllBytes(), StandardCharsets.UTF_8))
                .isEmpty();
        assertThat(check.exitValue()).isZero();
        assertThat(result.out()).contains("_args=(\"auto\" \"shared\" \"copy\")");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "status",
                "pause",
                "unpause",
                "destroy",
                "save",
                "migrate",
                "remus",
                "unprotect",
                "failover"
            })
    void a_domain_is_completed_where_a_command_takes_one(String command) throws Exception {
        Path script =
                Files.writeString(directory.resolve("completion"), run("completion", "bash").out());
        Process shell =
                new ProcessBuilder(
                                "bash",
                                "-c",
                                "holdfast() { echo web; echo database; }; . \"$0\";"
                                        + " COMP_WORDS=(holdfast \"$1\" w); COMP_CWORD=2;"
                                        + " _holdfast_or_domain; echo \"${COMPREPLY[*]}\"",
                                script.toString(),
                                command)
                        .redirectErrorStream(true)
                        .start();
        assertThat(shell.waitFor(10, TimeUnit.SECONDS)).isTrue();
        assertThat(new String(shell.getInputStream().readAllBytes(), StandardCharsets.UTF_8))
                .isEqualTo("web\n");
    }

    @Test
    void a_simulation_repeats_by_its_seed() {
        Result first = run("simulate", "--seed", "7", "--schedules", "20");
        assertThat(first.status()).as(first.out()).isZero();
        assertThat(first.err())
                .startsWith("seed 7, 20 schedules\n")
                .endsWith("100%, 20 of 20, 0 broken\n");
        assertThat(first.out())
                .startsWith("20 schedules of seed 7: every promise held; ")
                .hasLineCount(1);
        String until = " s simulated";
        assertThat(run("simulate", "--seed", "7", "--schedules", "20").out().split(until)[0])
                .isEqualTo(first.out().split(until)[0]);
        assertThat(run("simulate", "--seed", "7", "--schedules", "20", "--json").out())
                .startsWith("{\"seed\":7,\"schedulesAsked\":20,\"schedulesRun\":20,");
    }

    @Test
    void version_names_itself_and_java() {
        assertThat(run("version").out())
                .matches("holdfast [0-9]+\\.[0-9]+\\.[0-9]+\\S* \\(Java 25\\S*\\)\n");
        assertThat(run("--version").out()).isEqualTo(run("version").out());
        assertThat(run("version", "--json").out()).startsWith("{");
    }
}
