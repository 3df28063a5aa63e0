package holdfast.node.disk;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.DiskException;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import java.io.BufferedReader;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.UUID;

@Timeout(60)
class ImageOpeningTest {
    private static final int DISK_BYTES = 1 << 20;

    @TempDir Path directory;
    private Path journals;
    private Path image;

    @BeforeEach
    void name() {
        journals = directory.resolve("journals");
        image = directory.resolve("web.img");
    }

    private ReplicaImages open(Path... paths) {
        return ReplicaImages.open(
                journals,
                UUID.randomUUID(),
                "web",
                Arrays.stream(paths).map(p -> new ReplicaImages.Image(p, DISK_BYTES)).toList());
    }

    private void refuses(String text, Path... paths) {
        assertThatThrownBy(() -> open(paths))
                .isInstanceOf(DiskException.class)
                .hasMessageContaining(text);
    }

    private void makeOld(int bytes) throws Exception {
        byte[] old = new byte[bytes];
        Arrays.fill(old, (byte) 7);
        Files.write(image, old);
    }

    @Test
    void an_image_that_is_not_there_is_made_sparse() throws Exception {
        try (ReplicaImages disks = open(image)) {
            assertThat(Files.size(image)).isEqualTo(DISK_BYTES);
            disks.writeZeroes(0, 0, DISK_BYTES);
            disks.write(0, 4096, ByteBuffer.wrap("hello".getBytes()));
            disks.boundary(0);
            disks.commit(0);
            disks.apply(0);
            disks.write(0, 0, ByteBuffer.wrap(new byte[8192]));
            disks.writeZeroes(0, 4097, 3);
            disks.boundary(1);
            disks.commit(1);
            disks.write(0, 9000, ByteBuffer.wrap(new byte[] {1}));
            disks.discardPartial();
            disks.settle();
        }
        assertThat(Files.readAllBytes(image)).isEqualTo(new byte[DISK_BYTES]);
        assertThat(journals).isEmptyDirectory();
    }

    @Test
    void a_hole_is_punched_where_the_guest_has_zeroes() throws Exception {
        makeOld(DISK_BYTES);
        try (ReplicaImages disks = open(image)) {
            byte[] ones = new byte[DISK_BYTES];
            Arrays.fill(ones, (byte) 1);
            disks.write(0, 0, ByteBuffer.wrap(ones));
            disks.boundary(0);
            disks.commit(0);
            disks.apply(0);
            disks.writeZeroes(0, 1000, DISK_BYTES - 2000);
            disks.boundary(1);
            disks.commit(1);
            disks.apply(1);
            disks.settle();
            Arrays.fill(ones, 1000, DISK_BYTES - 1000, (byte) 0);
            assertThat(Files.readAllBytes(image)).isEqualTo(ones);
        }
        Process du = new ProcessBuilder("du", "-k", image.toString()).start();
        try (BufferedReader out = du.inputReader()) {
            assertThat(Integer.parseInt(out.readLine().split("\\s")[0])).isLessThan(100);
        }
        du.waitFor();
    }

    @Test
    void an_old_image_is_emptied_and_gets_the_size_of_the_disk() throws Exception {
        makeOld(DISK_BYTES + 512);
        try (ReplicaImages disks = open(image)) {
            assertThat(Files.readAllBytes(image)).isEqualTo(new byte[DISK_BYTES]);
            disks.discardPartial();
        }
        assertThat(journals).isEmptyDirectory();
    }

    @Test
    void what_cannot_be_a_replica_is_refused_and_left_as_it_is() throws Exception {
        makeOld(DISK_BYTES - 1);
        Path other = directory.resolve("other.img");
        refuses("has 1048575 bytes, the disk has 1048576", other, image);
        assertThat(Files.readAllBytes(image)).hasSize(DISK_BYTES - 1).containsOnly(7);
        assertThat(other).doesNotExist();
        refuses("has no directory", directory.resolve("nowhere/web.img"));
        refuses("neither a file nor a block device", directory);
        refuses("not an absolute path", Path.of("web.img"));
        refuses("neither a file nor a block device", Path.of("/dev/null"));
        makeOld(DISK_BYTES);
        Path link = Files.createSymbolicLink(directory.resolve("link.img"), image);
        assertThatThrownBy(() -> open(image, link)).isInstanceOf(DiskException.class);
        assertThat(Files.readAllBytes(image)).containsOnly(7);
        assertThat(journals).doesNotExist();
        // And again, with nothing in the way.
        open(image, other).close();
    }

