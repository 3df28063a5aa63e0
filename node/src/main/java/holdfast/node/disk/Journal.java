package holdfast.node.disk;

import holdfast.engine.DiskException;
import holdfast.engine.disk.EpochBatch;
import holdfast.engine.disk.JournalPlace;
import holdfast.wire.disk.JournalCodec;
import holdfast.wire.disk.JournalHeader;
import holdfast.wire.disk.JournalRecord;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * The segments of one session's journal. Its owner sees to it that appending, rolling back and
 * removing exclude each other; reading may happen meanwhile. A file under its final name has a
 * whole header.
 */
final class Journal {
    static final String SUFFIX = ".journal";
    private static final String UNFINISHED = ".new";

    /** A finished segment is written over rather than removed: then fdatasync moves no metadata. */
    private static final String SPARE = "spare";

    private static final class Segment {
        private final long number;
        private final Path path;
        private final DiskFiles.OpenFile file;
        private long bytes;
        private long lastEpoch = -1;
        private boolean unforced;

        Segment(long number, Path path, DiskFiles.OpenFile file, long bytes) {
            this.number = number;
            this.path = path;
            this.file = file;
            this.bytes = bytes;
        }
    }

    /** A place to roll back to. */
    record Mark(long segment, long bytes) {}

    private final DiskFiles files;
    private final Path directory;
    private final JournalHeader first;
    private final long segmentBytes;
    private final ConcurrentSkipListMap<Long, Segment> segments = new ConcurrentSkipListMap<>();
    private final AtomicLong bytes = new AtomicLong();
    private final ByteBuffer record = ByteBuffer.allocate(JournalCodec.RECORD_BYTES);
    private boolean spare;

    private Journal(DiskFiles files, Path directory, JournalHeader first, long segmentBytes) {
        this.files = files;
        this.directory = directory;
        this.first = first;
        this.segmentBytes = segmentBytes;
    }

    /**
     * Begins a journal: after the return a crash leaves the word that the images are not complete.
     *
     * @param directory its own; made if it is not there, emptied if it is
     * @param first header of the first segment
     * @param segmentBytes after so many the next segment begins
     */
    static Journal create(DiskFiles files, Path directory, JournalHeader first, long segmentBytes) {
        Journal journal = new Journal(files, directory, first, segmentBytes);
        try {
            files.createDirectory(directory);
            removeFiles(files, directory);
            files.forceDirectory(directory.toAbsolutePath().getParent());
            journal.begin(first);
            return journal;
        } catch (IOException e) {
            throw journal.failure("beginning it", e);
        }
    }

    static Path path(Path directory, long segment) {
        // Sixteen digits: names sort as numbers do.
        return directory.resolve(String.format("%016x%s", segment, SUFFIX));
    }

    private void begin(JournalHeader header) throws IOException {
        Path path = path(directory, header.segment());
        Path unfinished = path.resolveSibling(path.getFileName() + UNFINISHED);
        DiskFiles.OpenFile file;
        if (spare) {
            files.rename(directory.resolve(SPARE), unfinished);
            spare = false;
            file = files.open(unfinished);
        } else {
            file = files.create(unfinished);
        }
        try {
            ByteBuffer octets = JournalCodec.encode(header);
            int length = octets.remaining();
            file.write(octets, 0);
            file.force();
            files.rename(unfinished, path);
            files.forceDirectory(directory);
            segments.put(header.segment(), new Segment(header.segment(), path, file, length));
            bytes.addAndGet(length);
        } catch (IOException | RuntimeException e) {
            file.close();
            throw e;
        }
    }

    /** Bytes of all segments. Any thread. */
    long bytes() {
        return bytes.get();
    }

    Path directory() {
        return directory;
    }

    private Segment current() {
        return segments.lastEntry().getValue();
    }

    /**
     * Goes on in a new segment where the current one is long. What belongs together is written
     * between two calls of this.
     *
     * @param committed the last epoch committed
     */
    void roll(OptionalLong committed) {
        Segment old = current();
        if (old.bytes < segmentBytes) {
            return;
        }
        Mark mark = mark();
        try {
            append(new JournalRecord.End(old.number), old);
            force();
            begin(
                    new JournalHeader(
                            old.number + 1,
                            first.session(),
                            first.domain(),
                            committed,
                            first.disks()));
        } catch (IOException e) {
            DiskException failure = failure("beginning a new segment", e);
            try {
                rollBack(mark);
            } catch (DiskException again) {
                failure.addSuppressed(again);
            }
            throw failure;
        }
    }

    Mark mark() {
        Segment current = current();
        return new Mark(current.number, current.bytes);
    }

