package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import holdfast.node.api.ApiException;
import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest;

import org.assertj.core.api.ThrowableAssert;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;

/**
 * What cannot be is said before the guest is paused: its QEMU's own events, on a monitor of the
 * test, tell whether it ever stopped.
 */
@Tag("qemu")
@Timeout(120)
class MigrationRefusalTest {
    @Test
    void bad_requests_are_refused_by_the_source() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            try (MonitorWatch watch = start(hosts, a)) {
                MigrateRequest plain = MigrateRequest.of("g", "127.0.0.1:" + b.port());
                refused(
                        a,
                        plain.withFeatures(List.of("teleport"), List.of()),
                        "teleport",
                        "memory, devices, disk, disk-cache, network");
                refused(
                        a,
                        urgent(plain, List.of("net")),
                        "--urgent makes every feature best effort, --require net says otherwise",
                        "leave one of them out");
                refused(
                        a,
                        plain.withFeatures(List.of(), List.of("memory")),
                        "--best-effort memory",
                        "it stays required");
                refused(
                        a,
                        MigrateRequest.of("g", "127.0.0.1:" + a.port()),
                        "runs on that node already");
                assertThat(watch.said()).doesNotContain("STOP");
            }
        }
    }

    @Test
    void a_destination_without_room_machine_or_cpu_refuses_it() throws Exception {
        try (TestHosts hosts = new TestHosts();
                SmallFileSystem small =
                        SmallFileSystem.mount(hosts.directory.resolve("small"), 32 << 20);
                TestDaemon full =
                        new TestDaemon(
                                hosts,
                                "full",
                                new TestDaemon.Site("127.0.0.1", List.of(), small.root(), ""));
                TestDaemon machineless = lacking(hosts, "machineless", "${a/q35/q35-of-2049}", "");
                TestDaemon weak = lacking(hosts, "weak", "$a", "-cpu qemu64,-sse3")) {
            Node a = hosts.start("a");
            full.start();
            machineless.start();
            weak.start();
            try (MonitorWatch watch = start(hosts, a)) {
                refused(
                        a,
                        MigrateRequest.of("g", "127.0.0.1:" + full.port()),
                        "no room for the domain's memory",
                        "32 MiB free, needed are 64 MiB;",
                        "mount -o remount,size=");
                stays(
                        a,
                        MigrateRequest.of("g", "127.0.0.1:" + machineless.port()),
                        "unsupported machine type");
                stays(
                        a,
                        MigrateRequest.of("g", "127.0.0.1:" + weak.port()),
                        "the guest's CPU has features that node weak cannot give it",
                        "start the domain with a CPU model that both nodes have");
                assertThat(watch.said()).doesNotContain("STOP");
                for (TestDaemon node : List.of(full, machineless, weak)) {
                    MigratingPair.await("nothing there", () -> node.client().list().isEmpty());
                }
                assertThat(small.root()).isEmptyDirectory();
            }
        }
    }

    @Test
    void what_cannot_be_written_down_is_not_begun_and_leaves_no_undecided_session()
            throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            try (MonitorWatch watch = start(hosts, a)) {
                Path state = hosts.directory.resolve("a");
                Path runtime = state.resolve("domains").resolve("g").resolve("runtime.json");
                Files.delete(runtime);
                Files.createDirectory(runtime);
                failed(
                        "not moved: cannot write " + runtime,
                        () ->
                                a.migrate(
                                        MigrateRequest.of("g", "127.0.0.1:" + b.port()),
                                        ProgressListener.none()));
                failed(
                        "not protected: cannot write " + runtime,
                        () ->
                                a.remus(
                                        TestHosts.remus("g", b, RemusRequest.ArbiterKind.NONE),
                                        ProgressListener.none()));
                runs(a);
                assertThat(state.resolve("sessions")).isEmptyDirectory();
                assertThat(watch.said()).doesNotContain("STOP");
            }
        }
    }

    private static void failed(String words, ThrowableAssert.ThrowingCallable request) {
        assertThat(catchThrowableOfType(ApiException.class, request)).hasMessageContaining(words);
    }

    /** A node whose QEMU has something less, as one of another version would. */
    private static TestDaemon lacking(TestHosts hosts, String name, String word, String more)
            throws IOException {
        Path directory = Files.createDirectories(hosts.directory.resolve(name + "-bin"));
        Path wrapper = directory.resolve("qemu-system-x86_64");
        Files.writeString(
                wrapper,
                """
                #!/bin/bash
                PATH=${PATH#*:}
                words=()
                for a in "$@"; do words+=("%s"); done
                exec qemu-system-x86_64 "${words[@]}" %s
                """
                        .formatted(word, more));
        Files.setPosixFilePermissions(wrapper, PosixFilePermissions.fromString("rwxr-xr-x"));
        return new TestDaemon(
                hosts,
                name,
                new TestDaemon.Site("127.0.0.1", List.of(), hosts.ram, directory.toString()));
    }

    private static MonitorWatch start(TestHosts hosts, Node a) throws IOException {
        Path socket = hosts.directory.resolve("watch.sock");
        DomainSource source = hosts.guestWith("g", MonitorWatch.line(socket));
        a.create(source);
        return MonitorWatch.on(socket);
    }

    private static MigrateRequest urgent(MigrateRequest plain, List<String> require) {
        return plain.withPolicy(MigrateRequest.Policy.URGENT).withFeatures(require, List.of());
    }

    /** Refused in Begin: nothing was begun. */
    private static void refused(Node node, MigrateRequest request, String... words) {
        ApiException failure =
                catchThrowableOfType(
                        ApiException.class, () -> node.migrate(request, ProgressListener.none()));
        assertThat(failure).hasMessageContainingAll(words);
        assertThat(failure.kind()).isEqualTo(ApiException.Kind.BAD_REQUEST);
        runs(node);
    }

    /** Found out in Prepare; a destination may say so before all connections are open. */
    private static void stays(Node node, MigrateRequest request, String... words) {
        try {
            MigrateResult result = node.migrate(request, ProgressListener.none());
            assertThat(result.outcome()).as(result.reason()).isEqualTo("stayed");
            assertThat(result.reason()).contains(words);
            assertThat(result.downtimeMillis()).isZero();
        } catch (ApiException e) {
            assertThat(e)
                    .hasMessageContaining("gives the domain back")
                    .hasMessageContainingAll(words);
        }
        runs(node);
    }

    private static void runs(Node node) {
        assertThat(node.status("g").state()).isEqualTo(State.RUNNING);
        assertThat(node.status("g").role()).isEqualTo(Role.UNPROTECTED);
    }
}
