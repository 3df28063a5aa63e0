package holdfast.node;

import static holdfast.node.NodeTest.await;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.api.ApiException;
import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest.ArbiterKind;
import holdfast.qemu.qmp.QmpClient;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;

/** Replicas that are no files of the disk's size, with real QEMU processes and a guest. */
@Tag("qemu")
@Timeout(180)
class BlockDeviceReplicaTest {
    private static final long MIB = 1 << 20;
    private static final long DISK_BYTES = 32 * MIB;

    private static DiskGuest replicatedTo(Path replica, TestHosts hosts) throws IOException {
        DiskGuest plain = DiskGuest.in(hosts, "g");
        return new DiskGuest(
                new DomainSource(
                        plain.source().file(),
                        plain.source()
                                .yaml()
                                .replace(
                                        "disks: [" + plain.image() + "]",
                                        "disks: [{path: %s, replica: %s}]"
                                                .formatted(plain.image(), replica))),
                plain.image(),
                plain.serial());
    }

    /** What an old device holds must not show where the guest's disk has zeroes. */
    private static void fill(Path device, long bytes) throws IOException {
        byte[] old = new byte[(int) MIB];
        java.util.Arrays.fill(old, (byte) 0x5a);
        try (RandomAccessFile file = new RandomAccessFile(device.toFile(), "rw")) {
            for (long at = 0; at < bytes; at += MIB) {
                file.write(old);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {0, 8})
    void a_survivor_goes_on_on_a_block_device_and_is_protected_again(long moreMebibytes)
            throws Exception {
        long deviceBytes = DISK_BYTES + moreMebibytes * MIB;
        try (TestHosts hosts = new TestHosts();
                LoopDevice device = LoopDevice.of(hosts.directory.resolve("device"), deviceBytes)) {
            fill(device.path(), deviceBytes);
            Node a = hosts.startWithoutReplicaDirectory("a");
            Node b = hosts.startWithoutReplicaDirectory("b");
            DiskGuest guest = replicatedTo(device.path(), hosts);
            DomainStatus created = a.create(guest.source());
            guest.awaitWrites();

            a.remus(TestHosts.remus("g", b, ArbiterKind.NONE), ProgressListener.none());
            assertThat(b.status("g").disks().getFirst().path()).isEqualTo(device.path().toString());
            await(a, "g", s -> s.protection().epochsCommitted() >= 20);
            ProcessHandle.of(created.pid()).orElseThrow().destroyForcibly();
            DomainStatus survivor = await(b, "g", s -> s.role() == Role.SURVIVOR);
            guest.awaitWrites();
            assertThat(sizeSeen(hosts, survivor)).as("what the guest sees").isEqualTo(DISK_BYTES);
            await(a, "g", s -> s.state() == State.ENDED);

            b.remus(TestHosts.remus("g", a, ArbiterKind.OPERATOR), ProgressListener.none());
            await(b, "g", s -> s.protection().epochsCommitted() >= 10);
            assertThat(a.failover("g").disks().getFirst().path())
                    .isEqualTo(guest.image().toString());
            guest.awaitWrites();
            a.destroy("g");
            guest.requirePattern(guest.image());
            assertThat(Files.size(guest.image())).isEqualTo(DISK_BYTES);
            try (RandomAccessFile whole = new RandomAccessFile(device.path().toFile(), "r")) {
                whole.seek(DISK_BYTES);
                for (long at = DISK_BYTES; at < deviceBytes; at += MIB) {
                    byte[] left = new byte[(int) MIB];
                    whole.readFully(left);
                    assertThat(left).as("behind the disk").containsOnly(0x5a);
                }
            }
        }
    }

    /** Here it is the very same, and in use; on a SAN nothing but its path would tell. */
    @Test
    void a_device_of_the_same_path_is_no_replica_unless_somebody_says_so() throws Exception {
        try (TestHosts hosts = new TestHosts();
                LoopDevice device = LoopDevice.of(hosts.directory.resolve("device"), DISK_BYTES)) {
            Node a = hosts.startWithoutReplicaDirectory("a");
            Node b = hosts.startWithoutReplicaDirectory("b");
            DiskGuest plain = DiskGuest.in(hosts, "g");
            DiskGuest guest =
                    new DiskGuest(
                            new DomainSource(
                                    plain.source().file(),
                                    plain.source()
                                            .yaml()
                                            .replace(
                                                    plain.image().toString(),
                                                    device.path().toString())),
                            device.path(),
                            plain.serial());
            a.create(guest.source());
            guest.awaitWrites();
            assertThatThrownBy(
                            () ->
                                    a.remus(
                                            TestHosts.remus("g", b, ArbiterKind.NONE),
                                            ProgressListener.none()))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("the replica of disk " + device.path())
                    .hasMessageContaining("`replica` in the domain's description")
                    .hasMessageContaining("--replica-directory");
            assertThatThrownBy(
                            () ->
                                    a.migrate(
                                            MigrateRequest.of("g", "127.0.0.1:" + b.port())
                                                    .withStorage(MigrateRequest.Storage.COPY),
                                            ProgressListener.none()))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining(device.path() + " is a block device")
                    .hasMessageContaining("`replica` in the domain's description");
            assertThat(a.status("g").role()).isEqualTo(Role.UNPROTECTED);
            assertThat(b.list()).isEmpty();
            guest.awaitWrites();
        }
    }

    @Test
    void a_domain_moves_onto_a_larger_block_device_and_back() throws Exception {
        long deviceBytes = DISK_BYTES + 8 * MIB;
        try (TestHosts hosts = new TestHosts();
                LoopDevice device = LoopDevice.of(hosts.directory.resolve("device"), deviceBytes)) {
            fill(device.path(), deviceBytes);
            Node a = hosts.startWithoutReplicaDirectory("a");
            Node b = hosts.startWithoutReplicaDirectory("b");
            DiskGuest guest = replicatedTo(device.path(), hosts);
            a.create(guest.source());
            guest.awaitWrites();
            moved(a, b);
            assertThat(sizeSeen(hosts, b.status("g"))).isEqualTo(DISK_BYTES);
            guest.awaitWrites();
            moved(b, a);
            guest.awaitWrites();
            assertThat(a.status("g").disks().getFirst().path()).isEqualTo(guest.image().toString());
            a.destroy("g");
            guest.requirePattern(guest.image());
        }
    }

    private static void moved(Node from, Node to) {
        MigrateResult moved =
                from.migrate(
                        MigrateRequest.of("g", "127.0.0.1:" + to.port())
                                .withStorage(MigrateRequest.Storage.COPY),
                        ProgressListener.none());
        assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
    }

    /** By the survivor's monitor of last resort, which nobody uses now. */
    private static long sizeSeen(TestHosts hosts, DomainStatus survivor) throws Exception {
        assertThat(survivor.disks().getFirst().bytes()).isEqualTo(DISK_BYTES);
        try (Stream<Path> files = Files.walk(hosts.directory.resolve("b/run"))) {
            Path monitor =
                    files.filter(file -> file.endsWith("qmp-oob.sock")).findFirst().orElseThrow();
            try (QmpClient qmp = QmpClient.connect(monitor, Duration.ofSeconds(10))) {
                return qmp.execute("query-block")
                        .findValue("inserted")
                        .path("image")
                        .path("virtual-size")
                        .asLong();
            }
        }
    }

    @Test
    void a_device_that_is_too_small_mounted_or_in_use_is_refused_and_the_guest_untouched()
            throws Exception {
        try (TestHosts hosts = new TestHosts();
                LoopDevice device =
                        LoopDevice.of(hosts.directory.resolve("device"), DISK_BYTES - MIB)) {
            Node a = hosts.startWithoutReplicaDirectory("a");
            Node b = hosts.startWithoutReplicaDirectory("b");
            DiskGuest guest = replicatedTo(device.path(), hosts);
            a.create(guest.source());
            guest.awaitWrites();
            refused(a, b, device.path() + " has 32505856 bytes, the disk has 33554432");

            Path mounted = Files.createDirectory(hosts.directory.resolve("mounted"));
            LoopDevice.run(List.of("mkfs.ext4", "-q", device.path().toString()));
            LoopDevice.run(List.of("mount", device.path().toString(), mounted.toString()));
            try {
                refused(a, b, "mounted, part of another device");
            } finally {
                LoopDevice.run(List.of("umount", mounted.toString()));
            }

            b.create(hosts.guestWith("h", "disks: [" + device.path() + "]"));
            refused(a, b, "is in use by another process");
            b.destroy("h");
            guest.awaitWrites();
        }
    }

    @Test
    void two_daemons_never_have_one_device_whatever_its_name() throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon b = new TestDaemon(hosts, "b", TestDaemon.Site.here(hosts), "");
                LoopDevice device = LoopDevice.of(hosts.directory.resolve("device"), DISK_BYTES)) {
            b.start();
            Node a = hosts.startWithoutReplicaDirectory("a");
            Node c = hosts.startWithoutReplicaDirectory("c");
            DiskGuest first = replicatedTo(device.path(), hosts);
            a.create(first.source());
            first.awaitWrites();
            a.remus(TestHosts.remus("g", b.port(), ArbiterKind.OPERATOR), ProgressListener.none());

            // Another node of the same device: no lock of a file would show.
            Path alias = Files.createDirectory(hosts.directory.resolve("dev")).resolve("same");
            LoopDevice.run(
                    List.of(
                            "mknod",
                            alias.toString(),
                            "b",
                            "7",
                            device.path().toString().replaceAll("\\D", "")));
            Path disk = hosts.directory.resolve("h.img");
            try (RandomAccessFile file = new RandomAccessFile(disk.toFile(), "rw")) {
                file.setLength(DISK_BYTES);
            }
            a.create(
                    hosts.guestWith(
                            "h", "disks: [{path: %s, replica: %s}]".formatted(disk, alias)));
            assertThatThrownBy(
                            () ->
                                    a.remus(
                                            TestHosts.remus("h", c, ArbiterKind.OPERATOR),
                                            ProgressListener.none()))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining(alias.toString())
                    .hasMessageContaining("in use by another session");
            assertThat(a.status("h").state()).isEqualTo(State.RUNNING);

            a.unprotect("g");
            a.remus(TestHosts.remus("h", c, ArbiterKind.OPERATOR), ProgressListener.none());
            a.unprotect("h");
            first.awaitWrites();
        }
    }

