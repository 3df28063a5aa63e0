package holdfast.node;

import holdfast.node.api.ApiException;
import holdfast.node.disk.ReplicaImages;
import holdfast.qemu.launch.DiskImage;
import holdfast.qemu.launch.DomainSpec;
import holdfast.wire.link.LinkMessage;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;

/** Where the replicas of a domain's disks lie on this node. */
final class ReplicaPlaces {
    private ReplicaPlaces() {}

    /**
     * The description of the standby, and of the survivor that it becomes: each disk that is
     * replicated lies in its replica, which is raw; its own replica will be where the disk was.
     *
     * @param directory present: replicas lie there, in one directory a domain
     * @throws ApiException if the primary keeps a disk to itself that the guest may write
     */
    static DomainSpec onThisNode(
            DomainSpec spec, List<LinkMessage.DiskSize> replicated, Optional<Path> directory) {
        for (int i = 0; i < spec.disks().size(); i++) {
            int index = i;
            if (spec.disks().get(i).access() == DomainSpec.Access.READ_WRITE
                    && replicated.stream().noneMatch(size -> size.index() == index)) {
                throw ApiException.badRequest(
                        "the session does not replicate disk "
                                + i
                                + ", which the guest may write; run the same release on both"
                                + " nodes");
            }
        }
        return copied(spec, replicated, directory);
    }

    /** As {@link #onThisNode}, where the other disks are the source's own. */
    static DomainSpec copied(
            DomainSpec spec, List<LinkMessage.DiskSize> replicated, Optional<Path> directory) {
        List<DomainSpec.Disk> disks = new ArrayList<>(spec.disks());
        for (LinkMessage.DiskSize size : replicated) {
            if (size.index() >= disks.size()
                    || disks.get(size.index()).access() != DomainSpec.Access.READ_WRITE) {
                throw ApiException.badRequest(
                        "the session replicates disk "
                                + size.index()
                                + ", which the description does not call writable");
            }
            DomainSpec.Disk disk = disks.get(size.index());
            Path replica =
                    directory
                            .map(d -> d.resolve(spec.name()).resolve(fileName(size.index())))
                            .orElseGet(() -> named(disk));
            disks.set(
                    size.index(),
                    new DomainSpec.Disk(
                            replica,
                            DomainSpec.Format.RAW,
                            DomainSpec.Access.READ_WRITE,
                            OptionalLong.of(size.bytes()),
                            Optional.of(wayBack(disk)),
                            Optional.empty()));
        }
        return spec.withDisks(disks);
    }

    /**
     * @throws ApiException for a block device that nobody named: it may be the other node's own,
     *     under the same path, as on a SAN; nothing that can be seen here tells them apart
     */
    private static Path named(DomainSpec.Disk disk) {
        if (disk.namedReplica().isEmpty() && DiskImage.isBlockDevice(disk.replica())) {
            throw ApiException.badRequest(
                    "the replica of disk "
                            + disk.path()
                            + " would be written over the block device of that path, which may be"
                            + " the very same on both nodes; name a place for it, which may be"
                            + " that path, as `replica` in the domain's description, or start the"
                            + " node that is to have it with --replica-directory");
        }
        return disk.replica();
    }

    private static String fileName(int index) {
        return "disk" + index + ".raw";
    }

    /** A replica is raw: an image in another format is never written over by one. */
    private static Path wayBack(DomainSpec.Disk disk) {
        return switch (disk.format()) {
            case RAW -> disk.path();
            case QCOW2, AUTO -> disk.path().resolveSibling(disk.path().getFileName() + ".raw");
        };
    }

    /**
     * The images of {@code spec}, which {@link #onThisNode} made, in the order of the session.
     *
     * @throws ApiException if a directory for them cannot be made
     */
    static List<ReplicaImages.Image> images(
            DomainSpec spec, List<LinkMessage.DiskSize> replicated, Optional<Path> directory) {
        List<ReplicaImages.Image> images = new ArrayList<>();
        for (LinkMessage.DiskSize size : replicated) {
            images.add(
                    new ReplicaImages.Image(spec.disks().get(size.index()).path(), size.bytes()));
        }
        makeDirectory(spec, directory);
        return images;
    }

    /** The directory of a domain's images below {@code directory}, if there is one. */
    static void makeDirectory(DomainSpec spec, Optional<Path> directory) {
        directory.ifPresent(d -> make(d.resolve(spec.name())));
    }

    private static void make(Path directory) {
        try {
            Files.createDirectories(directory);
            try (FileChannel above =
                    FileChannel.open(directory.getParent(), StandardOpenOption.READ)) {
                above.force(true);
            }
        } catch (IOException e) {
            throw ApiException.failed(
                    "the replica directory " + directory + " cannot be made: " + e.getMessage(), e);
        }
    }
}
