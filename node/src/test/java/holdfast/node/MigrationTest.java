package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.api.ApiException;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.MigrationStatus;
import holdfast.node.api.ProgressListener;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;

/** Two nodes in one process with real QEMU processes. */
@Tag("qemu")
@Timeout(120)
class MigrationTest {
    private static MigrateRequest to(Node node) {
        return MigrateRequest.of("g", "127.0.0.1:" + node.port());
    }

    @Test
    void a_domain_goes_there_and_back() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            a.create(hosts.firmwareGuest("g"));
            Node from = a;
            Node to = b;
            for (int i = 0; i < 6; i++) {
                MigrateResult moved = from.migrate(to(to), ProgressListener.none());
                System.out.println("moved " + moved);
                assertThat(moved.outcome()).isEqualTo("moved");
                assertThat(moved.migration().features())
                        .allMatch(feature -> feature.result().equals("up"));
                assertThat(to.status("g").state()).isEqualTo(State.RUNNING);
                assertThat(to.status("g").role()).isEqualTo(Role.UNPROTECTED);
                assertThat(from.status("g").state()).isEqualTo(State.ENDED);
                assertThat(hosts.ramFiles()).hasSize(2);
                Node was = from;
                from = to;
                to = was;
            }
        }
    }

    @Test
    void a_required_hook_that_fails_once_keeps_the_domain_and_the_second_attempt_moves_it()
            throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            a.create(hosts.firmwareGuest("g"));
            Path log = hosts.directory.resolve("hooks.log");
            hook(hosts, "first", "echo first $1 $2 >> " + log);
            hook(
                    hosts,
                    "vdp",
                    "echo vdp $1 $2 >> "
                            + log
                            + "; [ $1 = deinit ] || [ -e "
                            + hosts.directory
                            + "/ok ] || { echo the switch said no; exit 7; }");
            MigrateRequest request =
                    to(b).withFeatures(List.of("net", "hook:first", "hook:vdp"), List.of());

            MigrateResult stayed = a.migrate(request, ProgressListener.none());
            assertThat(stayed.outcome()).isEqualTo("stayed");
            assertThat(stayed.reason()).contains("hook:vdp").contains("the switch said no");
            assertThat(a.status("g").state()).isEqualTo(State.RUNNING);
            assertThat(a.status("g").role()).isEqualTo(Role.UNPROTECTED);
            assertThat(b.list()).isEmpty();
            assertThat(Files.readAllLines(log))
                    .containsExactly("first init g", "vdp init g", "first deinit g");
            assertThat(stayed.migration().features())
                    .extracting(MigrationStatus.Feature::name, MigrationStatus.Feature::result)
                    .contains(
                            org.assertj.core.groups.Tuple.tuple("hook:vdp", "failed"),
                            org.assertj.core.groups.Tuple.tuple("hook:first", "down"));

            Files.createFile(hosts.directory.resolve("ok"));
            MigrateResult moved = a.migrate(request, ProgressListener.none());
            assertThat(moved.outcome()).isEqualTo("moved");
            assertThat(b.status("g").state()).isEqualTo(State.RUNNING);
        }
    }

    @Test
    void a_best_effort_hook_that_fails_is_reported_and_the_domain_moves() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            a.create(hosts.firmwareGuest("g"));
            hook(hosts, "lb", "echo no balancer; exit 1");
            MigrateResult moved =
                    a.migrate(
                            to(b).withFeatures(List.of(), List.of("hook:lb")),
                            ProgressListener.none());
            assertThat(moved.outcome()).isEqualTo("moved");
            assertThat(moved.migration().features())
                    .anySatisfy(
                            feature -> {
                                assertThat(feature.name()).isEqualTo("hook:lb");
                                assertThat(feature.result()).isEqualTo("failed");
                                assertThat(feature.detail()).contains("no balancer");
                            });
        }
    }

    @Test
    void wrong_requests_are_refused_and_the_guest_is_never_paused() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            a.create(hosts.firmwareGuest("g"));
            refused(a, to(b).withFeatures(List.of("teleport"), List.of()), "teleport");
            refused(a, to(b).withFeatures(List.of("net"), List.of("net")), "both required");
            refused(a, to(a), "runs on that node already");
            refused(a, MigrateRequest.of("g", "127.0.0.1:1"), "cannot be reached");
            MigrateResult stayed =
                    a.migrate(
                            to(b).withFeatures(List.of("hook:nowhere"), List.of()),
                            ProgressListener.none());
            assertThat(stayed.outcome()).isEqualTo("stayed");
            assertThat(stayed.reason()).contains("hook:nowhere").contains("does not exist");
            assertThat(stayed.migration().stagesMicros().suspend()).isZero();
            a.pause("g");
            refused(a, to(b), "paused");
            a.unpause("g");
            assertThatThrownBy(() -> a.cancelMigration("g"))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("not being moved");
            assertThat(b.list()).isEmpty();
            assertThat(a.status("g").role()).isEqualTo(Role.UNPROTECTED);
        }
    }

    @Test
    void a_writable_disk_on_shared_storage_goes_with_its_lock_and_stays_after_a_rollback()
            throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            Path image = hosts.directory.resolve("disk.raw");
            try (var file = new java.io.RandomAccessFile(image.toFile(), "rw")) {
                file.setLength(16 << 20);
            }
            a.create(
                    new holdfast.node.api.DomainSource(
                            hosts.directory.resolve("g.yaml").toString(),
                            """
                            name: g
                            memory: 64MiB
                            accelerator: tcg
                            disks: [{path: %s, format: raw}]
                            """
                                    .formatted(image)));
            hook(hosts, "no", "exit 1");
            MigrateResult stayed =
                    a.migrate(
                            to(b).withFeatures(List.of("hook:no"), List.of()),
                            ProgressListener.none());
            assertThat(stayed.outcome()).isEqualTo("stayed");
            assertThat(a.status("g").state()).isEqualTo(State.RUNNING);

            MigrateResult moved = a.migrate(to(b), ProgressListener.none());
            assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
            assertThat(moved.migration().features())
                    .anySatisfy(
                            feature -> {
                                assertThat(feature.name()).isEqualTo("disk");
                                assertThat(feature.detail()).contains("locked for writing: 1");
                            });
            MigrateResult back = b.migrate(to(a), ProgressListener.none());
            assertThat(back.outcome()).as(back.reason()).isEqualTo("moved");
            assertThat(a.status("g").state()).isEqualTo(State.RUNNING);
            try (var beside = Files.list(hosts.directory)) {
                assertThat(beside.filter(f -> f.toString().contains(".holdfast-"))).isEmpty();
            }
        }
    }

    private static void refused(Node node, MigrateRequest request, String words) {
        assertThatThrownBy(() -> node.migrate(request, ProgressListener.none()))
                .isInstanceOf(ApiException.class)
                .hasMessageContaining(words);
        assertThat(node.status("g").state()).isIn(State.RUNNING, State.PAUSED);
        assertThat(node.status("g").role()).isEqualTo(Role.UNPROTECTED);
    }

    static void hook(TestHosts hosts, String name, String script) throws Exception {
        Path directory = Files.createDirectories(hosts.directory.resolve("hooks"));
        Path hook = directory.resolve(name);
        Files.writeString(hook, "#!/bin/sh\n" + script + "\n");
        Files.setPosixFilePermissions(hook, PosixFilePermissions.fromString("rwxr-xr-x"));
    }
}
