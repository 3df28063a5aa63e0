package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.MigrationStatus;
import holdfast.node.api.ProgressListener;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * Each hook fails once, in each way, on its way up and on its way down; real QEMU, real hooks.
 * {@code -Dholdfast.kills=all} for each in each way; those that hang cost their limit.
 */
@Tag("qemu")
@Timeout(300)
class MigrationHookTest {
    private static final boolean ALL = "all".equals(System.getProperty("holdfast.kills"));

    /** How a hook fails. */
    private enum Way {
        EXIT("echo no; exit 1", "exit status 1: no"),
        SIGNAL("echo ouch; kill -9 $$", "exit status 137: ouch"),
        HANG("echo slow; sleep 600", "did not end within 10000 ms and was killed; it said: slow");

        private final String script;
        private final String said;

        Way(String script, String said) {
            this.script = script;
            this.said = said;
        }
    }

    /** In the order in which they come up; the first is a part of "network". */
    private static final List<String> HOOKS = List.of("port-profile", "first", "second");

    private static String feature(String hook) {
        return hook.equals("port-profile") ? "network" : "hook:" + hook;
    }

    @Test
    void whichever_fails_on_its_way_up_the_others_go_down_in_reverse_and_the_guest_stays()
            throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            a.create(hosts.firmwareGuest("g"));
            Path log = hosts.directory.resolve("hooks.log");
            for (Way way : Way.values()) {
                for (String failing : HOOKS) {
                    if (isLeftOut(way, failing)) {
                        continue;
                    }
                    scripts(hosts, log, "init " + failing, way.script);
                    MigrateResult stayed = a.migrate(request(b), ProgressListener.none());
                    stays(a, b, stayed);
                    assertThat(stayed.reason()).contains(feature(failing)).contains(way.said);
                    int index = HOOKS.indexOf(failing);
                    List<String> expected = new ArrayList<>();
                    HOOKS.subList(0, index + 1).forEach(hook -> expected.add("init " + hook));
                    if (way == Way.HANG) {
                        // It was killed: nobody knows how far it was.
                        expected.add("deinit " + failing);
                    }
                    HOOKS.subList(0, index).reversed().forEach(h -> expected.add("deinit " + h));
                    assertThat(Files.readAllLines(log)).as(failing + way).isEqualTo(expected);
                    assertThat(result(stayed, failing)).isEqualTo("failed");
                    HOOKS.subList(0, index)
                            .forEach(hook -> assertThat(result(stayed, hook)).isEqualTo("down"));
                }
            }
            secondAttempt(hosts, log, a, b);
        }
    }

    /** Who ends a migration while a hook hangs; the hook's limit is ten seconds. */
    private enum GivenUp {
        BY_OPERATOR("cancelled", 30),
        BY_TIME("features up in time", 1);

        private final String reason;
        private final int featureSeconds;

        GivenUp(String reason, int featureSeconds) {
            this.reason = reason;
            this.featureSeconds = featureSeconds;
        }
    }

    @ParameterizedTest
    @EnumSource(GivenUp.class)
    void a_hook_that_hangs_does_not_hold_the_guest_of_a_migration_that_is_given_up(GivenUp by)
            throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            a.create(hosts.firmwareGuest("g"));
            Path log = hosts.directory.resolve("hooks.log");
            scripts(hosts, log, "init first", "echo slow; sleep 600");
            CompletableFuture<MigrateResult> asked =
                    CompletableFuture.supplyAsync(
                            () ->
                                    a.migrate(
                                            request(b).withFeatureSeconds(by.featureSeconds),
                                            ProgressListener.none()));
            MigratingPair.await("the hook to hang", () -> hasLine(log, "init first"));
            if (by == GivenUp.BY_OPERATOR) {
                a.cancelMigration("g");
            }
            MigrateResult stayed = asked.get(60, TimeUnit.SECONDS);
            stays(a, b, stayed);
            assertThat(stayed.reason()).contains(by.reason);
            assertThat(report(stayed, "first").detail())
                    .contains("was killed, for the migration was given up")
                    .contains("slow")
                    .contains("taken down");
            assertThat(Files.readAllLines(log))
                    .containsExactly(
                            "init port-profile",
                            "init first",
                            "deinit first",
                            "deinit port-profile");
            secondAttempt(hosts, log, a, b);
        }
    }

    @Test
    void whichever_fails_on_its_way_down_the_others_go_down_all_the_same_and_it_is_reported()
            throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            a.create(hosts.firmwareGuest("g"));
            Path log = hosts.directory.resolve("hooks.log");
            for (Way way : Way.values()) {
                for (String failing : List.of("port-profile", "first")) {
                    if (isLeftOut(way, failing)) {
                        continue;
                    }
                    scripts(hosts, log, "deinit " + failing, way.script);
                    MigrationTest.hook(
                            hosts,
                            "second",
                            "echo $1 second >> " + log + "; [ $1 = deinit ] || exit 3");
                    MigrateResult stayed = a.migrate(request(b), ProgressListener.none());
                    stays(a, b, stayed);
                    assertThat(Files.readAllLines(log))
                            .as(failing + way)
                            .containsExactly(
                                    "init port-profile",
                                    "init first",
                                    "init second",
                                    "deinit first",
                                    "deinit port-profile");
                    assertThat(result(stayed, failing)).isEqualTo("down-failed");
                    assertThat(result(stayed, failing.equals("first") ? "port-profile" : "first"))
                            .isEqualTo("down");
                    assertThat(report(stayed, failing).detail()).contains(way.said);
                }
            }
            secondAttempt(hosts, log, a, b);
        }
    }

    private static boolean hasLine(Path log, String line) {
        try {
            return Files.exists(log) && Files.readAllLines(log).contains(line);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static boolean isLeftOut(Way way, String failing) {
        return switch (way) {
            case EXIT -> false;
            case SIGNAL -> !ALL && !failing.equals("first");
            case HANG -> !ALL;
        };
    }

    private static void stays(Node a, Node b, MigrateResult result) throws InterruptedException {
        assertThat(result.outcome()).as(result.reason()).isEqualTo("stayed");
        assertThat(a.status("g").state()).isEqualTo(State.RUNNING);
        // The source is told before the destination forgets it.
        MigratingPair.await("b to be clear", () -> b.list().isEmpty());
    }

    private static void secondAttempt(TestHosts hosts, Path log, Node a, Node b) throws Exception {
        scripts(hosts, log, "none", "");
        MigrateResult moved = a.migrate(request(b), ProgressListener.none());
        assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
        assertThat(b.status("g").state()).isEqualTo(State.RUNNING);
        assertThat(a.status("g").state()).isEqualTo(State.ENDED);
        assertThat(Files.readAllLines(log))
                .containsExactly("init port-profile", "init first", "init second");
    }

    private static MigrateRequest request(Node to) {
        return MigrateRequest.of("g", "127.0.0.1:" + to.port())
                .withFeatures(List.of("net", "hook:first", "hook:second"), List.of());
    }

    /** All hooks write down what they are told; one of them then does something else, too. */
    private static void scripts(TestHosts hosts, Path log, String when, String then)
            throws Exception {
        Files.deleteIfExists(log);
        for (String hook : HOOKS) {
            MigrationTest.hook(
                    hosts,
                    hook,
                    "echo $1 %s >> %s\n[ \"$1 %s\" != \"%s\" ] || { %s; }"
                            .formatted(hook, log, hook, when, then.isEmpty() ? ":" : then));
        }
    }

    private static MigrationStatus.Feature report(MigrateResult result, String hook) {
        return result.migration().features().stream()
                .filter(each -> each.name().equals(feature(hook)))
                .findFirst()
                .orElseThrow();
    }

    private static String result(MigrateResult result, String hook) {
        return report(result, hook).result();
    }
}