    @Test
    void a_file_that_is_longer_than_the_disk_becomes_as_long_as_it() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Path replica = hosts.directory.resolve("longer.img");
            Files.createFile(replica);
            fill(replica, DISK_BYTES + 8 * MIB);
            Node a = hosts.startWithoutReplicaDirectory("a");
            Node b = hosts.startWithoutReplicaDirectory("b");
            DiskGuest guest = replicatedTo(replica, hosts);
            DomainStatus created = a.create(guest.source());
            guest.awaitWrites();
            a.remus(TestHosts.remus("g", b, ArbiterKind.NONE), ProgressListener.none());
            assertThat(Files.size(replica)).isEqualTo(DISK_BYTES);
            await(a, "g", s -> s.protection().epochsCommitted() >= 10);
            ProcessHandle.of(created.pid()).orElseThrow().destroyForcibly();
            DomainStatus survivor = await(b, "g", s -> s.role() == Role.SURVIVOR);
            guest.awaitWrites();
            assertThat(sizeSeen(hosts, survivor)).isEqualTo(DISK_BYTES);
            b.destroy("g");
            guest.requirePattern(replica);
        }
    }

    private static void refused(Node a, Node b, String why) {
        assertThatThrownBy(
                        () ->
                                a.remus(
                                        TestHosts.remus("g", b, ArbiterKind.NONE),
                                        ProgressListener.none()))
                .isInstanceOf(ApiException.class)
                .hasMessageContaining(why);
        assertThat(a.status("g").role()).isEqualTo(Role.UNPROTECTED);
        assertThat(a.status("g").state()).isEqualTo(State.RUNNING);
        assertThat(b.list()).noneMatch(domain -> domain.name().equals("g"));
    }
}
