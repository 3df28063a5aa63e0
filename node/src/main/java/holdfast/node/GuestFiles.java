package holdfast.node;

import holdfast.node.api.ApiException;
import holdfast.qemu.launch.DiskImage;
import holdfast.qemu.launch.DomainSpec;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The files a description names, looked at before QEMU is: it says only that it could not load
 * something; here the key is known, too.
 */
final class GuestFiles {
    private GuestFiles() {}

    /**
     * The description with what its disk images say of themselves.
     *
     * @throws ApiException naming the key of a file that is absent or not what is said of it
     */
    static DomainSpec inspected(DomainSpec spec) {
        requireBoot(spec);
        List<DomainSpec.Disk> disks = new ArrayList<>();
        for (DomainSpec.Disk disk : spec.disks()) {
            disks.add(inspected(spec, "disks[" + disks.size() + "].", disk));
        }
        try {
            return spec.withDisks(disks);
        } catch (IllegalArgumentException e) {
            throw new ApiException(
                    ApiException.Kind.BAD_REQUEST,
                    "domain \"" + spec.name() + "\": " + e.getMessage(),
                    e);
        }
    }

    /**
     * What QEMU opens beside disk images.
     *
     * @throws ApiException as {@link #inspected}
     */
    static void requireBoot(DomainSpec spec) {
        spec.firmware().ifPresent(file -> require(spec, "firmware", file));
        spec.boot()
                .ifPresent(
                        boot -> {
                            require(spec, "boot.kernel", boot.kernel());
                            boot.initrd().ifPresent(file -> require(spec, "boot.initrd", file));
                        });
        spec.serial().ifPresent(file -> requireDirectory(spec, file));
    }

    private static DomainSpec.Disk inspected(DomainSpec spec, String prefix, DomainSpec.Disk disk) {
        require(spec, prefix + "path", disk.path());
        if (disk.access() == DomainSpec.Access.READ_WRITE && !Files.isWritable(disk.path())) {
            throw ApiException.missing(
                    "domain \"%s\": %spath names %s, which this daemon may not write; say access: read-only or allow it"
                            .formatted(spec.name(), prefix, disk.path()),
                    "chmod u+w " + disk.path());
        }
        try {
            return switch (DiskImage.inspect(disk)) {
                case DiskImage.Fit(DomainSpec.Disk known) -> known;
                case DiskImage.Unfit(String key, String reason) ->
                        throw ApiException.badRequest(
                                "domain \"%s\": %s%s: %s"
                                        .formatted(spec.name(), prefix, key, reason));
            };
        } catch (IOException e) {
            throw ApiException.failed(
                    "domain \"%s\": %spath: %s cannot be read: %s"
                            .formatted(spec.name(), prefix, disk.path(), e.getMessage()),
                    e);
        }
    }

    private static void requireDirectory(DomainSpec spec, Path serial) {
        Path directory = serial.getParent();
        if (!Files.isDirectory(directory)) {
            throw ApiException.missing(
                    "domain \"%s\": serial names %s, and the directory %s does not exist; correct the description or make it"
                            .formatted(spec.name(), serial, directory),
                    "mkdir -p " + directory);
        }
    }

    private static void require(DomainSpec spec, String key, Path file) {
        if (!Files.isReadable(file)) {
            throw ApiException.missing(
                    "domain \"%s\": %s names %s, which %s; correct the description or put the file there"
                            .formatted(
                                    spec.name(),
                                    key,
                                    file,
                                    Files.exists(file)
                                            ? "this daemon may not read"
                                            : "does not exist"),
                    Files.exists(file) ? "chmod a+r " + file : "ls -l " + file.getParent());
        }
    }
}
