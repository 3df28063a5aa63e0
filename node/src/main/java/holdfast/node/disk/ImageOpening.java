package holdfast.node.disk;

import static java.util.stream.Collectors.toSet;

import holdfast.engine.DiskException;
import holdfast.wire.ProtocolException;
import holdfast.wire.disk.JournalHeader;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** What an image has to be before a session may fill it. Nothing is changed before all are. */
final class ImageOpening {
    private static final Logger LOG = LoggerFactory.getLogger(ImageOpening.class);

    /** An image that was made is removed again where another one is refused. */
    private final List<Path> made = new ArrayList<>();

    private final List<ImageFile> opened = new ArrayList<>();

    private ImageOpening() {}

    /**
     * Images that are open.
     *
     * @param made those of them that were not there before
     */
    record Opened(List<ImageFile> images, List<Path> made) {
        Opened {
            images = List.copyOf(images);
            made = List.copyOf(made);
        }
    }

    /** As {@link #openNoting}. */
    static List<ImageFile> open(DiskFiles files, List<JournalHeader.Disk> disks) {
        return openNoting(files, disks).images();
    }

    /** Opens images that are to be filled from their first byte; files are empty afterwards. */
    static Opened openNoting(DiskFiles files, List<JournalHeader.Disk> disks) {
        ImageOpening opening = new ImageOpening();
        try {
            Set<Object> keys = new HashSet<>();
            for (JournalHeader.Disk disk : disks) {
                opening.open(files, disk, keys);
            }
            for (int i = 0; i < disks.size(); i++) {
                empty(opening.opened.get(i), disks.get(i));
            }
            for (Path path : opening.made) {
                // An image that is lost by name is lost, whatever of it was forced.
                files.forceDirectory(path.getParent());
            }
            return new Opened(opening.opened, opening.made);
        } catch (IOException e) {
            opening.undo();
            throw new DiskException(files.use().images() + ": " + e.getMessage(), e);
        } catch (RuntimeException e) {
            opening.undo();
            throw e;
        }
    }

    /** As far as that can be seen without opening one for writing, and whoever uses it now. */
    static void look(List<JournalHeader.Disk> disks) {
        for (JournalHeader.Disk disk : disks) {
            Path path = Path.of(disk.path());
            try {
                requireKind(path);
                if (!Files.exists(path)) {
                    requirePlace(path);
                } else if (!Files.isWritable(path)) {
                    throw notWritable(path, "no right to");
                } else {
                    try (FileChannel image = FileChannel.open(path, StandardOpenOption.READ)) {
                        requireSize(path, image.size(), disk);
                    }
                }
            } catch (IOException e) {
                throw new DiskException("image " + path + ": " + e.getMessage(), e);
            }
        }
    }

    private static void requireKind(Path path) throws IOException {
        if (!path.isAbsolute()) {
            throw refused(path, "is not an absolute path", "name the whole path");
        }
        if (Files.exists(path) && !Files.isRegularFile(path) && !SystemFiles.isBlockDevice(path)) {
            throw refused(path, "is neither a file nor a block device", "name another image");
        }
    }

    private static void requirePlace(Path path) {
        if (!Files.isDirectory(path.getParent())) {
            throw noDirectory(path);
        }
        if (!Files.isWritable(path.getParent())) {
            throw notMade(path, "no right to");
        }
    }

    private static void requireSize(Path path, long bytes, JournalHeader.Disk disk) {
        if (bytes < disk.sizeBytes()) {
            throw refused(
                    path,
                    "has " + bytes + " bytes, the disk has " + disk.sizeBytes(),
                    "remove the file, or name a larger image");
        }
    }

    private void open(DiskFiles files, JournalHeader.Disk disk, Set<Object> keys)
            throws IOException {
        Path path = Path.of(disk.path());
        requireKind(path);
        if (!Files.exists(path)) {
            make(path);
        }
        ImageFile image = openExisting(files, path);
        opened.add(image);
        Object key = Files.readAttributes(path, "unix:dev,ino").toString();
        if (!keys.add(key)) {
            throw refused(path, "is named for two disks", "name one image for each disk");
        }
        if (!made.contains(path)) {
            requireSize(path, image.file().size(), disk);
        }
    }

