package holdfast.node;

import static holdfast.node.MigratingPair.await;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.ApiClient;
import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.ProgressListener;
import holdfast.node.link.FrameProxy;
import holdfast.wire.link.ConnectionKind;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** Daemons and QEMUs that die by SIGKILL while a domain moves. */
@Tag("qemu")
@Timeout(180)
class MigrationKillTest {
    enum Victim {
        SOURCE_DAEMON,
        SOURCE_QEMU,
        DESTINATION_DAEMON,
        DESTINATION_QEMU
    }

    private static final class Pair implements AutoCloseable {
        final TestHosts hosts = new TestHosts();
        final TestDaemon a = new TestDaemon(hosts, "a");
        final TestDaemon b = new TestDaemon(hosts, "b");

        Pair() throws Exception {
            a.start();
            b.start();
        }

        void kill(Victim victim) throws Exception {
            switch (victim) {
                case SOURCE_DAEMON -> a.kill();
                case DESTINATION_DAEMON -> b.kill();
                case SOURCE_QEMU ->
                        ProcessHandle.of(a.client().status("g").pid())
                                .orElseThrow()
                                .destroyForcibly();
                case DESTINATION_QEMU -> waiting().destroyForcibly();
            }
        }

        /** The QEMU that waits on b: no status tells its process. */
        private ProcessHandle waiting() throws Exception {
            try (Stream<Path> files = Files.walk(hosts.directory.resolve("b").resolve("run"))) {
                Path pid = files.filter(f -> f.endsWith("qemu.pid")).findFirst().orElseThrow();
                return ProcessHandle.of(Long.parseLong(Files.readString(pid).strip()))
                        .orElseThrow();
            }
        }

        void restart(Victim victim) throws Exception {
            switch (victim) {
                case SOURCE_DAEMON -> a.start();
                case DESTINATION_DAEMON -> b.start();
                case SOURCE_QEMU, DESTINATION_QEMU -> {}
            }
        }

        long running() {
            return Stream.of(a.client(), b.client()).filter(Pair::runs).count();
        }

        private static boolean runs(ApiClient node) {
            return node.list().stream().anyMatch(d -> d.state() == State.RUNNING);
        }

        @Override
        public void close() throws java.io.IOException {
            try (hosts;
                    a;
                    b) {}
        }
    }

    private static MigrateRequest slow(int port, List<String> hooks) {
        return MigrateRequest.of("g", "127.0.0.1:" + port)
                .withFeatures(hooks, List.of())
                .withBandwidth(hooks.isEmpty() ? 8 : 0)
                .withDeadline(50, 500);
    }

    @ParameterizedTest
    @EnumSource(Victim.class)
    void killed_while_pages_travel(Victim victim) throws Exception {
        try (Pair pair = new Pair()) {
            pair.a.client().create(guest(pair.hosts));
            await("memory", () -> allocatedMib(pair.hosts) > 40);
            CompletableFuture<MigrateResult> moving =
                    CompletableFuture.supplyAsync(
                            () ->
                                    pair.a
                                            .client()
                                            .migrate(
                                                    slow(pair.b.port(), List.of()),
                                                    ProgressListener.none()));
            await(
                    "pages",
                    () -> {
                        DomainStatus status = pair.a.client().status("g");
                        return status.migration() != null
                                && status.migration().phase().equals("perform")
                                && status.migration().sentBytes() > 4 << 20;
                    });
            strikeAndCheck(pair, victim, moving);
        }
    }

    @ParameterizedTest
    @EnumSource(Victim.class)
    void killed_while_features_come_up(Victim victim) throws Exception {
        try (Pair pair = new Pair()) {
            Path begun = pair.hosts.directory.resolve("begun");
            MigrationTest.hook(
                    pair.hosts, "slow", "[ $1 = deinit ] || { touch " + begun + "; sleep 3; }");
            pair.a.client().create(pair.hosts.firmwareGuest("g"));
            CompletableFuture<MigrateResult> moving =
                    CompletableFuture.supplyAsync(
                            () ->
                                    pair.a
                                            .client()
                                            .migrate(
                                                    slow(pair.b.port(), List.of("hook:slow")),
                                                    ProgressListener.none()));
            await("the hook", () -> Files.exists(begun));
            strikeAndCheck(pair, victim, moving);
        }
    }

    private static void strikeAndCheck(
            Pair pair, Victim victim, CompletableFuture<MigrateResult> moving) throws Exception {
        pair.kill(victim);
        String result =
                moving.handle(
                                (ended, failure) ->
                                        failure == null
                                                ? ended.outcome() + ": " + ended.reason()
                                                : String.valueOf(failure.getCause()))
                        .get(60, TimeUnit.SECONDS);
        System.out.println("victim " + victim + " result " + result);
        pair.restart(victim);
        if (victim == Victim.SOURCE_QEMU) {
            await("the end", () -> pair.running() == 0);
            await("b to be clear", () -> pair.b.client().list().isEmpty());
            return;
        }
        await("one running copy", () -> pair.running() == 1);
        assertThat(result).doesNotContain("moved:");
        // It stays where it was, and the second attempt moves it.
        await("the guest on a", () -> Pair.runs(pair.a.client()));
        await("b to be clear", () -> pair.b.client().list().isEmpty());
        MigrateResult moved =
                pair.a
                        .client()
                        .migrate(
                                MigrateRequest.of("g", "127.0.0.1:" + pair.b.port()),
                                ProgressListener.none());
        assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
        assertThat(pair.running()).isEqualTo(1);
    }

