package holdfast.qemu.launch;

import holdfast.engine.HypervisorException;
import holdfast.qemu.launch.DomainSpec.Disk;
import holdfast.qemu.launch.DomainSpec.Format;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * What an image says of itself. Read without a lock: format and virtual size do not change while a
 * QEMU runs on it. Whether somebody else runs on it, QEMU's own lock finds out.
 */
public sealed interface DiskImage {
    /** What a disk is a multiple of. */
    int SECTOR_BYTES = 512;

    /**
     * The disk can be started.
     *
     * @param disk with its format and virtual size
     */
    record Fit(Disk disk) implements DiskImage {}

    /**
     * It cannot, or should not unless a person decides.
     *
     * @param key of the disk that is to be changed
     * @param reason found, expected, next step
     */
    record Unfit(String key, String reason) implements DiskImage {}

    /**
     * Looks at the image of {@code disk}, which must be there. A format that was named stands:
     * nothing that a guest writes into a raw image makes another format of it.
     */
    static DiskImage inspect(Disk disk) throws IOException {
        Path path = disk.path();
        if (!Files.isRegularFile(path) && !isBlockDevice(path)) {
            return new Unfit("path", path + " is neither a file nor a block device");
        }
        try (FileChannel channel = FileChannel.open(path)) {
            Optional<Qcow2Header> header = Qcow2Header.read(channel);
            return switch (disk.format()) {
                case RAW -> sized(disk, Format.RAW, channel.size());
                case QCOW2 ->
                        header.isPresent()
                                ? qcow2(disk, header.get())
                                : new Unfit(
                                        "format",
                                        path
                                                + " is no qcow2 image (those begin with the bytes"
                                                + " 51 46 49 fb); say raw, or leave format out");
                case AUTO ->
                        header.isPresent()
                                ? qcow2(disk, header.get())
                                : sized(disk, Format.RAW, channel.size());
            };
        }
    }

    private static DiskImage qcow2(Disk disk, Qcow2Header header) {
        if (header.version() != 2 && header.version() != 3) {
            return new Unfit(
                    "path",
                    disk.path()
                            + " begins as a qcow2 image does, but has version "
                            + header.version()
                            + ", expected 2 or 3; convert it, or say format: raw if it is raw");
        }
        if (disk.format() == Format.AUTO && header.refersElsewhere()) {
            // Such a header may have been written by a guest, into what was its raw disk.
            return new Unfit(
                    "format",
                    disk.path()
                            + " is a qcow2 image that refers to another file; say format: qcow2 if"
                            + " nobody but you can have written that, or raw if it is raw");
        }
        return sized(disk, Format.QCOW2, header.virtualBytes());
    }

    /** A disk that is smaller than the block device it lies on stays so. */
    private static DiskImage sized(Disk disk, Format format, long imageBytes) {
        long bytes =
                isBlockDevice(disk.path()) && format == Format.RAW
                        ? Math.min(imageBytes, disk.virtualBytes().orElse(imageBytes))
                        : imageBytes;
        if (bytes < SECTOR_BYTES || bytes % SECTOR_BYTES != 0) {
            return new Unfit(
                    "path",
                    disk.path()
                            + " has "
                            + bytes
                            + " bytes, expected a multiple of a sector, "
                            + SECTOR_BYTES
                            + " bytes, and at least one; `truncate --size` makes a file longer");
        }
        return new Fit(disk.as(format, bytes));
    }

    /**
     * Where a raw disk ends in an image that is larger, such as a block device: the guest must see
     * no more of it than its disk. Empty where the image ends there by itself, or is not there. The
     * image is not opened: closing it would give up the locks that this process has on it.
     */
    static OptionalLong limitBytes(Disk disk) {
        if (disk.format() != Format.RAW || disk.virtualBytes().isEmpty()) {
            return OptionalLong.empty();
        }
        long bytes = disk.virtualBytes().getAsLong();
        try {
            return Files.exists(disk.path()) && sizeBytes(disk.path()) > bytes
                    ? OptionalLong.of(bytes)
                    : OptionalLong.empty();
        } catch (IOException e) {
            throw new HypervisorException(
                    "look at image", disk.path() + ": its size cannot be asked for: " + e, e);
        }
    }

    private static long sizeBytes(Path path) throws IOException {
        if (!isBlockDevice(path)) {
            return Files.size(path);
        }
        // As glibc's gnu_dev_major and gnu_dev_minor take it apart.
        long device = (long) Files.getAttribute(path, "unix:rdev");
        long major = device >>> 8 & 0xfff | device >>> 32 & ~0xfffL;
        long minor = device & 0xff | device >>> 12 & ~0xffL & 0xffffffffL;
        Path size = Path.of("/sys/dev/block", major + ":" + minor, "size");
        return Math.multiplyExact(Long.parseLong(Files.readString(size).strip()), SECTOR_BYTES);
    }

    /** QEMU has another driver for these than for files. */
    static boolean isBlockDevice(Path path) {
        final int typeMask = 0170000;
        final int blockDevice = 0060000;
        try {
            return Files.exists(path)
                    && ((int) Files.getAttribute(path, "unix:mode") & typeMask) == blockDevice;
        } catch (IOException e) {
            // It went away, or may not be looked at: whoever opens it says so.
            return false;
        }
    }
}
