package holdfast.node;

import static holdfast.node.NodeTest.await;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest.ArbiterKind;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.nio.file.Path;

/** Disks that are written while a domain is protected, with real QEMU processes and a guest. */
@Tag("qemu")
@Timeout(180)
class DiskReplicationTest {
    @Test
    void a_survivor_has_memory_and_disk_of_one_epoch_and_can_be_protected_again() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            DiskGuest guest = DiskGuest.in(hosts, "g");
            DomainStatus created = a.create(guest.source());
            guest.awaitWrites();

            a.remus(TestHosts.remus("g", b, ArbiterKind.NONE), ProgressListener.none());
            Path replica = Path.of(b.status("g").disks().getFirst().path());
            assertThat(replica).isEqualTo(hosts.directory.resolve("b-replicas/g/disk0.raw"));
            await(a, "g", s -> s.protection().epochsCommitted() >= 40);
            System.out.println("protection " + a.status("g").protection());

            ProcessHandle.of(created.pid()).orElseThrow().destroyForcibly();
            DomainStatus survivor = await(b, "g", s -> s.role() == Role.SURVIVOR);
            assertThat(survivor.state()).isEqualTo(State.RUNNING);
            assertThat(survivor.disks().getFirst().path()).isEqualTo(replica.toString());
            guest.awaitWrites();
            await(a, "g", s -> s.state() == State.ENDED);

            DomainStatus again =
                    b.remus(TestHosts.remus("g", a, ArbiterKind.OPERATOR), ProgressListener.none());
            assertThat(again.role()).isEqualTo(Role.PRIMARY);
            await(b, "g", s -> s.protection().epochsCommitted() >= 10);
            DomainStatus back = a.failover("g");
            assertThat(back.disks().getFirst().path())
                    .isEqualTo(hosts.directory.resolve("a-replicas/g/disk0.raw").toString());
            guest.awaitWrites();
            a.destroy("g");
            guest.requirePattern(Path.of(back.disks().getFirst().path()));
            assertThat(guest.image()).exists();
        }
    }
}
