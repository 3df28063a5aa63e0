package holdfast.node.disk;

import static java.util.stream.Collectors.toSet;

import holdfast.engine.DiskException;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;

/**
 * Keeps this node from taking replicas in that it has no room for: whoever looks for a node by
 * itself comes again and again, and each time would copy whole disks first. Any thread.
 *
 * <p>How much a disk will need is not known, for disks have holes. What is known: the least that a
 * journal takes, and where a replica of the same domain ran out of room before. The latter is
 * remembered in memory alone: a daemon that was started anew tries once more.
 */
public final class ReplicaRoom {
    private static final Logger LOG = LoggerFactory.getLogger(ReplicaRoom.class);

    /** The segment that is written, and the finished one that is kept. */
    static final long JOURNAL_BYTES_MIN = 2 * DiskBounds.DEFAULT.segmentBytes();

    /** Logs and the like come and go on any file system. */
    static final long MORE_BYTES_MIN = 16L << 20;

    /** So much of the disks, as a fraction, must be free in addition. */
    private static final int MORE_FRACTION = 64;

    private static final int DOMAINS_MAX = 1024;

    /**
     * Where a replica ran out of room.
     *
     * @param freeBytes when its session had ended
     * @param enoughBytes with so many it is worth another copy
     */
    private record Lack(Path file, long freeBytes, long enoughBytes) {}

    private final DiskFiles files;
    private final Map<String, Lack> lacks =
            new LinkedHashMap<>() {
                @Override
                protected boolean removeEldestEntry(Map.Entry<String, Lack> eldest) {
                    return size() > DOMAINS_MAX;
                }
            };

    public ReplicaRoom() {
        this(new SystemFiles(ImageUse.REPLICA));
    }

    ReplicaRoom(DiskFiles files) {
        this.files = files;
    }

    /**
     * As {@link ReplicaImages#open}, where there is room.
     *
     * @throws DiskException if there is none, too; nothing was changed then
     */
    public ReplicaImages open(
            Path journals, UUID session, String domain, List<ReplicaImages.Image> images) {
        before(domain)
                .filter(lack -> matters(lack, journals, images))
                .ifPresent(lack -> requireMore(domain, lack));
        forget(domain);
        try {
            requireJournal(journals, domain, images);
        } catch (IOException e) {
            throw files.failure("journals", journals, "looking for room", e);
        }
        return ReplicaImages.open(journals, session, domain, images);
    }

    /** The replica may lie elsewhere by now. */
    private static boolean matters(Lack lack, Path journals, List<ReplicaImages.Image> images) {
        return lack.file().startsWith(journals)
                || images.stream().anyMatch(image -> image.path().equals(lack.file()));
    }

    private void requireMore(String domain, Lack lack) {
        long free;
        try {
            free = files.usableBytes(lack.file());
        } catch (IOException e) {
            throw files.failure("image or journal", lack.file(), "looking for room", e);
        }
        if (free < lack.enoughBytes()) {
            throw new DiskException(
                    "no room for the replica of \""
                            + domain
                            + "\": the last one found none for "
                            + lack.file()
                            + ", whose file system has "
                            + mebibytes(free)
                            + " MiB free now and had "
                            + mebibytes(lack.freeBytes())
                            + " MiB then; make room there, until at least "
                            + mebibytes(lack.enoughBytes() + (1 << 20) - 1)
                            + " MiB are free");
        }
    }

    /** Journals of older sessions about these images go when a new one begins. */
    private void requireJournal(Path journals, String domain, List<ReplicaImages.Image> images)
            throws IOException {
        long given =
                ImageOpening.olderBytes(
                        files,
                        journals,
                        images.stream().map(image -> image.path().toString()).collect(toSet()));
        long free = files.usableBytes(journals);
        if (free + given < JOURNAL_BYTES_MIN) {
            throw new DiskException(
                    "no room for the journal of \""
                            + domain
                            + "\"'s replica: the file system of "
                            + journals
                            + " has "
                            + mebibytes(free + given)
                            + " MiB free, needed are at least "
                            + mebibytes(JOURNAL_BYTES_MIN)
                            + " MiB; make room there, or start the node with --state-dir where"
                            + " there is some");
        }
    }

    /** A session about the domain's images is over, and they are closed. */
    public void over(String domain, ReplicaImages images) {
        images.foundFull().ifPresent(file -> remember(domain, file, images.diskBytes()));
    }

    private void remember(String domain, Path file, long diskBytes) {
        try {
            long free = files.usableBytes(file);
            long enough = free + Math.max(MORE_BYTES_MIN, diskBytes / MORE_FRACTION);
            synchronized (lacks) {
                lacks.put(domain, new Lack(file, free, enough));
            }
            LOG.warn(
                    "event=replica-without-room domain={} file={} freeMib={} next=\"make room on"
                            + " its file system, until at least {} MiB are free: until then this"
                            + " node refuses the replica\"",
                    domain,
                    file,
                    mebibytes(free),
                    mebibytes(enough + (1 << 20) - 1));
        } catch (IOException e) {
            LOG.warn(
                    "event=room-not-known domain={} file={} reason=\"{}\"",
                    domain,
                    file,
                    e.getMessage());
        }
    }

    private Optional<Lack> before(String domain) {
        synchronized (lacks) {
            return Optional.ofNullable(lacks.get(domain));
        }
    }

    private void forget(String domain) {
        synchronized (lacks) {
            lacks.remove(domain);
        }
    }

    private static long mebibytes(long bytes) {
        return bytes >> 20;
    }
}