    @Test
    void an_operator_cancels_the_guest_stays_and_may_move_at_once() throws Exception {
        try (Pair pair = new Pair()) {
            pair.a.client().create(guest(pair.hosts));
            await("memory", () -> allocatedMib(pair.hosts) > 40);
            CompletableFuture<MigrateResult> moving =
                    CompletableFuture.supplyAsync(
                            () ->
                                    pair.a
                                            .client()
                                            .migrate(
                                                    slow(pair.b.port(), List.of()),
                                                    ProgressListener.none()));
            await(
                    "the migration",
                    () ->
                            pair.a.client().status("g").migration() != null
                                    && pair.a.client().status("g").migration().sentBytes() > 0);
            DomainStatus cancelled = pair.a.client().cancelMigration("g");
            assertThat(cancelled.state()).isEqualTo(State.RUNNING);
            assertThat(moving.get(30, TimeUnit.SECONDS).outcome()).isEqualTo("stayed");
            assertThat(pair.running()).isEqualTo(1);
            // At once: its destination may not have given back what it had of it.
            MigrateResult moved =
                    pair.a
                            .client()
                            .migrate(
                                    MigrateRequest.of("g", "127.0.0.1:" + pair.b.port()),
                                    ProgressListener.none());
            assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
            assertThat(pair.running()).isEqualTo(1);
        }
    }

    /** Whoever was wrong about the copy there has to hear of it, whenever that node is back. */
    @Test
    void a_destination_that_comes_back_hears_that_the_operator_went_on_without_it()
            throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon b = new TestDaemon(hosts, "b")) {
            Node a = hosts.start("a");
            b.start();
            a.create(hosts.firmwareGuest("g"));
            Path untold = hosts.directory.resolve("a/stale-replicas");
            try (FrameProxy proxy = new FrameProxy("127.0.0.1", b.address())) {
                proxy.arm(
                        new FrameProxy.Place(
                                ConnectionKind.MIGRATION,
                                FrameProxy.Way.BACK,
                                "TAKEN_OVER",
                                0,
                                FrameProxy.Act.HOLD));
                CompletableFuture<Throwable> moving = TestHosts.migrating(a, "g", proxy.port());
                proxy.awaitReached();
                b.kill();
                proxy.cut();
                assertThat(moving.get(60, TimeUnit.SECONDS))
                        .hasMessageContaining("was handed over to node");
                assertThat(untold).isEmptyDirectory();
                DomainStatus here = a.unprotect("g");
                assertThat(here.state()).isEqualTo(State.RUNNING);
                assertThat(untold).isNotEmptyDirectory();

                b.start();
                await("it has been told", () -> isEmpty(untold));
                // What the operator did, no software undoes: the log names both copies.
                assertThat(Pair.runs(b.client())).isTrue();
                assertThat(a.status("g").state()).isEqualTo(State.RUNNING);
                b.client().destroy("g");
            }
        }
    }

    private static boolean isEmpty(Path directory) {
        try (Stream<Path> files = Files.list(directory)) {
            return files.findAny().isEmpty();
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private static DomainSource guest(TestHosts hosts) throws Exception {
        Path image = image();
        return new DomainSource(
                hosts.directory.resolve("g.yaml").toString(),
                """
                name: g
                memory: 128MiB
                accelerator: tcg
                boot:
                  kernel: %s
                  initrd: %s
                  commandLine: console=ttyS0 quiet
                """
                        .formatted(image.resolve("vmlinuz"), image.resolve("initrd.gz")));
    }

    static Path image() throws Exception {
        String named = System.getenv("HOLDFAST_GUEST_DIR");
        if (named != null && !named.isEmpty()) {
            return Path.of(named);
        }
        String cache = System.getenv("XDG_CACHE_HOME");
        Path directory =
                (cache == null || cache.isEmpty()
                                ? Path.of(System.getProperty("user.home"), ".cache")
                                : Path.of(cache))
                        .resolve("holdfast");
        try (Stream<Path> all = Files.list(directory)) {
            return all.filter(p -> Files.isReadable(p.resolve("initrd.gz")))
                    .max(Comparator.comparing(p -> p.toFile().lastModified()))
                    .orElseThrow(() -> new AssertionError("no guest image: scripts/guest.sh"));
        }
    }

    private static long allocatedMib(TestHosts hosts) {
        try {
            long blocks = 0;
            for (Path file : hosts.ramFiles()) {
                Process stat = new ProcessBuilder("stat", "-c", "%b", file.toString()).start();
                blocks += Long.parseLong(new String(stat.getInputStream().readAllBytes()).strip());
                stat.waitFor();
            }
            return blocks >> 11;
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }
}
