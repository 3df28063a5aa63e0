package holdfast.node;

import holdfast.node.api.ApiException;
import holdfast.node.disk.ArrivingImages;
import holdfast.node.disk.ReplicaImages;
import holdfast.node.link.AcceptCookie;
import holdfast.node.link.BeginCookie;
import holdfast.qemu.launch.DiskImage;
import holdfast.qemu.launch.DomainSpec;
import holdfast.wire.link.LinkMessage;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Where the disks of an arriving domain are on this node: in the source's own images, if both nodes
 * see the same, else in images here that are to be filled.
 *
 * <p>The source has written a file beside each image that the guest may write. Its name was never
 * used before, so that no cache knows it: who sees it beside an image of that name has the same
 * image.
 *
 * @param spec with the disks as they are here
 * @param copies disks that must travel; empty: all are shared
 */
record ArrivingStorage(DomainSpec spec, List<AcceptCookie.Copy> copies) {
    ArrivingStorage {
        copies = List.copyOf(copies);
    }

    /**
     * Looks; nothing is changed.
     *
     * @param described as the source has it
     * @param directory present: copied disks lie there, in one directory a domain
     * @throws ApiException if a disk cannot be here
     */
    static ArrivingStorage decide(
            DomainSpec described,
            LinkMessage.OpenMigration migration,
            BeginCookie cookie,
            String node,
            Optional<Path> directory) {
        Asking asking = new Asking(migration.migration().toString(), node);
        if (cookie.storage() == null) {
            asking.requireAllShared(described, cookie.probes());
            return new ArrivingStorage(described, List.of());
        }
        List<LinkMessage.DiskSize> copied = new ArrayList<>();
        for (BeginCookie.Disk disk : cookie.storage().disks()) {
            DomainSpec.Disk image = asking.writable(described, disk);
            if (asking.isToBeCopied(image, disk, cookie.storage().wish())) {
                asking.requirePlaced(image, disk, directory);
                copied.add(new LinkMessage.DiskSize(disk.disk(), disk.bytes()));
            }
        }
        DomainSpec here = placed(described, copied, directory);
        List<AcceptCookie.Copy> copies = new ArrayList<>();
        for (LinkMessage.DiskSize size : copied) {
            Path image = here.disks().get(size.index()).path();
            BeginCookie.Disk disk =
                    cookie.storage().disks().stream()
                            .filter(d -> d.disk() == size.index())
                            .findFirst()
                            .orElseThrow();
            asking.requireAnother(image, disk);
            asking.requireRoom(image, disk);
            copies.add(new AcceptCookie.Copy(size.index(), size.bytes(), image.toString()));
        }
        asking.requireReadable(here, copied);
        return new ArrivingStorage(here, copies);
    }

    private static DomainSpec placed(
            DomainSpec described, List<LinkMessage.DiskSize> copied, Optional<Path> directory) {
        try {
            return ReplicaPlaces.copied(described, copied, directory);
        } catch (IllegalArgumentException e) {
            throw new ApiException(
                    ApiException.Kind.BAD_REQUEST,
                    "the copied disks have no place of their own: "
                            + e.getMessage()
                            + "; name a replica for each in the domain's description",
                    e);
        }
    }

    /**
     * Makes the images that are to be filled; empty where there are none.
     *
     * @throws holdfast.engine.ReplicationException if one is in use or cannot hold its disk
     */
    Optional<ArrivingImages> open(Path journals, Optional<Path> directory) {
        if (copies.isEmpty()) {
            return Optional.empty();
        }
        ReplicaPlaces.makeDirectory(spec, directory);
        return Optional.of(
                ArrivingImages.open(
                        journals, copies.stream().map(ArrivingStorage::image).toList()));
    }

    private static ReplicaImages.Image image(AcceptCookie.Copy copy) {
        return new ReplicaImages.Image(Path.of(copy.path()), copy.bytes());
    }

    /**
     * Looks whether {@link #open} would find what it needs; nothing is made.
     *
     * @throws holdfast.engine.ReplicationException if it would not
     */
    void look(Optional<Path> directory) {
        ArrivingImages.look(
                copies.stream()
                        .map(ArrivingStorage::image)
                        // Below the node's own directory what is missing is made.
                        .filter(image -> directory.isEmpty() || Files.exists(image.path()))
                        .toList());
    }

    /**
     * What is asked about one migration.
     *
     * @param migration its id, which is what the files of the source hold
     * @param node this one
     */
    private record Asking(String migration, String node) {
        DomainSpec.Disk writable(DomainSpec spec, BeginCookie.Disk disk) {
            if (disk.disk() < 0
                    || disk.disk() >= spec.disks().size()
                    || spec.disks().get(disk.disk()).access() != DomainSpec.Access.READ_WRITE) {
                throw ApiException.badRequest(
                        "the source speaks of disk "
                                + disk.disk()
                                + ", which the description does not call writable");
            }
            return spec.disks().get(disk.disk());
        }

        boolean isToBeCopied(DomainSpec.Disk image, BeginCookie.Disk disk, BeginCookie.Wish wish) {
            return switch (wish) {
                case COPY -> true;
                case AUTO -> {
                    if (disk.probe().isEmpty()) {
                        throw ApiException.badRequest(
                                "disk "
                                        + image.path()
                                        + " is a block device: whether node "
                                        + node
                                        + " has the same one cannot be seen; say --storage shared"
                                        + " or --storage copy");
                    }
                    yield !isShared(image.path(), disk);
                }
                case SHARED -> {
                    requireShared(image.path(), disk);
                    yield false;
                }
            };
        }

