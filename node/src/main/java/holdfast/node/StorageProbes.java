package holdfast.node;

import holdfast.engine.HypervisorException;
import holdfast.node.link.BeginCookie;
import holdfast.qemu.disk.DiskMirror;
import holdfast.qemu.disk.DiskNodes;
import holdfast.qemu.launch.DiskImage;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.qmp.QmpClient;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;

/**
 * Files beside the images of writable disks: who sees them has the same storage. They are beside
 * the images themselves, not beside symbolic links to them.
 */
final class StorageProbes implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(StorageProbes.class);

    private final List<Path> files = new ArrayList<>();
    private final List<BeginCookie.Disk> disks = new ArrayList<>();

    private StorageProbes() {}

    /**
     * Writes them; closing removes them.
     *
     * @param qmp of the domain that moves
     * @throws HypervisorException if one cannot be written
     */
    static StorageProbes write(DomainSpec spec, QmpClient qmp, UUID migration) {
        StorageProbes probes = new StorageProbes();
        try {
            for (int i = 0; i < spec.disks().size(); i++) {
                if (spec.disks().get(i).access() == DomainSpec.Access.READ_WRITE) {
                    probes.add(i, spec, qmp, migration);
                }
            }
            return probes;
        } catch (IOException e) {
            probes.close();
            throw new HypervisorException(
                    "migrate",
                    "cannot find out whether the destination has the same storage: no file can be"
                            + " written beside the image ("
                            + e.getMessage()
                            + ")",
                    e);
        } catch (RuntimeException e) {
            probes.close();
            throw e;
        }
    }

    private void add(int index, DomainSpec spec, QmpClient qmp, UUID migration) throws IOException {
        // First: it also says whether the disk can be moved at all.
        String node =
                DiskMirror.aboveDisk(qmp, index).orElseGet(() -> DiskNodes.of(qmp, spec, index));
        Path real = spec.disks().get(index).path().toRealPath();
        String probe = "";
        if (!DiskImage.isBlockDevice(real)) {
            Path file = real.resolveSibling(".holdfast-" + migration);
            if (!files.contains(file)) {
                files.add(file);
                Files.writeString(file, migration.toString());
                // Whoever sees the directory there is to see this, whatever the user here hides.
                Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-r--r--"));
            }
            probe = file.getFileName().toString();
        }
        disks.add(
                new BeginCookie.Disk(
                        index,
                        DiskMirror.sizeBytes(qmp, node),
                        DiskMirror.allocatedBytes(qmp, node),
                        real.getFileName().toString(),
                        probe));
    }

    /** Of the files, for a destination that cannot take disks in: it must see them. */
    List<String> paths() {
        return files.stream().map(Path::toString).toList();
    }

    /** What the destination needs to find out what it shares. */
    List<BeginCookie.Disk> disks() {
        return List.copyOf(disks);
    }

    @Override
    public void close() {
        for (Path file : files) {
            try {
                Files.deleteIfExists(file);
            } catch (IOException e) {
                LOG.warn("event=left-behind what={} reason=\"{}\"", file, e.getMessage());
            }
        }
    }
}
