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

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.nio.file.Path;
import java.time.Duration;

/** Machines as a management system starts them, attached while it keeps its own monitor. */
@Tag("qemu")
@Timeout(180)
class ManagedQemuTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);

    @Test
    void a_survivor_has_memory_and_disk_of_one_epoch_and_can_be_protected_again() throws Exception {
        try (TestHosts hosts = new TestHosts();
                ManagedQemu qemu = ManagedQemu.start(hosts, ManagedQemu.Memory.MEMFD)) {
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
            qemu.process().kill(LIMIT);
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
            qemu.guest().requirePattern(qemu.converted(hosts.directory.resolve("checked.raw")));
        }
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
            b.destroy("g");
            qemu.guest().requirePattern(qemu.converted(hosts.directory.resolve("checked.raw")));
        }
    }
}