    /** As root the mode of a file does not matter, but a read-only file system does. */
    @Test
    void a_read_only_image_is_refused() throws Exception {
        makeOld(DISK_BYTES);
        Files.setPosixFilePermissions(
                image, java.nio.file.attribute.PosixFilePermissions.fromString("r--r--r--"));
        boolean root = System.getProperty("user.name").equals("root");
        Path readOnly = root ? Path.of("/proc/version") : image;
        refuses(root ? "has 0 bytes" : "cannot be written", readOnly);
        assertThat(Files.readAllBytes(image)).containsOnly(7);
    }

    @Test
    void an_image_of_another_session_is_refused_until_that_ends() throws Exception {
        try (ReplicaImages first = open(image)) {
            first.write(0, 0, ByteBuffer.wrap(new byte[] {5}));
            refuses("in use by another session", image);
            assertThat(Files.readAllBytes(image)[0]).isEqualTo((byte) 5);
        }
        open(image).close();
    }

    @ParameterizedTest
    @EnumSource(ImageUse.class)
    void what_is_wrong_is_told_with_the_step_that_comes_next(ImageUse use) {
        DiskFiles files = new SystemFiles(use);
        assertThatThrownBy(() -> ImageOpening.openExisting(files, image))
                .isInstanceOf(DiskException.class)
                .hasMessageEndingWith("is not there; bring it back, then " + use.again());
        assertThat(files.failure("image", image, "writing", new java.io.IOException("no room")))
                .hasMessageEndingWith("make room or repair the disk, then " + use.again());
    }

    @Test
    void the_journal_of_an_older_session_is_forgotten() throws Exception {
        Path left = journals.resolve(UUID.randomUUID().toString());
        DiskFiles files = new SystemFiles(ImageUse.REPLICA);
        Journal.create(
                        files,
                        left,
                        new holdfast.wire.disk.JournalHeader(
                                1,
                                UUID.randomUUID(),
                                "web",
                                java.util.OptionalLong.empty(),
                                List.of(
                                        new holdfast.wire.disk.JournalHeader.Disk(
                                                image.toString(), DISK_BYTES))),
                        1 << 20)
                .close();
        assertThat(left).isNotEmptyDirectory();
        try (ReplicaImages disks = open(image)) {
            assertThat(left).doesNotExist();
            disks.discardPartial();
        }
    }

    /** A QEMU with the image on a virtio disk; it has opened it when its monitor speaks. */
    private Process qemu(String readOnly) throws Exception {
        Process qemu =
                new ProcessBuilder(
                                "qemu-system-x86_64",
                                "-S",
                                "-machine",
                                "q35,accel=tcg",
                                "-m",
                                "32",
                                "-nodefaults",
                                "-display",
                                "none",
                                "-drive",
                                "if=none,id=d,format=raw,file=" + image + ",readonly=" + readOnly,
                                "-device",
                                "virtio-blk-pci,drive=d",
                                "-qmp",
                                "stdio")
                        .redirectErrorStream(true)
                        .start();
        String line = qemu.inputReader().readLine();
        if (line == null || !line.contains("QMP")) {
            qemu.destroyForcibly().waitFor();
            throw new AssertionError("QEMU said " + line);
        }
        return qemu;
    }

    @Test
    @Tag("qemu")
    void an_image_that_a_qemu_has_open_is_refused() throws Exception {
        makeOld(DISK_BYTES);
        for (String readOnly : List.of("off", "on")) {
            Process qemu = qemu(readOnly);
            try {
                refuses("in use by another process", image);
            } finally {
                qemu.destroyForcibly().waitFor();
            }
            assertThat(Files.readAllBytes(image)).containsOnly(7);
        }
        open(image).close();
    }

    @Test
    @Tag("qemu")
    void the_standby_may_open_an_image_that_a_session_writes_to() throws Exception {
        try (ReplicaImages disks = open(image)) {
            Process qemu = qemu("off");
            try {
                disks.write(0, 0, ByteBuffer.wrap(new byte[] {5}));
                disks.boundary(0);
                disks.commit(0);
                disks.apply(0);
                disks.settle();
                assertThat(qemu.isAlive()).isTrue();
            } finally {
                qemu.destroyForcibly().waitFor();
            }
        }
        assertThat(Files.readAllBytes(image)[0]).isEqualTo((byte) 5);
    }
}