    /**
     * Its directory must be there: one that is missing may be a file system that is not mounted.
     */
    private void make(Path path) throws IOException {
        try {
            Files.newByteChannel(path, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)
                    .close();
            made.add(path);
        } catch (NoSuchFileException e) {
            throw noDirectory(path);
        } catch (FileSystemException e) {
            throw notMade(path, reason(e));
        }
    }

    private static DiskException noDirectory(Path path) {
        return refused(path, "has no directory", "make " + path.getParent() + " or mount it there");
    }

    private static DiskException notMade(Path path, String why) {
        return refused(path, "cannot be made: " + why, "name another place");
    }

    private static DiskException notWritable(Path path, String why) {
        return refused(
                path,
                "cannot be written: " + why,
                "make it writable for user " + System.getProperty("user.name"));
    }

    /** For a session that begins, and for redoing what one left behind. */
    static ImageFile openExisting(DiskFiles files, Path path) throws IOException {
        try {
            return new ImageFile(path, files, files.openImage(path));
        } catch (NoSuchFileException e) {
            throw refused(path, "is not there", "bring it back, then " + files.use().again());
        } catch (FileSystemException e) {
            throw notWritable(path, reason(e));
        }
    }

    private static String reason(FileSystemException e) {
        return e instanceof AccessDeniedException || e.getReason() == null
                ? "no right to"
                : e.getReason();
    }

    private static DiskException refused(Path path, String what, String next) {
        return new DiskException("image " + path + " " + what + "; " + next);
    }

    /**
     * What an old image holds is worth nothing from here on, and the survivor's guest must see a
     * disk of the right size. A block device keeps what it holds, and its size.
     */
    private static void empty(ImageFile image, JournalHeader.Disk disk) throws IOException {
        if (!SystemFiles.isBlockDevice(image.path())) {
            try {
                image.file().resize(0);
                image.file().resize(disk.sizeBytes());
            } catch (IOException e) {
                throw image.files()
                        .failure(
                                "image",
                                image.path(),
                                "giving it " + disk.sizeBytes() + " bytes",
                                e);
            }
        }
    }

    private void undo() {
        for (ImageFile image : opened) {
            try {
                image.close();
            } catch (DiskException e) {
                LOG.warn(
                        "event=image-not-closed image={} reason=\"{}\"",
                        image.path(),
                        e.getMessage());
            }
        }
        for (Path path : made) {
            try {
                Files.deleteIfExists(path);
            } catch (IOException e) {
                LOG.warn("event=image-left image={} reason=\"{}\"", path, e.getMessage());
            }
        }
    }

    /**
     * Removes journals of older sessions about these images: redone later they would spoil what the
     * new session writes.
     *
     * @param journals the directory of all journals
     */
    static void forgetOlder(DiskFiles files, Path journals, List<JournalHeader.Disk> disks) {
        Set<String> paths = disks.stream().map(JournalHeader.Disk::path).collect(toSet());
        try {
            for (Path directory : files.list(journals)) {
                Optional<JournalHeader> header = headerAbout(paths, files, directory);
                if (header.isPresent()) {
                    Journal.remove(files, directory);
                    LOG.info(
                            "event=journal-obsolete domain={} session={} reason=\"a new session"
                                    + " fills its image anew\"",
                            header.get().domain(),
                            header.get().session());
                }
            }
        } catch (IOException e) {
            throw files.failure("journals", journals, "removing those of older sessions", e);
        }
    }

    /** What {@link #forgetOlder} would give back. */
    static long olderBytes(DiskFiles files, Path journals, Set<String> images) throws IOException {
        long sum = 0;
        for (Path directory : files.list(journals)) {
            if (headerAbout(images, files, directory).isPresent()) {
                for (Path file : files.list(directory)) {
                    sum += Files.size(file);
                }
            }
        }
        return sum;
    }

    private static Optional<JournalHeader> headerAbout(
            Set<String> images, DiskFiles files, Path directory) throws IOException {
        return header(files, directory)
                .filter(
                        header ->
                                header.disks().stream()
                                        .anyMatch(disk -> images.contains(disk.path())));
    }

    private static Optional<JournalHeader> header(DiskFiles files, Path directory)
            throws IOException {
        try {
            return new JournalReader(files).first(directory);
        } catch (ProtocolException e) {
            // Damaged: it can never be redone, so it spoils nothing.
            return Optional.empty();
        }
    }
}
