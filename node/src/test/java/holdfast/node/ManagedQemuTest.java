package holdfast.node;

import static holdfast.node.NodeTest.await;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.api.AttachRequest;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest.ArbiterKind;
import holdfast.node.link.FrameProxy;

import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** Machines as a management system starts them, attached while it keeps its own monitor. */
@Tag("qemu")
@Timeout(180)
class ManagedQemuTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);

    @Test
    void a_survivor_has_memory_and_disk_of_one_epoch_and_can_be_protected_again() throws Exception {
        try (TestHosts hosts = new TestHosts();
                ManagedQemu qemu = ManagedQemu.start(hosts, ManagedQemu.Memory.nameless())) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            qemu.guest().awaitWrites();
            assertThat(Path.of("/proc/" + qemu.process().pid() + "/status"))
                    .content()
                    .as("its sandbox is in force")
                    .containsPattern("Seccomp:\\s+2");
            DomainStatus attached = a.attach(new AttachRequest(qemu.monitor().toString(), "g"));
            assertThat(attached.disks().getFirst().path()).isEqualTo(qemu.image().toString());

            a.remus(TestHosts.remus("g", b, ArbiterKind.NONE), ProgressListener.none());
            DomainStatus primary = await(a, "g", s -> s.protection().epochsCommitted() >= 20);
            System.out.println("in its sandbox: " + primary.protection().tracker());
            qemu.guest().awaitWrites();
            // As a management system does that is told to end it, and a host that goes down: QEMU
            // gives up its mirrors in order before it is gone.
            LoopDevice.run(List.of("kill", "-TERM", Long.toString(qemu.process().pid())));
            DomainStatus survivor = await(b, "g", s -> s.role() == Role.SURVIVOR);
            Path replica = Path.of(survivor.disks().getFirst().path());
            ForeignQemu.awaitWritten(b, replica);
            await(a, "g", s -> s.state() == State.ENDED);

            b.remus(TestHosts.remus("g", a, ArbiterKind.OPERATOR), ProgressListener.none());
            await(b, "g", s -> s.protection().epochsCommitted() >= 10);
            Path back = Path.of(a.failover("g").disks().getFirst().path());
            ForeignQemu.awaitWritten(a, back);
            a.destroy("g");
            qemu.guest().requirePattern(back);
        }
    }

    @Test
    void a_guest_that_somebody_else_lets_go_on_in_a_pause_is_protected_anew() throws Exception {
        try (TestHosts hosts = new TestHosts();
                ManagedQemu qemu = ManagedQemu.start(hosts, ManagedQemu.Memory.nameless())) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            qemu.guest().awaitWrites();
            a.attach(new AttachRequest(qemu.monitor().toString(), "g"));
            a.remus(TestHosts.staying("g", ArbiterKind.NONE, b.port()), ProgressListener.none());
            await(a, "g", s -> s.protection().epochsCommitted() >= 5);
            long until = System.nanoTime() + LIMIT.toNanos();
            while (!told(a).contains("somebody else let the guest go on")) {
                assertThat(System.nanoTime() - until).as(told(a)).isNegative();
                qemu.operator().execute("cont");
            }
            await(a, "g", s -> s.role() == Role.PRIMARY && s.protection().epochsCommitted() >= 20);
            qemu.process().kill(LIMIT);
            DomainStatus survivor = await(b, "g", s -> s.role() == Role.SURVIVOR);
            Path replica = Path.of(survivor.disks().getFirst().path());
            ForeignQemu.awaitWritten(b, replica);
            b.destroy("g");
            qemu.guest().requirePattern(replica);
        }
    }

    @Test
    void memory_that_a_newer_qemu_puts_into_its_state_is_refused_with_what_to_use()
            throws Exception {
        Assumptions.assumeFalse(
                ManagedQemu.Memory.isLeftOut(), "QEMU 7 leaves memory without a name out");
        try (TestHosts hosts = new TestHosts();
                ManagedQemu qemu = ManagedQemu.start(hosts, ManagedQemu.Memory.MEMFD)) {
            Node a = hosts.start("a");
            assertThatThrownBy(() -> a.attach(new AttachRequest(qemu.monitor().toString(), "g")))
                    .hasMessageContaining("memory-backend-memfd")
                    .hasMessageContaining("-object memory-backend-file");
        }
    }

    private static String told(Node node) {
        DomainStatus status = node.status("g");
        return status.lastEvent() == null ? "" : status.lastEvent().text();
    }

    @Test
    void an_image_that_both_hosts_share_stays_qcow2_when_it_moves() throws Exception {
        try (TestHosts hosts = new TestHosts();
                ManagedQemu qemu = ManagedQemu.start(hosts, ManagedQemu.Memory.FILE)) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            qemu.guest().awaitWrites();
            a.attach(new AttachRequest(qemu.monitor().toString(), "g"));
            MigrateResult moved =
                    a.migrate(
                            MigrateRequest.of("g", "127.0.0.1:" + b.port()),
                            ProgressListener.none());
            assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
            assertThat(b.status("g").disks().getFirst().path()).isEqualTo(qemu.image().toString());
            ForeignQemu.awaitWritten(b, qemu.image());
            assertThat(qemu.process().alive()).isFalse();
            // A QEMU that is killed takes what it knows of new clusters with it; one that stops
            // writes it down first.
            b.pause("g");
            b.destroy("g");
            qemu.guest().requirePattern(qemu.converted(hosts.directory.resolve("checked.raw")));
        }
    }

    @Test
    void a_tap_that_was_passed_is_one_of_its_name_on_the_other_host() throws Exception {
        String guest = "10.80.0.10";
        try (Cable cable = new Cable();
                TestHosts hosts = new TestHosts()) {
            TestDaemon.Site here = cable.site(Cable.End.A, hosts);
            TestDaemon.Site there = cable.site(Cable.End.B, hosts);
            for (TestDaemon.Site site : List.of(here, there)) {
                in(site, "ip", "link", "add", "br0", "type", "bridge");
                in(site, "ip", "addr", "add", "10.80.0.1/24", "dev", "br0");
                in(site, "ip", "link", "set", "br0", "up");
            }
            try (TestDaemon a = new TestDaemon(hosts, "a", here);
                    TestDaemon b = new TestDaemon(hosts, "b", there);
                    ManagedQemu qemu =
                            ManagedQemu.start(
                                    hosts,
                                    ManagedQemu.Memory.nameless(),
                                    here.within(),
                                    "web0",
                                    "hf.ip=" + guest + "/24 hf.redis=on")) {
                a.start();
                b.start();
                qemu.guest().awaitWrites();
                assertThat(redis(here, guest)).isEqualTo("+PONG");
                a.client().attach(new AttachRequest(qemu.monitor().toString(), "g"));
                try (FrameProxy proxy = new FrameProxy(Cable.End.A.here(), b.address())) {
                    a.client()
                            .remus(
                                    TestHosts.remus(
                                            "g",
                                            Cable.End.A.here(),
                                            proxy.port(),
                                            ArbiterKind.NONE),
                                    ProgressListener.none());
                    await(a.client(), "g", s -> s.protection().epochsCommitted() >= 10);
                    assertThat(redis(here, guest)).isEqualTo("+PONG");
                    qemu.process().kill(LIMIT);
                    await(b.client(), "g", s -> s.role() == Role.SURVIVOR);
                    assertThat(in(there, "ip", "-o", "link", "show", "dev", "web0"))
                            .contains("master br0");
                    assertThat(redis(there, guest)).isEqualTo("+PONG");
                }
                Path replica = Path.of(b.client().status("g").disks().getFirst().path());
                ForeignQemu.awaitWritten(b.client(), replica);
                b.client().destroy("g");
                qemu.guest().requirePattern(replica);
            }
        }
    }

    private static String in(TestDaemon.Site site, String... command) throws Exception {
        List<String> all = new ArrayList<>(site.within());
        all.addAll(List.of(command));
        return LoopDevice.run(all).strip();
    }

    /** What the guest's Redis says to a PING from there, within some time. */
    static String redis(TestDaemon.Site site, String guest) throws Exception {
        return in(
                site,
                "timeout",
                "30",
                "bash",
                "-c",
                "until exec 3<>/dev/tcp/"
                        + guest
                        + "/6379; do sleep 0.2; done 2>/dev/null; echo PING >&3; read -r line <&3;"
                        + " echo ${line%?}");
    }
}
