package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.api.ApiException;
import holdfast.node.api.AttachRequest;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest.ArbiterKind;
import holdfast.node.api.RestoreRequest;
import holdfast.node.api.SaveRequest;
import holdfast.qemu.launch.ProcessIdentity;
import holdfast.qemu.launch.QemuProcess;
import holdfast.qemu.memory.MappedMemory;
import holdfast.qemu.qmp.QmpClient;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** QEMU processes that nobody of Holdfast started, on two nodes in one process. */
@Tag("qemu")
@Timeout(120)
class AttachTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);
    private static final long MIB = 1 << 20;

    /** Where a guest of firmware alone writes nothing. */
    private static final long MARK_AT = 40 * MIB;

    private static final long MARK = 0x486f6c6466617374L;

    @Test
    void a_qemu_that_somebody_else_started_survives_and_comes_back() throws Exception {
        try (TestHosts hosts = new TestHosts();
                Foreign qemu = new Foreign(hosts, List.of())) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            DomainStatus attached = a.attach(new AttachRequest(qemu.monitor.toString(), null));
            assertThat(attached.name()).isEqualTo("theirs");
            assertThat(attached.pid()).isEqualTo(qemu.process.pid());
            assertThat(attached.state()).isEqualTo(State.RUNNING);
            try (MappedMemory memory = MappedMemory.open(qemu.ram, 64 * MIB)) {
                memory.bytes().set(ValueLayout.JAVA_LONG, MARK_AT, MARK);
            }
            a.remus(TestHosts.remus("theirs", b, ArbiterKind.NONE), ProgressListener.none());
            NodeTest.await(a, "theirs", s -> s.protection().epochsCommitted() >= 10);

            qemu.process.kill(LIMIT);
            DomainStatus survivor = NodeTest.await(b, "theirs", s -> s.role() == Role.SURVIVOR);
            assertThat(survivor.state()).isEqualTo(State.RUNNING);
            assertThat(survivor.uuid()).isEqualTo(attached.uuid());
            assertThat(markIn(survivor)).isEqualTo(MARK);
            NodeTest.await(a, "theirs", s -> s.state() == State.ENDED);
            assertThat(qemu.ram).as("the file of others").exists();

            b.remus(TestHosts.remus("theirs", a, ArbiterKind.NONE), ProgressListener.none());
            ProcessHandle.of(survivor.pid()).orElseThrow().destroyForcibly();
            DomainStatus again = NodeTest.await(a, "theirs", s -> s.role() == Role.SURVIVOR);
            assertThat(again.state()).isEqualTo(State.RUNNING);
            assertThat(markIn(again)).isEqualTo(MARK);
        }
    }

    @Test
    void a_restarted_daemon_meets_an_attached_domain_and_touches_no_file_of_others()
            throws Exception {
        try (TestHosts hosts = new TestHosts();
                Foreign qemu = new Foreign(hosts, List.of())) {
            Path neighbour = Files.writeString(qemu.monitor.resolveSibling("neighbour"), "theirs");
            Node a = hosts.start("a");
            a.attach(new AttachRequest(qemu.monitor.toString(), "mine"));
            a.abandon();
            Node again = hosts.start("a");
            Node b = hosts.start("b");
            assertThat(again.status("mine").pid()).isEqualTo(qemu.process.pid());
            again.remus(TestHosts.remus("mine", b, ArbiterKind.OPERATOR), ProgressListener.none());
            again.unprotect("mine");
            again.abandon();
            qemu.process.kill(LIMIT);
            assertThat(hosts.start("a").status("mine").state()).isEqualTo(State.ENDED);
            assertThat(neighbour).exists();
            assertThat(qemu.ram).exists();
        }
    }

    @Test
    void one_that_stands_still_is_left_so_by_a_restarted_daemon_which_says_so() throws Exception {
        try (TestHosts hosts = new TestHosts();
                Foreign qemu = new Foreign(hosts, List.of())) {
            Node a = hosts.start("a");
            a.attach(new AttachRequest(qemu.monitor.toString(), "mine"));
            a.abandon();
            try (QmpClient others = QmpClient.connect(qemu.monitor, LIMIT)) {
                others.execute("stop");
            }
            for (int starts = 0; starts < 2; starts++) {
                Node again = hosts.start("a");
                DomainStatus met = again.status("mine");
                assertThat(met.state()).isEqualTo(State.PAUSED);
                assertThat(met.lastEvent().text()).contains("`holdfast unpause mine`");
                again.abandon();
            }
            assertThat(hosts.start("a").unpause("mine").state()).isEqualTo(State.RUNNING);
        }
    }

    @Test
    void an_attached_domain_is_saved_and_restored_as_it_was_started() throws Exception {
        try (TestHosts hosts = new TestHosts();
                Foreign qemu = new Foreign(hosts, List.of())) {
            Node a = hosts.start("a");
            a.attach(new AttachRequest(qemu.monitor.toString(), null));
            try (MappedMemory memory = MappedMemory.open(qemu.ram, 64 * MIB)) {
                memory.bytes().set(ValueLayout.JAVA_LONG, MARK_AT, MARK);
            }
            Path file = hosts.directory.resolve("saved");
            a.save(
                    new SaveRequest("theirs", file.toString(), SaveRequest.After.END),
                    ProgressListener.none());
            assertThat(qemu.process.alive()).isFalse();
            DomainStatus restored =
                    a.restore(new RestoreRequest(file.toString(), "h"), ProgressListener.none());
            assertThat(restored.state()).isEqualTo(State.RUNNING);
            assertThat(markIn(restored)).isEqualTo(MARK);
        }
    }

    @Test
    void what_prevents_a_standby_is_named_and_qemu_runs_on() throws Exception {
        try (TestHosts hosts = new TestHosts();
                Foreign balloon = new Foreign(hosts, List.of("-device", "virtio-balloon-pci"))) {
            Node a = hosts.start("a");
            assertThatThrownBy(() -> a.attach(new AttachRequest(balloon.monitor.toString(), null)))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("-device virtio-balloon-pci");
            assertThat(balloon.process.alive()).isTrue();
            assertThat(a.list()).isEmpty();
        }
    }

    @Test
    void one_that_cannot_be_remembered_is_not_attached_and_can_be_later() throws Exception {
        try (TestHosts hosts = new TestHosts();
                Foreign qemu = new Foreign(hosts, List.of())) {
            Node a = hosts.start("a");
            AttachRequest request = new AttachRequest(qemu.monitor.toString(), null);
            Path home = hosts.directory.resolve("a/domains/theirs");
            // In the way of the last of its files.
            Files.createDirectories(home.resolve("runtime.json"));
            assertThatThrownBy(() -> a.attach(request))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("cannot write " + home.resolve("runtime.json"));
            assertThat(a.list()).isEmpty();
            assertThat(home).doesNotExist();
            assertThat(qemu.process.alive()).isTrue();
            try (QmpClient free = QmpClient.connect(qemu.monitor, LIMIT)) {
                assertThat(free.execute("query-status").path("running").asBoolean()).isTrue();
            }
            assertThat(a.attach(request).state()).isEqualTo(State.RUNNING);
        }
    }

    @Test
    void a_device_plugged_since_the_start_is_named_when_protection_begins() throws Exception {
        List<String> port = List.of("-device", "pcie-root-port,id=rp0,chassis=1,slot=1");
        try (TestHosts hosts = new TestHosts();
                Foreign qemu = new Foreign(hosts, port)) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            try (QmpClient operator = QmpClient.connect(qemu.monitor, LIMIT)) {
                operator.execute(
                        "device_add", Map.of("driver", "virtio-rng-pci", "bus", "rp0", "id", "hp"));
            }
            a.attach(new AttachRequest(qemu.monitor.toString(), null));
            assertThatThrownBy(
                            () ->
                                    a.remus(
                                            TestHosts.remus("theirs", b, ArbiterKind.NONE),
                                            ProgressListener.none()))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("it lacks a device of the domain: virtio-rng-pci");
            assertThat(a.status("theirs").state()).isEqualTo(State.RUNNING);
            assertThat(a.status("theirs").role()).isEqualTo(Role.UNPROTECTED);
            assertThat(qemu.process.alive()).isTrue();
        }
    }

    /** Reads main memory of the QEMU that runs, by the file its command line names. */
    private static long markIn(DomainStatus domain) throws Exception {
        String words = Files.readString(Path.of("/proc", Long.toString(domain.pid()), "cmdline"));
        Path ram = Path.of(words.replaceAll("(?s).*mem-path=([^,\\x00]+).*", "$1"));
        try (MappedMemory memory = MappedMemory.open(ram, 64 * MIB)) {
            return memory.bytes().get(ValueLayout.JAVA_LONG, MARK_AT);
        }
    }

    /** As a script would start it, with a monitor and files of its own. */
    private static final class Foreign implements AutoCloseable {
        final Path monitor;
        final Path ram;
        final ProcessIdentity process;

        Foreign(TestHosts hosts, List<String> more) throws Exception {
            Path theirs = Files.createDirectories(hosts.directory.resolve("theirs"));
            monitor = theirs.resolve("qmp");
            ram = hosts.ram.resolve("theirs");
            Path pid = theirs.resolve("pid");
            List<String> command =
                    new ArrayList<>(
                            List.of(
                                    QemuProcess.BINARY,
                                    "-name",
                                    "theirs",
                                    "-nodefaults",
                                    "-machine",
                                    "q35,accel=tcg,memory-backend=main,suppress-vmdesc=on",
                                    "-m",
                                    "64",
                                    "-object",
                                    "memory-backend-file,id=main,size=64M,share=on,mem-path=" + ram,
                                    "-global",
                                    "migration.send-configuration=off",
                                    "-uuid",
                                    "4b8d0a1e-57a5-4c8e-9a80-3a9f4f0d3c11",
                                    "-nographic",
                                    "-serial",
                                    "file:" + theirs.resolve("serial"),
                                    "-netdev",
                                    "user,id=n",
                                    "-device",
                                    "e1000,netdev=n,mac=52:54:00:12:34:57",
                                    "-device",
                                    "VGA",
                                    "-qmp",
                                    "unix:" + monitor + ",server=on,wait=off",
                                    "-pidfile",
                                    pid.toString()));
            command.addAll(more);
            // No daemon: QEMU's own parent is whoever started it, as with a management system.
            new ProcessBuilder(command).inheritIO().start();
            long until = System.nanoTime() + LIMIT.toNanos();
            while (!Files.exists(monitor) || !Files.exists(pid) || Files.size(pid) == 0) {
                if (System.nanoTime() - until > 0) {
                    throw new AssertionError("QEMU did not start");
                }
                Thread.sleep(10);
            }
            process =
                    ProcessIdentity.of(Long.parseLong(Files.readString(pid).strip())).orElseThrow();
        }

        @Override
        public void close() {
            process.kill(LIMIT);
        }
    }
}
