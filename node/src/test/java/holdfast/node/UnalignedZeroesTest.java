package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.disk.ReplicaImages;

import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.UUID;

/**
 * A guest's zeroes on replicas that are block devices, of which a kernel punches whole sectors
 * alone: at every place, aligned or not, and nothing beside them.
 */
@Timeout(60)
class UnalignedZeroesTest {
    private static final int DEVICE_BYTES = 6 << 20;

    /** A multiple of what a guest calls a sector, not of what some devices do. */
    private static final int DISK_BYTES = (4 << 20) + 512;

    private static final byte OLD = 0x5a;

    @TempDir Path directory;

    /** The disk as it should be, and what it is replicated to. */
    private final class Disk {
        private final byte[] expected = new byte[DISK_BYTES];
        private final ReplicaImages images;

        Disk(Path device) {
            images =
                    ReplicaImages.open(
                            directory.resolve("journals"),
                            UUID.randomUUID(),
                            "web",
                            List.of(new ReplicaImages.Image(device, DISK_BYTES)));
            Arrays.fill(expected, OLD);
        }

        void write(int offset, int bytes, SplittableRandom random) {
            byte[] data = new byte[bytes];
            random.nextBytes(data);
            System.arraycopy(data, 0, expected, offset, bytes);
            images.write(0, offset, ByteBuffer.wrap(data));
        }

        void zero(int offset, int bytes) {
            Arrays.fill(expected, offset, offset + bytes, (byte) 0);
            images.writeZeroes(0, offset, bytes);
        }
    }

    /** What stable storage has: the file below the device. */
    private static void requireContent(Path file, byte[] expected) throws IOException {
        byte[] found = Files.readAllBytes(file);
        assertThat(Arrays.mismatch(Arrays.copyOf(found, DISK_BYTES), expected)).isEqualTo(-1);
        assertThat(Arrays.copyOfRange(found, DISK_BYTES, found.length))
                .as("behind the disk")
                .containsOnly(OLD);
    }

    private static Path filled(Path file) throws IOException {
        byte[] old = new byte[DEVICE_BYTES];
        Arrays.fill(old, OLD);
        return Files.write(file, old);
    }

    @ParameterizedTest
    @ValueSource(ints = {512, 4096})
    void zeroes_of_the_first_copy_and_of_epochs_are_where_the_guest_wrote_them(int sectorBytes)
            throws Exception {
        long seed = Long.getLong("holdfast.seed", System.nanoTime() & 0xFFFF);
        System.out.println("seed " + seed);
        SplittableRandom random = new SplittableRandom(seed);
        Path file = filled(directory.resolve("device"));
        try (LoopDevice device = LoopDevice.of(file, DEVICE_BYTES, sectorBytes)) {
            Disk disk = new Disk(device.path());
            try (ReplicaImages images = disk.images) {
                // The whole disk in pieces, some of them without any whole sector.
                for (int at = 0; at < DISK_BYTES; ) {
                    int bytes = Math.min(DISK_BYTES - at, 1 + random.nextInt(40_000));
                    if (random.nextInt(3) == 0) {
                        disk.write(at, bytes, random);
                    } else {
                        disk.zero(at, bytes);
                    }
                    at += bytes;
                }
                images.boundary(0);
                images.commit(0);
                images.apply(0);
                for (long epoch = 1; epoch < 30; epoch++) {
                    for (int i = 0; i < 10; i++) {
                        // A guest's sectors, and any bytes.
                        int unit = random.nextBoolean() ? 512 : 1;
                        int offset = random.nextInt(DISK_BYTES / unit) * unit;
                        int most = (DISK_BYTES - offset) / unit;
                        int bytes =
                                (1 + random.nextInt(Math.min(most, 1 + random.nextInt(20_000))))
                                        * unit;
                        bytes = Math.min(bytes, DISK_BYTES - offset);
                        if (random.nextInt(3) == 0) {
                            disk.write(offset, Math.min(bytes, 300_000), random);
                        } else {
                            disk.zero(offset, bytes);
                        }
                    }
                    images.boundary(epoch);
                    images.commit(epoch);
                    images.apply(epoch);
                }
                images.discardPartial();
                images.settle();
                requireContent(file, disk.expected);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {512, 4096})
    void a_long_range_is_punched_but_for_its_ends(int sectorBytes) throws Exception {
        Path file = filled(directory.resolve("device"));
        long before = blocks(file);
        try (LoopDevice device = LoopDevice.of(file, DEVICE_BYTES, sectorBytes)) {
            Disk disk = new Disk(device.path());
            try (ReplicaImages images = disk.images) {
                disk.zero(511, DISK_BYTES - 513);
                images.boundary(0);
                images.commit(0);
                images.apply(0);
                images.discardPartial();
                images.settle();
                requireContent(file, disk.expected);
                assertThat(before - blocks(file))
                        .as("512-byte blocks given back")
                        .isGreaterThan((DISK_BYTES - (64 << 10)) / 512);
            }
        }
    }

    private static long blocks(Path file) throws IOException {
        LoopDevice.run(List.of("sync", file.toString()));
        return Long.parseLong(
                LoopDevice.run(List.of("stat", "--format=%b", file.toString())).strip());
    }
}