        /**
         * Of a block device nobody can see here whether the one of the same path is the source's
         * own, as it is on a SAN. A copy into that would destroy the disk of a running guest.
         */
        void requirePlaced(DomainSpec.Disk image, BeginCookie.Disk disk, Optional<Path> directory) {
            if (disk.probe().isEmpty() && directory.isEmpty() && image.namedReplica().isEmpty()) {
                throw ApiException.badRequest(
                        "disk "
                                + image.path()
                                + " is a block device, and its copy has no place of its own: under"
                                + " the same path node "
                                + node
                                + " may have the very same device; name one, which may be that"
                                + " path, as `replica` in the domain's description, or start node "
                                + node
                                + " with --replica-directory");
            }
        }

        private void requireShared(Path image, BeginCookie.Disk disk) {
            if (disk.probe().isEmpty()) {
                // The operator's word is all there is; here must be a device, too.
                if (!DiskImage.isBlockDevice(image)) {
                    throw ApiException.badRequest(
                            "disk "
                                    + image
                                    + " is a block device on the source and not on node "
                                    + node);
                }
            } else if (!isShared(image, disk)) {
                throw ApiException.badRequest(
                        "disk "
                                + image
                                + " on node "
                                + node
                                + " is not that of the source (no "
                                + disk.probe()
                                + " beside a "
                                + disk.name()
                                + " there); without --storage shared it is copied");
            }
        }

        private boolean isShared(Path image, BeginCookie.Disk disk) {
            try {
                Path real = image.toRealPath();
                return real.getFileName().toString().equals(disk.name()) && holdsId(real, disk);
            } catch (NoSuchFileException e) {
                return false;
            } catch (IOException e) {
                throw unknown(image, e);
            }
        }

        private boolean holdsId(Path image, BeginCookie.Disk disk) {
            Path probe = image.resolveSibling(plain(disk.probe()));
            try {
                return Files.readString(probe).equals(migration);
            } catch (NoSuchFileException e) {
                return false;
            } catch (IOException e) {
                throw unknown(probe, e);
            }
        }

        /** What cannot be looked at may be the source's own: it is not written over. */
        private ApiException unknown(Path path, IOException e) {
            return ApiException.badRequest(
                    "node "
                            + node
                            + " cannot see whether it shares "
                            + path
                            + " ("
                            + e
                            + "); let its user read that directory, or say which it is with"
                            + " --storage");
        }

        /** A name, and no way to another directory. */
        private static String plain(String name) {
            if (name.contains("/")) {
                throw ApiException.badRequest("the source names a file \"" + name + "\"");
            }
            return name;
        }

        /** A copy of an image into itself would destroy it. */
        void requireAnother(Path image, BeginCookie.Disk disk) {
            if (!disk.probe().isEmpty() && isShared(image, disk)) {
                throw ApiException.badRequest(
                        "disk "
                                + image
                                + " is one and the same on both nodes and cannot be copied there;"
                                + " leave --storage copy out, or start node "
                                + node
                                + " with --replica-directory");
            }
        }

        void requireRoom(Path image, BeginCookie.Disk disk) {
            try {
                if (DiskImage.isBlockDevice(image)) {
                    return;
                }
                Path there = image;
                while (!Files.exists(there)) {
                    there = there.getParent();
                }
                long free = Files.getFileStore(there).getUsableSpace();
                long given = there.equals(image) ? allocatedBytes(image) : 0;
                if (free + given < disk.allocatedBytes()) {
                    throw ApiException.badRequest(
                            "no room for disk "
                                    + image
                                    + " on node "
                                    + node
                                    + ": "
                                    + (free >> 20)
                                    + " MiB are free there, the source's image takes "
                                    + (disk.allocatedBytes() >> 20)
                                    + " MiB; make room, or start the node with"
                                    + " --replica-directory where there is some");
                }
            } catch (IOException e) {
                throw ApiException.failed(image + ": " + e.getMessage(), e);
            }
        }

        /** What emptying it would give back, at most. */
        private static long allocatedBytes(Path image) throws IOException {
            return Files.size(image);
        }

        /** Of what is not filled here the image must be there. */
        void requireReadable(DomainSpec spec, List<LinkMessage.DiskSize> copied) {
            for (int i = 0; i < spec.disks().size(); i++) {
                int index = i;
                Path image = spec.disks().get(i).path();
                if (copied.stream().noneMatch(size -> size.index() == index)
                        && !Files.isReadable(image)) {
                    throw ApiException.badRequest(
                            "disk "
                                    + image
                                    + " cannot be read on node "
                                    + node
                                    + "; it must be there under the same path");
                }
            }
        }

        /** For a source that cannot send disks. */
        void requireAllShared(DomainSpec spec, List<String> probes) {
            requireReadable(spec, List.of());
            for (String probe : probes) {
                Path file = Path.of(probe);
                try {
                    if (!file.isAbsolute() || !Files.readString(file).equals(migration)) {
                        throw new IOException("another content");
                    }
                } catch (IOException e) {
                    throw ApiException.badRequest(
                            "the disks in "
                                    + file.getParent()
                                    + " on node "
                                    + node
                                    + " are not those of the source (no "
                                    + file.getFileName()
                                    + " there), whose release cannot copy them: a writable disk"
                                    + " must be on storage that both nodes share, under the same"
                                    + " path");
                }
            }
        }
    }
}
