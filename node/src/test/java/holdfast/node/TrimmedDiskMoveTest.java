package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.AttachRequest;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.MigrationStatus;
import holdfast.node.api.Progress;
import holdfast.qemu.qmp.QmpClient;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Guests that trim a disk with {@code discard=unmap} while a migration copies it: before it is
 * mirrored, in its first copy, and while each of its writes is forwarded.
 */
@Tag("qemu")
@Timeout(180)
class TrimmedDiskMoveTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);
    private static final int MIB = 1 << 20;
    private static final int KIB = 1 << 10;
    private static final int DISK_BYTES = 8 * MIB;

    /** What the guest should find. */
    private final byte[] expected = new byte[DISK_BYTES];

    @Test
    void a_raw_image_that_is_trimmed_arrives_as_it_is() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            move(hosts, "raw", "file", image(hosts, "raw"));
        }
    }

    @Tag(LongRun.TAG)
    @ParameterizedTest
    @ValueSource(strings = "qcow2")
    void so_does_one_of_another_format(String format) throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            move(hosts, format, "file", image(hosts, format));
        }
    }

    @Test
    void a_block_device_that_is_trimmed_arrives_as_it_is() throws Exception {
        try (TestHosts hosts = new TestHosts();
                LoopDevice device = LoopDevice.of(hosts.directory.resolve("device"), DISK_BYTES)) {
            move(hosts, "raw", "host_device", device.path());
        }
    }

    @Test
    void so_it_does_in_a_block_device_whose_old_content_shows_nowhere() throws Exception {
        try (TestHosts hosts = new TestHosts();
                LoopDevice device = LoopDevice.of(hosts.directory.resolve("device"), DISK_BYTES);
                LoopDevice copy =
                        LoopDevice.of(hosts.directory.resolve("copy"), DISK_BYTES + MIB)) {
            byte[] old = new byte[DISK_BYTES + MIB];
            Arrays.fill(old, (byte) 0xee);
            Files.write(copy.path(), old);
            Path replicas = Files.createDirectories(hosts.directory.resolve("b-replicas/g"));
            Files.createSymbolicLink(replicas.resolve("disk1.raw"), copy.path());
            move(hosts, "raw", "host_device", device.path());
            byte[] behind = Files.readAllBytes(copy.path());
            assertThat(Arrays.copyOfRange(behind, DISK_BYTES, behind.length))
                    .as("behind the disk")
                    .containsOnly(0xee);
        }
    }

    private static Path image(TestHosts hosts, String format) throws IOException {
        Path image = hosts.directory.resolve("trimmed");
        run("qemu-img", "create", "-q", "-f", format, image.toString(), DISK_BYTES + "");
        return image;
    }

    private void move(TestHosts hosts, String format, String driver, Path source) throws Exception {
        String words =
                "-drive file=IMAGE,format=raw,if=none,id=d -device virtio-blk-pci,drive=d"
                        + " -blockdev driver="
                        + format
                        + ",node-name=t,discard=unmap,detect-zeroes=unmap,file.driver="
                        + driver
                        + ",file.discard=unmap,file.filename="
                        + source
                        + " -device virtio-blk-pci,drive=t,id=t";
        try (FaultyMirroring faulty = new FaultyMirroring();
                ForeignQemu qemu = ForeignQemu.withDiskGuest(hosts, "raw", words);
                QmpClient operator = QmpClient.connect(qemu.operator(), LIMIT)) {
            Node a = hosts.start("a", Node.Looks.BY_ITSELF, faulty.within(LIMIT, LIMIT));
            Node b = hosts.start("b");
            qemu.guest().awaitWrites();
            a.attach(new AttachRequest(qemu.monitor().toString(), "g"));
            write(operator, "write -P 0x5a", 0, DISK_BYTES, 0x5a);
            write(operator, "discard", 0, 512 * KIB, 0);

            // Its first disk is copied in peace, the other one half.
            CompletableFuture<FaultyExport> made = new CompletableFuture<>();
            faulty.tellNext(
                    _ ->
                            faulty.tellNext(
                                    trimmed -> {
                                        trimmed.hang(4);
                                        made.complete(trimmed);
                                    }));
            CountDownLatch following = new CountDownLatch(1);
            CompletableFuture<MigrateResult> moving =
                    CompletableFuture.supplyAsync(
                            () ->
                                    a.migrate(
                                            request(b.port()),
                                            told -> {
                                                if (isFollowing(told)) {
                                                    following.countDown();
                                                }
                                            }));
            FaultyExport export = made.get(60, TimeUnit.SECONDS);
            await(export.hung, moving);
            // Copied already, not copied yet, and what is on its way.
            for (int at = MIB; at < DISK_BYTES; at += 2 * MIB) {
                trim(operator, at, 300 * KIB);
            }
            assertThat(moving).isNotDone();
            export.release();

            await(following, moving);
            trim(operator, 2 * MIB, 512 * KIB);
            trim(operator, 4 * MIB + 2 * KIB, KIB);
            write(operator, "write -P 0x33", 4 * MIB, 64 * KIB, 0x33);
            write(operator, "write -P 0", 3 * MIB, 64 * KIB, 0);
            write(operator, "write -z -u", 3200 * KIB, 64 * KIB, 0);
            trim(operator, 4 * MIB, 64 * KIB);
            assertThat(a.status("g").migration().phase())
                    .as("the guest runs, each of its writes is forwarded")
                    .isEqualTo("perform");

            MigrateResult moved = moving.get(60, TimeUnit.SECONDS);
            assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
            Path copy = Path.of(b.status("g").disks().get(1).path());
            ForeignQemu.awaitWritten(b, Path.of(b.status("g").disks().getFirst().path()));
            b.destroy("g");
            assertThat(Arrays.mismatch(content(copy), expected)).isEqualTo(-1);
            Path own = hosts.directory.resolve("own");
            run("qemu-img", "convert", "-O", "raw", source.toString(), own.toString());
            assertThat(Arrays.mismatch(content(own), expected)).isEqualTo(-1);
        }
    }

    /** Slow enough for a guest to do something meanwhile. */
    private static MigrateRequest request(int port) {
        return MigrateRequest.of("g", "127.0.0.1:" + port)
                .withStorage(MigrateRequest.Storage.COPY)
                .withCompress(MigrateRequest.Compress.NONE)
                .withBandwidth(12);
    }

    private static boolean isFollowing(Progress told) {
        MigrationStatus status = told.migration();
        return status != null
                && status.phase().equals("perform")
                && status.disks().size() == 2
                && status.disks().stream().allMatch(disk -> disk.state().equals("in-sync"));
    }

    private static void await(CountDownLatch latch, CompletableFuture<MigrateResult> moving)
            throws Exception {
        CompletableFuture<Void> reached = new CompletableFuture<>();
        Thread.ofVirtual()
                .start(
                        () -> {
                            try {
                                if (latch.await(60, TimeUnit.SECONDS)) {
                                    reached.complete(null);
                                }
                            } catch (InterruptedException e) {
                                Thread.currentThread().interrupt();
                            }
                        });
        CompletableFuture.anyOf(reached, moving).get(60, TimeUnit.SECONDS);
        assertThat(moving).isNotDone();
    }

    /** While it is mirrored: answered, and done nowhere. */
    private static void trim(QmpClient operator, int offset, int bytes) {
        AttachedDiskTest.guest(operator, "discard " + offset + " " + bytes);
    }

    private void write(QmpClient operator, String what, int offset, int bytes, int then) {
        AttachedDiskTest.guest(operator, what + " " + offset + " " + bytes);
        Arrays.fill(expected, offset, offset + bytes, (byte) then);
    }

    private static byte[] content(Path image) throws IOException {
        return Arrays.copyOf(Files.readAllBytes(image), DISK_BYTES);
    }

    private static void run(String... command) throws IOException {
        LoopDevice.run(List.of(command));
    }
}
