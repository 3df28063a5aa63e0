package holdfast.node;

import static holdfast.node.NodeTest.await;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.AttachRequest;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest.ArbiterKind;
import holdfast.node.link.FrameProxy;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** Domains that a real libvirtd runs, where there is one. */
@Tag("qemu")
@Tag(LongRun.TAG)
@Timeout(240)
class LibvirtTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);
    private static final String GUEST = "10.80.0.10";
    private static final String NAME = Libvirt.DOMAIN;

    @Test
    void a_protected_domain_is_asked_about_and_lives_on_when_libvirt_destroys_it()
            throws Exception {
        try (Cable cable = new Cable();
                TestHosts hosts = new TestHosts()) {
            TestDaemon.Site here = bridged(cable.site(Cable.End.A, hosts));
            TestDaemon.Site there = bridged(cable.site(Cable.End.B, hosts));
            try (Libvirt libvirt = new Libvirt(hosts, here, GUEST);
                    TestDaemon a = new TestDaemon(hosts, "a", here);
                    TestDaemon b = new TestDaemon(hosts, "b", there);
                    FrameProxy proxy = new FrameProxy(Cable.End.A.here(), b.address());
                    FrameProxy back = new FrameProxy(Cable.End.B.here(), a.address())) {
                a.start();
                b.start();
                libvirt.defineAndStart();
                libvirt.guest().awaitWrites();
                assertThat(
                                Files.readString(
                                        Path.of("/proc/" + libvirt.process().pid() + "/status")))
                        .as("its user is not ours")
                        .doesNotContainPattern("Uid:\\s+0");
                a.client().attach(new AttachRequest(libvirt.monitor().toString(), NAME));
                a.client()
                        .remus(
                                TestHosts.remus(
                                        NAME, Cable.End.A.here(), proxy.port(), ArbiterKind.NONE),
                                ProgressListener.none());
                awaitMore(a);

                assertThat(libvirt.done("list", "--name").strip()).isEqualTo(NAME);
                assertThat(libvirt.done("dominfo", NAME)).contains(NAME);
                assertThat(libvirt.done("domblkstat", NAME, "vda")).contains("wr_req");
                assertThat(libvirt.done("domstats", NAME)).contains("block.count=2");
                assertThat(libvirt.done("blockjob", NAME, "vda")).contains("No current block job");
                awaitMore(a);
                assertThat(
                                libvirt.virsh(
                                                "snapshot-create-as",
                                                NAME,
                                                "s",
                                                "--disk-only",
                                                "--no-metadata")
                                        .text())
                        .contains("in use by block job: mirror");
                libvirt.attachDisk();
                await(
                        a.client(),
                        NAME,
                        s ->
                                s.role() == Role.UNPROTECTED
                                        && s.lastEvent().text().contains("was plugged"));
                libvirt.done("detach-disk", NAME, "vdc", "--live");
                a.client()
                        .remus(
                                TestHosts.remus(
                                        NAME, Cable.End.A.here(), proxy.port(), ArbiterKind.NONE),
                                ProgressListener.none());
                libvirt.virsh("suspend", NAME);
                awaitMore(a);
                libvirt.restart();
                awaitMore(a);
                assertThat(libvirt.done("list", "--name").strip()).isEqualTo(NAME);

                libvirt.done("destroy", NAME);
                await(b.client(), NAME, s -> s.role() == Role.SURVIVOR);
                assertThat(ManagedQemuTest.redis(there, GUEST)).isEqualTo("+PONG");
                await(a.client(), NAME, s -> s.state() == State.ENDED);
                assertThat(libvirt.done("domstate", NAME)).isEqualTo("shut off");
                requireHookRefuses(libvirt, a);

                b.client()
                        .remus(
                                TestHosts.remus(
                                        NAME,
                                        Cable.End.B.here(),
                                        back.port(),
                                        ArbiterKind.OPERATOR),
                                ProgressListener.none());
                awaitMore(b);
                Path disk = Path.of(a.client().failover(NAME).disks().getFirst().path());
                ForeignQemu.awaitWritten(a.client(), disk);
                requireHookRefuses(libvirt, a);
                a.client().destroy(NAME);
                libvirt.guest().requirePattern(disk);

                libvirt.tellHook(a.client().list());
                libvirt.done("start", NAME);
            }
        }
    }

    @Test
    void a_domain_of_libvirt_moves_away_and_is_not_started_again() throws Exception {
        try (Cable cable = new Cable();
                TestHosts hosts = new TestHosts()) {
            TestDaemon.Site here = bridged(cable.site(Cable.End.A, hosts));
            TestDaemon.Site there = bridged(cable.site(Cable.End.B, hosts));
            try (Libvirt libvirt = new Libvirt(hosts, here, GUEST);
                    TestDaemon a = new TestDaemon(hosts, "a", here);
                    TestDaemon b = new TestDaemon(hosts, "b", there);
                    FrameProxy proxy = new FrameProxy(Cable.End.A.here(), b.address())) {
                a.start();
                b.start();
                libvirt.defineAndStart();
                libvirt.guest().awaitWrites();
                a.client().attach(new AttachRequest(libvirt.monitor().toString(), NAME));
                MigrateResult moved =
                        a.client()
                                .migrate(
                                        MigrateRequest.of(
                                                NAME, Cable.End.A.here() + ":" + proxy.port()),
                                        ProgressListener.none());
                assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
                ForeignQemu.awaitWritten(b.client(), libvirt.image());
                assertThat(ManagedQemuTest.redis(there, GUEST)).isEqualTo("+PONG");
                long until = System.nanoTime() + LIMIT.toNanos();
                while (!libvirt.done("domstate", NAME).equals("shut off")) {
                    assertThat(System.nanoTime() - until).as("libvirt notices").isNegative();
                    Thread.sleep(50);
                }
                requireHookRefuses(libvirt, a);
            }
        }
    }

    private static void requireHookRefuses(Libvirt libvirt, TestDaemon node) throws Exception {
        libvirt.tellHook(node.client().list());
        assertThat(libvirt.virsh("start", NAME).text()).contains("Holdfast has " + NAME);
    }

    private static void awaitMore(TestDaemon node) throws Exception {
        DomainStatus now = node.client().status(NAME);
        long from = now.protection().epochsCommitted();
        await(
                node.client(),
                NAME,
                s -> s.role() == Role.PRIMARY && s.protection().epochsCommitted() >= from + 10);
    }

    private static TestDaemon.Site bridged(TestDaemon.Site site) throws Exception {
        List<List<String>> commands =
                List.of(
                        List.of("ip", "link", "add", "br0", "type", "bridge"),
                        List.of("ip", "addr", "add", "10.80.0.1/24", "dev", "br0"),
                        List.of("ip", "link", "set", "br0", "up"));
        for (List<String> command : commands) {
            List<String> there = new ArrayList<>(site.within());
            there.addAll(command);
            LoopDevice.run(there);
        }
        return site;
    }
}
