package holdfast.qemu.launch;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.qemu.launch.DomainSpec.Access;
import holdfast.qemu.launch.DomainSpec.Disk;
import holdfast.qemu.launch.DomainSpec.Format;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalLong;

class DiskImageTest {
    private static final int BACKING = 1;
    private static final int NONE = 0;

    @TempDir private Path directory;

    private Path raw(long bytes) throws IOException {
        Path image = directory.resolve("image");
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.setLength(bytes);
        }
        return image;
    }

    private Path qcow2(int version, long virtualBytes, long backing, long features)
            throws IOException {
        ByteBuffer header = ByteBuffer.allocate(512);
        header.putInt(0, 0x514649fb).putInt(4, version).putLong(8, backing);
        header.putLong(24, virtualBytes).putLong(72, features);
        return Files.write(directory.resolve("image"), header.array());
    }

    private static DiskImage inspect(Path image, Format format) throws IOException {
        return DiskImage.inspect(new Disk(image, format, Access.READ_WRITE));
    }

    private static void assertFit(DiskImage image, Format format, long bytes) {
        assertThat(image)
                .isInstanceOfSatisfying(
                        DiskImage.Fit.class,
                        fit -> {
                            assertThat(fit.disk().format()).isEqualTo(format);
                            assertThat(fit.disk().virtualBytes()).isEqualTo(OptionalLong.of(bytes));
                        });
    }

    private static void assertUnfit(DiskImage image, String key, String reason) {
        assertThat(image)
                .isInstanceOfSatisfying(
                        DiskImage.Unfit.class,
                        unfit -> {
                            assertThat(unfit.key()).isEqualTo(key);
                            assertThat(unfit.reason()).contains(reason);
                        });
    }

    @Test
    void an_image_without_a_magic_is_raw_and_as_large_as_its_file() throws IOException {
        assertFit(inspect(raw(512), Format.AUTO), Format.RAW, 512);
        assertFit(inspect(raw(1 << 20), Format.RAW), Format.RAW, 1 << 20);
    }

    @Test
    void a_qcow2_image_says_its_size_itself() throws IOException {
        for (int version : new int[] {2, 3}) {
            Path image = qcow2(version, 8L << 30, NONE, 0);
            assertFit(inspect(image, Format.AUTO), Format.QCOW2, 8L << 30);
            assertFit(inspect(image, Format.QCOW2), Format.QCOW2, 8L << 30);
        }
    }

    @Test
    void a_format_that_was_named_stands_even_if_the_guest_wrote_another_magic() throws IOException {
        assertFit(inspect(qcow2(3, 8L << 30, NONE, 0), Format.RAW), Format.RAW, 512);
    }

    @Test
    void an_image_that_refers_to_another_file_is_taken_only_from_a_person() throws IOException {
        assertUnfit(inspect(qcow2(3, 512, BACKING, 0), Format.AUTO), "format", "another file");
        assertUnfit(inspect(qcow2(3, 512, NONE, 1 << 2), Format.AUTO), "format", "another file");
        assertFit(inspect(qcow2(3, 512, BACKING, 0), Format.QCOW2), Format.QCOW2, 512);
    }

    @Test
    void a_format_the_image_does_not_have_is_a_contradiction() throws IOException {
        assertUnfit(inspect(raw(512), Format.QCOW2), "format", "is no qcow2 image");
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 4, -1})
    void a_version_qemu_does_not_read_is_named(int version) throws IOException {
        assertUnfit(
                inspect(qcow2(version, 512, NONE, 0), Format.AUTO), "path", "version " + version);
    }

    @Test
    void an_image_that_ends_in_its_header_is_refused() throws IOException {
        Path image = directory.resolve("image");
        Files.write(image, new byte[] {0x51, 0x46, 0x49, (byte) 0xfb, 0, 0, 0, 3});
        assertUnfit(inspect(image, Format.AUTO), "path", "version 0");
    }

    @ParameterizedTest
    @ValueSource(longs = {0, 1, 511, 513})
    void what_is_no_whole_number_of_sectors_is_no_disk(long bytes) throws IOException {
        assertUnfit(inspect(raw(bytes), Format.AUTO), "path", bytes + " bytes");
        assertUnfit(inspect(qcow2(3, bytes, NONE, 0), Format.AUTO), "path", bytes + " bytes");
    }

    @Test
    void neither_a_directory_nor_a_character_device_is_an_image() throws IOException {
        assertUnfit(inspect(directory, Format.AUTO), "path", "neither a file nor a block device");
        assertUnfit(inspect(Path.of("/dev/zero"), Format.AUTO), "path", "neither a file");
        assertThat(DiskImage.isBlockDevice(Path.of("/dev/zero"))).isFalse();
        assertThat(DiskImage.isBlockDevice(directory.resolve("none"))).isFalse();
    }
}
