package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.api.ApiException;
import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest.ArbiterKind;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Disks that are copied from a block device and into one. */
@Tag("qemu")
@Timeout(240)
class BlockDeviceMigrationTest {
    private static final long DISK_BYTES = 32 << 20;

    @Test
    void a_guest_moves_from_a_block_device_into_a_file_and_back_into_the_device() throws Exception {
        try (TestHosts hosts = new TestHosts();
                LoopDevice device =
                        LoopDevice.of(hosts.directory.resolve("device.backing"), DISK_BYTES);
                TestDaemon a = new TestDaemon(hosts, "a", TestDaemon.Site.here(hosts), "");
                TestDaemon b = new TestDaemon(hosts, "b", TestDaemon.Site.here(hosts), "")) {
            a.start();
            b.start();
            Path copy = hosts.directory.resolve("copy.raw");
            DiskGuest guest = on(device.path(), copy, DiskGuest.in(hosts, "g"));
            a.client().create(guest.source());
            guest.awaitWrites();

            assertThatThrownBy(() -> migrate(a, b, MigrateRequest.Storage.AUTO))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining(device.path() + " is a block device")
                    .hasMessageContaining("say --storage shared or --storage copy");
            guest.awaitWrites();
            assertThat(copy).doesNotExist();

            // Both stand still while features come up.
            MigrationTest.hook(
                    hosts,
                    "same",
                    "[ $1 = deinit ] || cmp " + device.path() + " " + copy + " || exit 1");
            moves(a, b);
            guest.awaitWrites();
            moves(b, a);
            guest.awaitWrites();
            assertThat(a.client().status("g").disks().getFirst().path())
                    .isEqualTo(device.path().toString());
            a.client().destroy("g");
            Path image = hosts.directory.resolve("image");
            LoopDevice.run(List.of("dd", "if=" + device.path(), "of=" + image, "bs=1M"));
            guest.requirePattern(image);
            guest.requirePattern(copy);
        }
    }

    @Test
    void a_protected_guest_stays_so_where_the_operator_must_say_more() throws Exception {
        try (TestHosts hosts = new TestHosts();
                LoopDevice device =
                        LoopDevice.of(hosts.directory.resolve("device.backing"), DISK_BYTES)) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            Node c = hosts.start("c");
            DiskGuest guest =
                    on(
                            device.path(),
                            hosts.directory.resolve("copy.raw"),
                            DiskGuest.in(hosts, "g"));
            a.create(guest.source());
            a.remus(
                    TestHosts.staying("g", ArbiterKind.OPERATOR, b.port()),
                    ProgressListener.none());
            String since = a.status("g").protection().protectedSince();
            assertThatThrownBy(
                            () ->
                                    a.migrate(
                                            MigrateRequest.of("g", "127.0.0.1:" + c.port()),
                                            ProgressListener.none()))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("say --storage shared or --storage copy");
            assertThat(a.status("g").protection().protectedSince()).isEqualTo(since);
            guest.awaitWrites();
        }
    }

    @Test
    void a_device_of_another_size_is_refused_and_the_guest_goes_on() throws Exception {
        try (TestHosts hosts = new TestHosts();
                LoopDevice small =
                        LoopDevice.of(hosts.directory.resolve("small.backing"), DISK_BYTES / 2);
                TestDaemon a = new TestDaemon(hosts, "a", TestDaemon.Site.here(hosts), "");
                TestDaemon b = new TestDaemon(hosts, "b", TestDaemon.Site.here(hosts), "")) {
            a.start();
            b.start();
            DiskGuest file = DiskGuest.in(hosts, "g");
            DiskGuest guest = on(file.image(), small.path(), file);
            a.client().create(guest.source());
            guest.awaitWrites();
            assertThatThrownBy(() -> migrate(a, b, MigrateRequest.Storage.COPY))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining(small.path() + " has " + DISK_BYTES / 2 + " bytes");
            guest.awaitWrites();
            assertThat(a.client().status("g").state()).isEqualTo(State.RUNNING);
            assertThat(Files.readAllBytes(hosts.directory.resolve("small.backing")))
                    .containsOnly(0);
        }
    }

    private static DiskGuest on(Path disk, Path replica, DiskGuest plain) {
        return new DiskGuest(
                new DomainSource(
                        plain.source().file(),
                        plain.source()
                                .yaml()
                                .replace(
                                        "disks: [" + plain.image() + "]",
                                        "disks: [{path: " + disk + ", replica: " + replica + "}]")),
                disk,
                plain.serial());
    }

    private static void moves(TestDaemon from, TestDaemon to) {
        MigrateResult moved = migrate(from, to, MigrateRequest.Storage.COPY, "hook:same");
        assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
        assertThat(to.client().status("g").state()).isEqualTo(State.RUNNING);
        assertThat(from.client().status("g").state()).isEqualTo(State.ENDED);
    }

    private static MigrateResult migrate(
            TestDaemon from, TestDaemon to, MigrateRequest.Storage storage, String... hooks) {
        return from.client()
                .migrate(
                        MigrateRequest.of("g", "127.0.0.1:" + to.port())
                                .withStorage(storage)
                                .withFeatures(List.of(hooks), List.of()),
                        ProgressListener.none());
    }
}