    /** Forgets what was appended since. Only while nothing was rolled meanwhile. */
    void rollBack(Mark mark) {
        Segment current = current();
        if (current.number != mark.segment()) {
            throw new IllegalStateException("rolled since " + mark);
        }
        bytes.addAndGet(mark.bytes() - current.bytes);
        current.bytes = mark.bytes();
        try {
            current.file.resize(mark.bytes());
        } catch (IOException e) {
            throw files.failure("journal", current.path, "taking back a partial epoch", e);
        }
    }

    /** Writes batches, without waiting for stable storage. */
    List<JournalPlace> append(List<EpochBatch> batches) {
        Segment to = current();
        List<JournalPlace> places = new ArrayList<>(batches.size());
        for (EpochBatch batch : batches) {
            places.add(new JournalPlace(to.number, to.bytes));
            try {
                to.file.write(batch.encoded(to.number), to.bytes);
            } catch (IOException e) {
                throw files.failure(
                        "journal",
                        to.path,
                        "writing " + batch.bytes() + " bytes of epoch " + batch.epoch(),
                        e);
            }
            grew(to, batch.bytes(), batch.epoch());
        }
        return places;
    }

    /** Writes that an epoch counts; it does once {@link #force} has returned. */
    void append(JournalRecord.Commit commit) {
        Segment to = current();
        try {
            append(commit, to);
        } catch (IOException e) {
            throw files.failure("journal", to.path, "committing epoch " + commit.epoch(), e);
        }
        to.lastEpoch = Math.max(to.lastEpoch, commit.epoch());
    }

    long currentSegment() {
        return current().number;
    }

    private void append(JournalRecord what, Segment to) throws IOException {
        JournalCodec.encode(what, record.clear(), 0);
        to.file.write(record, to.bytes);
        grew(to, JournalCodec.RECORD_BYTES, -1);
    }

    private void grew(Segment segment, int count, long epoch) {
        segment.bytes += count;
        segment.unforced = true;
        segment.lastEpoch = Math.max(segment.lastEpoch, epoch);
        bytes.addAndGet(count);
    }

    /** Only the current segment can hold what is not on stable storage. */
    void force() throws IOException {
        Segment current = current();
        if (current.unforced) {
            current.file.force();
            current.unforced = false;
        }
    }

    /** Reads a batch; any thread, as long as its segment is there. */
    JournalRecord.Batch read(JournalPlace place, ByteBuffer into) {
        Segment segment = segments.get(place.segment());
        try {
            return JournalReader.batch(segment.file, place.position(), into);
        } catch (IOException e) {
            throw files.failure("journal", segment.path, "reading it back", e);
        }
    }

    /** Whether there are segments that hold nothing but epochs up to {@code applied}. */
    boolean hasFinished(long applied) {
        Segment oldest = segments.firstEntry().getValue();
        return oldest != current() && oldest.lastEpoch <= applied;
    }

    /** Removes the oldest segment, whose epochs are in the images on stable storage. */
    void removeOldest() {
        Segment oldest = segments.firstEntry().getValue();
        try {
            oldest.file.close();
            if (spare || oldest.bytes > 2 * segmentBytes) {
                files.delete(oldest.path);
            } else {
                files.rename(oldest.path, directory.resolve(SPARE));
                spare = true;
            }
            // Each by itself: what is left after a crash has no gap.
            files.forceDirectory(directory);
        } catch (IOException e) {
            throw files.failure("journal", oldest.path, "removing it", e);
        }
        segments.remove(oldest.number);
        bytes.addAndGet(-oldest.bytes);
    }

    /** Closes the files, which stay. */
    void close() {
        for (Map.Entry<Long, Segment> segment : segments.entrySet()) {
            try {
                segment.getValue().file.close();
            } catch (IOException e) {
                throw failure("closing it", e);
            }
        }
    }

    /** The images hold every committed epoch: removes the journal with its directory. */
    void removeAll() {
        close();
        try {
            remove(files, directory);
        } catch (IOException e) {
            throw failure("removing it", e);
        }
    }

    /**
     * Removes a journal of whatever session: its images are up to date, or about to be replaced.
     */
    static void remove(DiskFiles files, Path directory) throws IOException {
        removeFiles(files, directory);
        files.delete(directory);
        files.forceDirectory(directory.toAbsolutePath().getParent());
    }

    private static void removeFiles(DiskFiles files, Path directory) throws IOException {
        for (Path file : files.list(directory)) {
            files.delete(file);
            files.forceDirectory(directory);
        }
    }

    private DiskException failure(String step, IOException e) {
        return files.failure("journal", directory, step, e);
    }
}
