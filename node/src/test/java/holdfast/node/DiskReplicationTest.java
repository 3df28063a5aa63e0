package holdfast.node;

import static holdfast.node.NodeTest.await;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.api.ApiException;
import holdfast.node.api.DiskReplication;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest.ArbiterKind;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

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

    @Test
    void the_replica_is_block_by_block_the_disk_of_the_committed_epoch() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            DiskGuest guest = DiskGuest.in(hosts, "g");
            guest.grow(8);
            a.create(guest.source());
            guest.awaitWrites();
            a.remus(TestHosts.remus("g", b, ArbiterKind.OPERATOR), ProgressListener.none());
            Path replica = Path.of(b.status("g").disks().getFirst().path());
            for (int round = 0; round < 4; round++) {
                guest.awaitWrites();
                a.pause("g");
                // The epoch that ends after the guest stands, and the one before it.
                long committed =
                        b.status("g").protection().replication().replica().committedEpoch();
                await(
                        b,
                        "g",
                        s ->
                                s.protection().replication().replica().appliedEpoch()
                                        >= committed + 2);
                assertThat(Files.mismatch(guest.image(), replica)).isEqualTo(-1);
                a.unpause("g");
            }
            DiskReplication replication = a.status("g").protection().replication();
            System.out.println("forwarded " + replication);
            System.out.println("replica " + b.status("g").protection().replication());
            assertThat(replication.disks().getFirst().state()).isEqualTo("in-sync");
            assertThat(replication.disks().getFirst().forwardedBytes()).isGreaterThan(40 << 20);
        }
    }

    @Tag(LongRun.TAG)
    @Test
    void a_domain_that_is_unprotected_is_on_its_own_disk_and_can_be_protected_again()
            throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            DiskGuest guest = DiskGuest.in(hosts, "g");
            DomainStatus created = a.create(guest.source());
            guest.awaitWrites();
            for (int round = 0; round < 3; round++) {
                a.remus(TestHosts.remus("g", b, ArbiterKind.NONE), ProgressListener.none());
                await(a, "g", s -> s.protection().epochsCommitted() >= 10);
                assertThat(a.unprotect("g").role()).isEqualTo(Role.UNPROTECTED);
                guest.awaitWrites();
            }
            a.remus(TestHosts.remus("g", b, ArbiterKind.NONE), ProgressListener.none());
            await(a, "g", s -> s.protection().epochsCommitted() >= 10);
            ProcessHandle.of(created.pid()).orElseThrow().destroyForcibly();
            DomainStatus survivor = await(b, "g", s -> s.role() == Role.SURVIVOR);
            guest.awaitWrites();
            b.destroy("g");
            guest.requirePattern(Path.of(survivor.disks().getFirst().path()));
            guest.requirePattern(guest.image());
        }
    }

    @Test
    void a_secondary_that_is_killed_in_epochs_leaves_the_guest_writing() throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon b = new TestDaemon(hosts, "b")) {
            Node a = hosts.start("a");
            b.start();
            DiskGuest guest = DiskGuest.in(hosts, "g");
            a.create(guest.source());
            guest.awaitWrites();
            a.remus(TestHosts.remus("g", b.port(), ArbiterKind.NONE), ProgressListener.none());
            await(a, "g", s -> s.protection().epochsCommitted() >= 10);
            b.kill();
            DomainStatus alone = await(a, "g", s -> s.role() == Role.UNPROTECTED);
            assertThat(alone.state()).isEqualTo(State.RUNNING);
            assertThat(alone.protection().replication().forwarding().waitMillis())
                    .as("a killed secondary stops no write for longer than the deadline")
                    .isLessThan(1000);
            guest.awaitWrites();

            // Its journal is redone, its replica discarded; then all begins anew.
            b.start();
            assertThat(b.client().list()).isEmpty();
            a.remus(TestHosts.remus("g", b.port(), ArbiterKind.NONE), ProgressListener.none());
            await(a, "g", s -> s.protection().epochsCommitted() >= 10);
            ProcessHandle.of(alone.pid()).orElseThrow().destroyForcibly();
            await(b.client(), "g", s -> s.role() == Role.SURVIVOR);
            guest.awaitWrites();
        }
    }

    @Test
    void a_secondary_that_is_killed_while_disks_are_copied_leaves_the_guest_writing()
            throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon b = new TestDaemon(hosts, "b")) {
            Node a = hosts.start("a");
            b.start();
            DiskGuest guest = DiskGuest.in(hosts, "g");
            guest.grow(512);
            a.create(guest.source());
            guest.awaitWrites();
            List<String> told = new ArrayList<>();
            assertThatThrownBy(
                            () ->
                                    a.remus(
                                            TestHosts.remus("g", b.port(), ArbiterKind.NONE),
                                            progress -> {
                                                if (progress.stage().equals("copying-disks")
                                                        && progress.doneBytes() > 0) {
                                                    if (told.isEmpty()) {
                                                        kill(b);
                                                    }
                                                    told.add(progress.text());
                                                }
                                            }))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("not protected");
            assertThat(told.getFirst()).startsWith("copying disk0 while the guest runs: ");
            DomainStatus alone = a.status("g");
            assertThat(alone.role()).isEqualTo(Role.UNPROTECTED);
            guest.awaitWrites();
            a.destroy("g");
            guest.requirePattern(guest.image());
        }
    }

    private static void kill(TestDaemon daemon) {
        try {
            daemon.kill();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @Test
    void a_primary_that_comes_back_after_its_daemon_was_killed_is_on_its_own_disk()
            throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon a = new TestDaemon(hosts, "a");
                TestDaemon b = new TestDaemon(hosts, "b")) {
            a.start();
            b.start();
            DiskGuest guest = DiskGuest.in(hosts, "g");
            a.client().create(guest.source());
            guest.awaitWrites();
            a.client()
                    .remus(
                            TestHosts.remus("g", b.port(), ArbiterKind.OPERATOR),
                            ProgressListener.none());
            await(a.client(), "g", s -> s.protection().epochsCommitted() >= 10);
            a.kill();
            // The guest may stand in the middle of a checkpoint, with a mirror that goes nowhere.
            a.start();
            DomainStatus back =
                    await(
                            a.client(),
                            "g",
                            s -> s.state() == State.RUNNING && s.role() == Role.UNPROTECTED);
            guest.awaitWrites();
            a.client()
                    .remus(
                            TestHosts.remus("g", b.port(), ArbiterKind.NONE),
                            ProgressListener.none());
            await(a.client(), "g", s -> s.protection().epochsCommitted() >= 10);
            ProcessHandle.of(back.pid()).orElseThrow().destroyForcibly();
            await(b.client(), "g", s -> s.role() == Role.SURVIVOR);
            guest.awaitWrites();
        }
    }

    @Test
    void an_image_that_cannot_hold_the_disk_is_refused_before_anything_is_attached()
            throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            DiskGuest guest = DiskGuest.in(hosts, "g");
            a.create(guest.source());
            guest.awaitWrites();
            Path replica = hosts.directory.resolve("b-replicas/g/disk0.raw");
            Files.createDirectories(replica.getParent());
            Files.write(replica, new byte[1 << 20]);
            refused(a, b, "has 1048576 bytes, the disk has 33554432");
            Files.delete(replica);
            try (RandomAccessFile file = new RandomAccessFile(replica.toFile(), "rw")) {
                file.setLength(32 << 20);
            }
            b.create(hosts.guestWith("h", "disks: [" + replica + "]"));
            refused(a, b, "in use");
            b.destroy("h");
            a.remus(TestHosts.remus("g", b, ArbiterKind.NONE), ProgressListener.none());
            guest.awaitWrites();
        }
    }

    private static void refused(Node a, Node b, String why) {
        assertThatThrownBy(
                        () ->
                                a.remus(
                                        TestHosts.remus("g", b, ArbiterKind.NONE),
                                        ProgressListener.none()))
                .isInstanceOf(ApiException.class)
                .hasMessageContaining("b-replicas/g/disk0.raw")
                .hasMessageContaining(why);
        assertThat(a.status("g").role()).isEqualTo(Role.UNPROTECTED);
        assertThat(a.status("g").state()).isEqualTo(State.RUNNING);
        // Whoever did not wait for it reads it there.
        assertThat(a.status("g").lastEvent().text()).startsWith("not protected: ").contains(why);
        assertThat(b.list()).noneMatch(domain -> domain.name().equals("g"));
    }
}
