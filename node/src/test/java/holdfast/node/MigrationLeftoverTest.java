package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.MigratingPair.Victim;
import holdfast.node.MigrationPhaseKillTest.Moment;
import holdfast.node.api.DomainSource;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.ProgressListener;
import holdfast.qemu.launch.ProcessIdentity;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * What a destination leaves of the network and of hooks whose daemon is killed before the domain
 * was handed over: nothing, once its daemon is there again. Hosts are network namespaces with a
 * bridge each.
 */
@Tag("qemu")
@Timeout(180)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class MigrationLeftoverTest {
    private static final int DEADLINE_MILLIS = 5_000;

    /** In the order in which they come up; the first is a part of "network". */
    private static final List<String> HOOKS = List.of("port-profile", "first", "second");

    private Cable cable;
    private MigratingPair pair;
    private Path log;
    private Path initOfSecond;
    private Path goOn;

    /** Those in which something is up always, the others where all kills are wanted. */
    static Stream<Moment> moments() {
        String kills = System.getProperty("holdfast.kills", "");
        return Stream.of(
                        Moment.ACCEPTED,
                        Moment.PREPARED,
                        Moment.ROUNDS,
                        Moment.PERFORMED,
                        Moment.HOOK,
                        Moment.FINISHED,
                        Moment.HANDED_OVER)
                .filter(
                        moment ->
                                kills.equals("all")
                                        || moment == Moment.PREPARED
                                        || moment == Moment.HOOK
                                        || moment == Moment.FINISHED);
    }

    @BeforeAll
    void start() throws Exception {
        cable = new Cable();
        pair =
                new MigratingPair(
                        hosts -> cable.site(Cable.End.A, hosts),
                        hosts -> cable.site(Cable.End.B, hosts),
                        Cable.End.A.here(),
                        Cable.End.B.here());
        for (Cable.End end : Cable.End.values()) {
            at(end, "ip", "link", "add", "hfbr", "type", "bridge");
        }
        log = pair.hosts.directory.resolve("hooks.log");
        initOfSecond = pair.hosts.directory.resolve("init-of-second");
        goOn = pair.hosts.directory.resolve("go-on");
        new ProcessBuilder("mkfifo", goOn.toString()).inheritIO().start().waitFor();
    }

    @AfterAll
    void close() throws Exception {
        try (Cable _ = cable;
                MigratingPair _ = pair) {
            pair.clear();
        }
    }

    @ParameterizedTest
    @MethodSource("moments")
    void nothing_of_an_arrival_is_left_when_its_daemon_is_there_again(Moment moment)
            throws Exception {
        DomainSource plain = pair.hosts.firmwareGuest("g");
        pair.a
                .client()
                .create(
                        new DomainSource(
                                plain.file(),
                                plain.yaml()
                                        .replaceFirst(
                                                "nics: .*", "nics: [{tap: hft, bridge: hfbr}]")));
        hooks(
                moment == Moment.HOOK
                        ? "echo $$ >%s; read x <%s".formatted(initOfSecond, goOn)
                        : ":");
        pair.proxy.arm(moment.place());
        CompletableFuture<String> moving =
                pair.migrate(
                        pair.request(features(), moment == Moment.ROUNDS ? 1 : 0, DEADLINE_MILLIS));
        if (moment == Moment.HOOK) {
            MigratingPair.await("the hook", () -> Files.exists(initOfSecond));
        } else {
            pair.proxy.awaitReached();
        }
        if (moment != Moment.ACCEPTED) {
            MigratingPair.await("its tap on b", () -> links().contains("hft"));
        }
        pair.kill(Victim.DESTINATION_DAEMON);
        pair.proxy.cut();
        System.out.println("LEFT " + moment + ": " + moving.get(60, TimeUnit.SECONDS));
        pair.restart(Victim.DESTINATION_DAEMON);

        assertThat(links()).doesNotContain("hft").contains("hfbr");
        List<String> expected = new ArrayList<>();
        List<String> up =
                switch (moment) {
                    case HOOK, FINISHED, HANDED_OVER -> HOOKS;
                    case BEGIN, ACCEPTED, PREPARED, ROUNDS, PERFORMED, TAKEN_OVER, CONFIRM ->
                            List.of();
                };
        up.forEach(hook -> expected.add("init " + hook));
        up.reversed().forEach(hook -> expected.add("deinit " + hook));
        assertThat(said()).isEqualTo(expected);
        if (moment == Moment.HOOK) {
            long pid = Long.parseLong(Files.readString(initOfSecond).strip());
            assertThat(ProcessIdentity.of(pid)).isEmpty();
        }
        MigratingPair.await("the guest on a", () -> MigratingPair.runs(pair.a.client()));
        assertThat(pair.b.client().list()).isEmpty();

        hooks(":");
        pair.proxy.arm();
        MigrateResult moved =
                pair.a
                        .client()
                        .migrate(
                                pair.request(features(), 0, DEADLINE_MILLIS),
                                ProgressListener.none());
        assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
        assertThat(said()).isEqualTo(HOOKS.stream().map(hook -> "init " + hook).toList());
        // What arrived keeps what is up, whatever becomes of its daemon.
        pair.kill(Victim.DESTINATION_DAEMON);
        pair.restart(Victim.DESTINATION_DAEMON);
        assertThat(MigratingPair.runs(pair.b.client())).isTrue();
        assertThat(said()).hasSize(HOOKS.size());
        assertThat(links()).contains("hft");
        pair.clear();
        assertThat(links()).doesNotContain("hft");
    }

    private static List<String> features() {
        return List.of("net", "hook:first", "hook:second");
    }

    /** All hooks write down what they are told; the last one then does something else, too. */
    private void hooks(String initOfLast) throws Exception {
        Files.deleteIfExists(log);
        Files.deleteIfExists(initOfSecond);
        for (String hook : HOOKS) {
            MigrationTest.hook(
                    pair.hosts,
                    hook,
                    "echo $1 %s >>%s\n[ \"$1 %s\" != \"init second\" ] || { %s; }"
                            .formatted(hook, log, hook, initOfLast));
        }
    }

    private List<String> said() throws IOException {
        return Files.exists(log) ? Files.readAllLines(log) : List.of();
    }

    /** The interfaces of b. */
    private String links() {
        try {
            return at(Cable.End.B, "ip", "-o", "link", "show");
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private String at(Cable.End end, String... command) throws IOException {
        List<String> words = new ArrayList<>(cable.site(end, pair.hosts).within());
        words.addAll(List.of(command));
        Process process = new ProcessBuilder(words).redirectErrorStream(true).start();
        String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        try {
            assertThat(process.waitFor()).as(words + ": " + text).isZero();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
        return text;
    }
}
