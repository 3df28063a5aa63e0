package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.api.ApiException;
import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.Progress;
import holdfast.node.api.ProgressListener;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;

/** Domains that move with their disks, with real QEMU processes and a guest that writes. */
@Tag("qemu")
@Timeout(240)
class MigrationStorageTest {
    private static MigrateRequest copying(int port) {
        return MigrateRequest.of("g", "127.0.0.1:" + port).withStorage(MigrateRequest.Storage.COPY);
    }

    /** Compares both images while the guest stands still; the domain stays if they differ. */
    private static MigrateRequest compared(TestHosts hosts, int port, Path from, Path to)
            throws Exception {
        MigrationTest.hook(
                hosts, "same", "[ $1 = deinit ] || cmp " + from + " " + to + " || exit 1");
        return copying(port).withFeatures(List.of("hook:same"), List.of());
    }

    private static Path imageAt(TestHosts hosts, String node) {
        return hosts.directory.resolve(node + "-replicas/g/disk0.raw");
    }

    @Test
    void a_writing_guest_goes_there_and_back_with_its_disk() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            DiskGuest guest = DiskGuest.in(hosts, "g");
            a.create(guest.source());
            guest.awaitWrites();
            Node from = a;
            Node to = b;
            Path image = guest.image();
            for (int i = 0; i < 4; i++) {
                Path copy = imageAt(hosts, to == b ? "b" : "a");
                List<Progress> told = new ArrayList<>();
                MigrateResult moved =
                        from.migrate(compared(hosts, to.port(), image, copy), told::add);
                System.out.println("moved " + moved);
                assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
                assertThat(moved.migration().disks()).hasSize(1);
                assertThat(moved.migration().disks().getFirst().path()).isEqualTo(copy.toString());
                assertThat(moved.migration().features())
                        .anySatisfy(
                                feature -> {
                                    assertThat(feature.name()).isEqualTo("disk");
                                    assertThat(feature.detail()).contains("copied here and forced: 1");
                                });
                assertThat(to.status("g").state()).isEqualTo(State.RUNNING);
                assertThat(to.status("g").disks().getFirst().path()).isEqualTo(copy.toString());
                assertThat(from.status("g").lastEvent().text())
                        .contains(image.toString())
                        .contains("stay here as they were at the hand-over");
                guest.requirePattern(image);
                var left = Files.getLastModifiedTime(image);
                guest.awaitWrites();
                assertThat(Files.getLastModifiedTime(image)).isEqualTo(left);
                image = copy;
                Node was = from;
                from = to;
                to = was;
            }
            from.destroy("g");
            guest.requirePattern(image);
        }
    }

    @Test
    void a_qcow2_image_arrives_as_a_raw_one_and_comes_back_beside_itself() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            DiskGuest raw = DiskGuest.in(hosts, "g");
            Path image = hosts.directory.resolve("g.qcow2");
            run("qemu-img", "convert", "-O", "qcow2", raw.image().toString(), image.toString());
            DiskGuest guest =
                    new DiskGuest(
                            new DomainSource(
                                    raw.source().file(),
                                    raw.source()
                                            .yaml()
                                            .replace(raw.image().toString(), image.toString())),
                            image,
                            raw.serial());
            a.create(guest.source());
            guest.awaitWrites();
            MigrationTest.hook(
                    hosts,
                    "same",
                    "[ $1 = deinit ] || qemu-img compare -U -F raw %s %s"
                            .formatted(image, imageAt(hosts, "b")));
            MigrateResult moved =
                    a.migrate(
                            copying(b.port()).withFeatures(List.of("hook:same"), List.of()),
                            ProgressListener.none());
            assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
            guest.awaitWrites();
            MigrateResult back = b.migrate(copying(a.port()), ProgressListener.none());
            assertThat(back.outcome()).as(back.reason()).isEqualTo("moved");
            guest.awaitWrites();
            assertThat(a.status("g").disks().getFirst().format()).isEqualTo("raw");
            a.destroy("g");
            guest.requirePattern(imageAt(hosts, "a"));
        }
    }

    @Test
    void a_rollback_after_the_copy_leaves_the_guest_on_its_own_disk_and_nothing_there()
            throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            DiskGuest guest = DiskGuest.in(hosts, "g");
            a.create(guest.source());
            guest.awaitWrites();
            MigrationTest.hook(hosts, "no", "[ $1 = deinit ] || exit 1");
            for (int i = 0; i < 3; i++) {
                MigrateResult stayed =
                        a.migrate(
                                copying(b.port()).withFeatures(List.of("hook:no"), List.of()),
                                ProgressListener.none());
                assertThat(stayed.outcome()).isEqualTo("stayed");
                requireUnharmed(a, b, guest);
                assertThat(imageAt(hosts, "b")).doesNotExist();
            }
            MigrateResult moved = a.migrate(copying(b.port()), ProgressListener.none());
            assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
            guest.awaitWrites();
            guest.requirePattern(guest.image());
            b.destroy("g");
            guest.requirePattern(imageAt(hosts, "b"));
        }
    }

    @Test
    void a_migration_that_is_cancelled_while_disks_are_copied_can_be_tried_again()
            throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            DiskGuest guest = DiskGuest.in(hosts, "g");
            guest.grow(64);
            a.create(guest.source());
            guest.awaitWrites();
            List<Progress> told = new ArrayList<>();
            MigrateResult stayed =
                    a.migrate(
                            slow(b.port(), 16),
                            progress -> {
                                if (isCopying(progress)) {
                                    told.add(progress);
                                    if (told.size() == 3) {
                                        Thread.ofVirtual().start(() -> a.cancelMigration("g"));
                                    }
                                }
                            });
            assertThat(stayed.outcome()).isEqualTo("stayed");
            assertThat(stayed.reason()).contains("cancelled");
            Progress last = told.getLast();
            assertThat(last.text()).startsWith("copying disk0 while the guest runs: ");
            assertThat(last.totalBytes()).isGreaterThanOrEqualTo(96 << 20);
            assertThat(last.migration().phase()).isEqualTo("disks");
            assertThat(last.migration().sentBytes()).as("no page travels before").isZero();
            requireUnharmed(a, b, guest);
            assertThat(imageAt(hosts, "b")).doesNotExist();
            MigrateResult moved = a.migrate(copying(b.port()), ProgressListener.none());
            assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
            guest.awaitWrites();
        }
    }

    @Test
    void a_destination_without_room_is_refused_at_once_or_fails_and_the_guest_goes_on()
            throws Exception {
        try (TestHosts hosts = new TestHosts();
                SmallFileSystem small =
                        SmallFileSystem.mount(hosts.directory.resolve("b-replicas"), 28L << 20)) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            DiskGuest guest = DiskGuest.in(hosts, "g");
            guest.grow(16);
            a.create(guest.source());
            guest.awaitWrites();
            Path filler = small.root().resolve("filler");
            List<Progress> told = new ArrayList<>();
            MigrateResult stayed =
                    a.migrate(
                            slow(b.port(), 8),
                            progress -> {
                                if (isCopying(progress) && told.isEmpty()) {
                                    told.add(progress);
                                    fill(filler, 24 << 20);
                                }
                            });
            assertThat(told).isNotEmpty();
            assertThat(stayed.outcome()).isEqualTo("stayed");
            assertThat(stayed.reason())
                    .contains("No space left on device")
                    .contains(imageAt(hosts, "b").toString());
            requireUnharmed(a, b, guest);
            assertThat(imageAt(hosts, "b")).doesNotExist();

            fill(filler, 24 << 20);
            refused(a, b, "no room for disk " + imageAt(hosts, "b"));
            requireUnharmed(a, b, guest);

            Files.delete(filler);
            MigrateResult moved = a.migrate(copying(b.port()), ProgressListener.none());
            assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
            guest.awaitWrites();
            b.destroy("g");
        }
    }

    @Test
    void an_image_that_is_in_use_or_too_small_or_the_sources_own_is_refused_unharmed()
            throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            DiskGuest guest = DiskGuest.in(hosts, "g");
            a.create(guest.source());
            guest.awaitWrites();
            Path copy = imageAt(hosts, "b");
            Files.createDirectories(copy.getParent());
            Files.write(copy, new byte[1 << 20]);
            refused(a, b, "has 1048576 bytes, the disk has 33554432");
            assertThat(copy).hasSize(1 << 20);
            Files.delete(copy);
            try (RandomAccessFile file = new RandomAccessFile(copy.toFile(), "rw")) {
                file.setLength(32 << 20);
            }
            b.create(hosts.guestWith("h", "disks: [" + copy + "]"));
            refused(a, b, "in use");
            b.destroy("h");
            Files.delete(copy);
            Files.createSymbolicLink(copy, guest.image());
            refused(a, b, "one and the same on both nodes");
            Files.delete(copy);
            requireUnharmed(a, b, guest);
            guest.requirePattern(guest.image());
            MigrateResult moved = a.migrate(copying(b.port()), ProgressListener.none());
            assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
        }
    }

    @Test
    void what_a_destination_lacks_is_seen_before_an_image_there_is_written_over() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            DiskGuest guest = DiskGuest.in(hosts, "g");
            a.create(guest.source());
            guest.awaitWrites();
            Path there = imageAt(hosts, "b");
            Files.createDirectories(there.getParent());
            try (RandomAccessFile file = new RandomAccessFile(there.toFile(), "rw")) {
                file.write("somebody's".getBytes(StandardCharsets.US_ASCII));
                file.setLength(32 << 20);
            }
            FileTime written = Files.getLastModifiedTime(there);
            MigrateRequest request =
                    copying(b.port()).withFeatures(List.of("hook:firewall"), List.of());
            refused(a, request, "firewall does not exist; put the hook there, executable");
            MigrationTest.hook(hosts, "firewall", "exit 0");
            Path hook = hosts.directory.resolve("hooks/firewall");
            Files.setPosixFilePermissions(hook, PosixFilePermissions.fromString("rw-r--r--"));
            refused(a, request, "is not executable: chmod +x " + hook);
            assertThat(a.status("g").migration()).as("nothing began").isNull();
            assertThat(Files.getLastModifiedTime(there)).isEqualTo(written);
            try (RandomAccessFile file = new RandomAccessFile(there.toFile(), "r")) {
                assertThat(file.readLine()).startsWith("somebody's");
            }
            requireUnharmed(a, b, guest);

            MigrateResult moved =
                    a.migrate(
                            copying(b.port()).withFeatures(List.of(), List.of("hook:firewall")),
                            ProgressListener.none());
            assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
            assertThat(moved.migration().features())
                    .anySatisfy(
                            feature -> {
                                assertThat(feature.name()).isEqualTo("hook:firewall");
                                assertThat(feature.result()).isEqualTo("failed");
                                assertThat(feature.detail()).contains("is not executable");
                            });
            guest.awaitWrites();
        }
    }

    private static MigrateRequest slow(int port, long mibPerSecond) {
        return copying(port).withBandwidth(mibPerSecond);
    }

    private static boolean isCopying(Progress progress) {
        return progress.stage().equals("copying-disks") && progress.doneBytes() > 0;
    }

    private static void fill(Path file, int bytes) {
        try {
            Files.write(file, new byte[bytes]);
        } catch (IOException e) {
            // Full is what it is to be.
            System.out.println("filled: " + e.getMessage());
        }
    }

    private static void run(String... command) throws Exception {
        assertThat(new ProcessBuilder(command).inheritIO().start().waitFor()).isZero();
    }

    /** It runs on a, unprotected, and writes; nothing of it is on b. */
    private static void requireUnharmed(Node a, Node b, DiskGuest guest) throws Exception {
        assertThat(a.status("g").state()).isEqualTo(State.RUNNING);
        assertThat(a.status("g").role()).isEqualTo(Role.UNPROTECTED);
        assertThat(b.list()).noneMatch(domain -> domain.name().equals("g"));
        guest.awaitWrites();
    }

    private static void refused(Node a, Node b, String why) {
        refused(a, copying(b.port()), why);
    }

    private static void refused(Node a, MigrateRequest request, String why) {
        assertThatThrownBy(() -> a.migrate(request, ProgressListener.none()))
                .isInstanceOf(ApiException.class)
                .hasMessageContaining(why);
    }
}
