package holdfast.node;

import static holdfast.node.MigratingPair.await;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest.ArbiterKind;
import holdfast.node.api.RestoreRequest;
import holdfast.node.api.SaveRequest;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** A daemon that is killed while it starts a QEMU, of which it has only written down the place. */
@Tag("qemu")
@Timeout(120)
class UnbornQemuTest {
    /** Where the start of QEMU stands still. */
    enum Where {
        BEFORE_IT_RUNS,
        WHEN_IT_RUNS
    }

    /** A QEMU whose start stands still from {@link #arm} on. */
    private static final class SlowQemu {
        private final Path directory;

        SlowQemu(Path directory, Where where) throws IOException {
            this.directory = Files.createDirectory(directory);
            Path real =
                    Stream.of(System.getenv("PATH").split(":"))
                            .map(place -> Path.of(place, "qemu-system-x86_64"))
                            .filter(Files::isExecutable)
                            .findFirst()
                            .orElseThrow();
            String stand =
                    "[ ! -e '%1$s/armed' ] || { echo > '%1$s/stands'; read _ < '%1$s/never'; }"
                            .formatted(directory);
            run("mkfifo", directory.resolve("never").toString());
            Path script = directory.resolve("qemu-system-x86_64");
            Files.writeString(
                    script,
                    "#!/bin/sh\n"
                            + switch (where) {
                                case BEFORE_IT_RUNS ->
                                        "case \"$*\" in *-daemonize*) %s;; esac\nexec %s \"$@\"\n"
                                                .formatted(stand, real);
                                case WHEN_IT_RUNS ->
                                        "%s \"$@\" || exit\ncase \"$*\" in *-daemonize*) %s;; esac\n"
                                                .formatted(real, stand);
                            });
            Files.setPosixFilePermissions(script, PosixFilePermissions.fromString("rwxr-xr-x"));
        }

        TestDaemon.Site site(TestHosts hosts) {
            return new TestDaemon.Site("127.0.0.1", List.of(), hosts.ram, directory.toString());
        }

        void arm() throws IOException {
            Files.createFile(directory.resolve("armed"));
        }

        void disarm() throws IOException {
            Files.delete(directory.resolve("armed"));
        }

        void awaitStanding() throws InterruptedException {
            await("the start of QEMU", () -> Files.exists(directory.resolve("stands")));
        }
    }

    private static void run(String... command) throws IOException {
        assertThat(new ProcessBuilder(command).inheritIO().start().onExit().join().exitValue())
                .isZero();
    }

    /** Processes that were started with files in {@code directory}. */
    private static List<Long> processesOf(Path directory) {
        return ProcessHandle.allProcesses()
                .map(ProcessHandle::pid)
                .filter(pid -> commandLine(pid).contains("-daemonize\0-pidfile\0" + directory))
                .toList();
    }

    private static String commandLine(long pid) {
        try {
            return Files.readString(Path.of("/proc", Long.toString(pid), "cmdline"));
        } catch (IOException e) {
            return "";
        }
    }

    private static void awaitNothingOf(TestHosts hosts, TestDaemon daemon) throws Exception {
        // One that was ended by somebody else's child is a zombie until it is waited for.
        await("no process", () -> processesOf(daemon.state()).isEmpty());
        assertThat(hosts.ramFiles()).isEmpty();
        try (Stream<Path> places = Files.list(daemon.state().resolve("run"))) {
            // Beside places of QEMUs there are the marks of take-overs.
            assertThat(places.filter(place -> !place.endsWith("taken"))).isEmpty();
        }
    }

    @ParameterizedTest
    @EnumSource(Where.class)
    void one_that_is_created_is_ended_and_said_so(Where where) throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            SlowQemu qemu = new SlowQemu(hosts.directory.resolve("slow"), where);
            try (TestDaemon a = new TestDaemon(hosts, "a", qemu.site(hosts))) {
                a.start();
                qemu.arm();
                CompletableFuture<DomainStatus> creating =
                        CompletableFuture.supplyAsync(
                                () -> a.client().create(hosts.firmwareGuest("g")));
                qemu.awaitStanding();
                assertThat(processesOf(a.state())).isNotEmpty();
                a.kill();
                assertThat(creating.handle((_, failure) -> failure).get(30, TimeUnit.SECONDS))
                        .isNotNull();
                qemu.disarm();
                a.start();
                DomainStatus met = a.client().status("g");
                assertThat(met.state()).isEqualTo(State.ENDED);
                assertThat(met.lastEvent().text()).contains("while it was being started");
                awaitNothingOf(hosts, a);
                assertThat(a.client().create(hosts.firmwareGuest("g")).state())
                        .isEqualTo(State.RUNNING);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Where.class)
    void one_that_is_restored_is_ended_and_its_file_stays(Where where) throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            SlowQemu qemu = new SlowQemu(hosts.directory.resolve("slow"), where);
            try (TestDaemon a = new TestDaemon(hosts, "a", qemu.site(hosts))) {
                a.start();
                a.client().create(hosts.firmwareGuest("g"));
                Path file = hosts.directory.resolve("g.save");
                a.client()
                        .save(
                                new SaveRequest("g", file.toString(), SaveRequest.After.END),
                                ProgressListener.none());
                RestoreRequest restore = new RestoreRequest(file.toString(), null);
                qemu.arm();
                CompletableFuture<DomainStatus> restoring =
                        CompletableFuture.supplyAsync(
                                () -> a.client().restore(restore, ProgressListener.none()));
                qemu.awaitStanding();
                a.kill();
                assertThat(restoring.handle((_, failure) -> failure).get(30, TimeUnit.SECONDS))
                        .isNotNull();
                qemu.disarm();
                a.start();
                assertThat(a.client().status("g").state()).isEqualTo(State.ENDED);
                awaitNothingOf(hosts, a);
                assertThat(a.client().restore(restore, ProgressListener.none()).state())
                        .isEqualTo(State.RUNNING);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Where.class)
    void a_standby_is_ended_and_its_primary_told_so(Where where) throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            SlowQemu qemu = new SlowQemu(hosts.directory.resolve("slow"), where);
            Node a = hosts.start("a");
            try (TestDaemon b = new TestDaemon(hosts, "b", qemu.site(hosts))) {
                b.start();
                DomainStatus created = a.create(hosts.firmwareGuest("g"));
                int ramOfA = hosts.ramFiles().size();
                qemu.arm();
                CompletableFuture<DomainStatus> protecting =
                        CompletableFuture.supplyAsync(
                                () ->
                                        a.remus(
                                                TestHosts.remus(
                                                        "g", b.port(), ArbiterKind.OPERATOR),
                                                ProgressListener.none()));
                qemu.awaitStanding();
                b.kill();
                qemu.disarm();
                b.start();
                assertThat(b.client().list()).isEmpty();
                // It asks what became of the replica, and goes on alone.
                assertThat(protecting.handle((_, failure) -> failure).get(60, TimeUnit.SECONDS))
                        .isNotNull();
                DomainStatus alone = a.status("g");
                assertThat(alone.role()).isEqualTo(Role.UNPROTECTED);
                assertThat(alone.state()).isEqualTo(State.RUNNING);
                assertThat(alone.pid()).isEqualTo(created.pid());
                await("no process", () -> processesOf(b.state()).isEmpty());
                assertThat(hosts.ramFiles()).hasSize(ramOfA);
            }
        }
    }
}
