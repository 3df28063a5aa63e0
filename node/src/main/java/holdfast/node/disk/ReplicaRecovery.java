package holdfast.node.disk;

import holdfast.engine.DiskException;
import holdfast.engine.disk.DiskSizes;
import holdfast.wire.ProtocolException;
import holdfast.wire.disk.JournalHeader;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * Brings what sessions of a dead daemon committed into their images. Called when a daemon starts,
 * after the dead one's standbys were ended, and before a new session begins.
 */
public final class ReplicaRecovery {
    private static final Logger LOG = LoggerFactory.getLogger(ReplicaRecovery.class);

    /**
     * What became of a journal.
     *
     * @param epoch that the images are at; none: they were never complete
     */
    public record Redone(JournalHeader session, OptionalLong epoch) {}

    private ReplicaRecovery() {}

    /**
     * Redoes every journal of a node. One that cannot be redone stays where it is, for the next
     * start, and is told in the log.
     */
    public static List<Redone> redoAll(Path journals) {
        return redoAll(new SystemFiles(ImageUse.RECOVERY), journals);
    }

    static List<Redone> redoAll(DiskFiles files, Path journals) {
        List<Redone> all = new ArrayList<>();
        try {
            for (Path directory : files.list(journals)) {
                try {
                    redo(files, directory).ifPresent(all::add);
                } catch (IOException | ProtocolException | DiskException e) {
                    LOG.error(
                            "event=journal-not-redone journal={} reason=\"{}\" next=\"the images"
                                    + " are not at one epoch until it is: remove the cause and"
                                    + " start the daemon again, or protect the domain again\"",
                            directory,
                            e.getMessage());
                }
            }
        } catch (IOException e) {
            LOG.error("event=journals-not-read journals={} reason=\"{}\"", journals, e.toString());
        }
        return all;
    }

    private static Optional<Redone> redo(DiskFiles files, Path directory) throws IOException {
        JournalReader reader = new JournalReader(files);
        Optional<JournalReader.Found> journal = reader.scan(directory);
        if (journal.isEmpty()) {
            // Its session died before it began, or after everything was done.
            Journal.remove(files, directory);
            return Optional.empty();
        }
        JournalReader.Found found = journal.get();
        JournalHeader session = found.first();
        long batches = 0;
        if (found.committed().isPresent()) {
            List<ImageFile> images = new ArrayList<>();
            try {
                for (JournalHeader.Disk disk : session.disks()) {
                    ImageFile image = ImageOpening.openExisting(files, Path.of(disk.path()));
                    images.add(image);
                    requireSize(image, disk);
                }
                batches =
                        reader.replay(
                                found,
                                found.committed().getAsLong(),
                                new DiskSizes(session.disks()),
                                images);
                images.forEach(ImageFile::force);
            } finally {
                images.forEach(ImageFile::close);
            }
        }
        Journal.remove(files, directory);
        tell(found, batches);
        return Optional.of(new Redone(session, found.committed()));
    }

    private static void requireSize(ImageFile image, JournalHeader.Disk disk) throws IOException {
        long bytes = image.file().size();
        if (bytes < disk.sizeBytes()) {
            throw new DiskException(
                    "image "
                            + image.path()
                            + " has "
                            + bytes
                            + " bytes, the journal is for "
                            + disk.sizeBytes()
                            + ": it is another image; bring back the right one");
        }
    }

    private static void tell(JournalReader.Found found, long batches) {
        List<String> paths = found.first().disks().stream().map(JournalHeader.Disk::path).toList();
        if (found.committed().isPresent()) {
            LOG.info(
                    "event=journal-redone domain={} session={} epoch={} batches={} images={}",
                    found.first().domain(),
                    found.first().session(),
                    found.committed().getAsLong(),
                    batches,
                    paths);
        } else {
            LOG.warn(
                    "event=image-not-usable domain={} session={} images={} reason=\"the daemon died"
                            + " before the first synchronisation was complete\"",
                    found.first().domain(),
                    found.first().session(),
                    paths);
        }
    }
}
