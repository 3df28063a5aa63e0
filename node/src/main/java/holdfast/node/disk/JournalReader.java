package holdfast.node.disk;

import holdfast.engine.disk.DiskSizes;
import holdfast.engine.disk.RedoScan;
import holdfast.wire.ProtocolException;
import holdfast.wire.disk.JournalCodec;
import holdfast.wire.disk.JournalHeader;
import holdfast.wire.disk.JournalRecord;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;

/** Reads a journal that a session left behind. */
final class JournalReader {
    /**
     * A segment's records that count.
     *
     * @param endPosition behind the last of them
     */
    private record Extent(Path path, int headerBytes, long endPosition) {}

    /**
     * A journal whose records were all looked at.
     *
     * @param committed the last committed epoch; none: the images were never complete
     */
    record Found(JournalHeader first, OptionalLong committed, List<Extent> extents) {}

    private final DiskFiles files;
    private final ByteBuffer buffer =
            ByteBuffer.allocateDirect(JournalCodec.RECORD_BYTES + JournalRecord.BODY_BYTES_MAX);

    JournalReader(DiskFiles files) {
        this.files = files;
    }

    /**
     * Looks at every record of a journal.
     *
     * @return empty where the directory holds no segment: nothing was begun, or all is finished
     * @throws ProtocolException if it is damaged at a place that no crash explains
     */
    Optional<Found> scan(Path directory) throws IOException {
        RedoScan scan = new RedoScan();
        List<Extent> extents = new ArrayList<>();
        for (Path path : files.list(directory)) {
            if (path.getFileName().toString().endsWith(Journal.SUFFIX)) {
                try (DiskFiles.OpenFile file = files.open(path)) {
                    extents.add(scanSegment(path, file, scan));
                }
            }
        }
        return scan.first().map(first -> new Found(first, scan.committed(), extents));
    }

    /** The header of a journal's oldest segment; empty where there is none. */
    Optional<JournalHeader> first(Path directory) throws IOException {
        for (Path path : files.list(directory)) {
            if (path.getFileName().toString().endsWith(Journal.SUFFIX)) {
                try (DiskFiles.OpenFile file = files.open(path)) {
                    return Optional.of(header(file).header());
                }
            }
        }
        return Optional.empty();
    }

    private record HeaderRead(JournalHeader header, int bytes) {}

    private static HeaderRead header(DiskFiles.OpenFile file) throws IOException {
        ByteBuffer octets = ByteBuffer.allocate(JournalCodec.HEADER_BYTES_MAX);
        file.read(octets, 0);
        JournalHeader header = JournalCodec.decodeHeader(octets.flip());
        return new HeaderRead(header, octets.position());
    }

    private Extent scanSegment(Path path, DiskFiles.OpenFile file, RedoScan scan)
            throws IOException {
        HeaderRead header = header(file);
        scan.segment(header.header());
        long position = header.bytes();
        try {
            while (!scan.ended()) {
                JournalRecord record = record(file, position);
                scan.record(record);
                position += buffer.limit();
            }
        } catch (ProtocolException torn) {
            // Here the session died, or older records of a file that is used again begin. If
            // another segment follows, the scan refuses it, for this one has no end.
            return new Extent(path, header.bytes(), position);
        }
        return new Extent(path, header.bytes(), position);
    }

    /**
     * Leaves the record's octets in the buffer, from 0 to its limit, and its position behind the
     * header.
     */
    private JournalRecord record(DiskFiles.OpenFile file, long position) throws IOException {
        buffer.clear().limit(JournalCodec.RECORD_BYTES);
        file.read(buffer, position);
        JournalRecord record = JournalCodec.decode(buffer.flip(), position);
        if (record instanceof JournalRecord.Batch batch) {
            buffer.limit(JournalCodec.RECORD_BYTES + batch.bodyBytes());
            body(file, position, batch, buffer);
        }
        return record;
    }

    private static void body(
            DiskFiles.OpenFile file, long position, JournalRecord.Batch batch, ByteBuffer into)
            throws IOException {
        int start = into.position();
        file.read(into, position + JournalCodec.RECORD_BYTES);
        into.limit(into.position()).position(start);
        JournalCodec.requireBody(batch, into, position + JournalCodec.RECORD_BYTES);
    }

    /**
     * Reads one batch.
     *
     * @param into has room for the largest; holds the body from its position to its limit
     */
    static JournalRecord.Batch batch(DiskFiles.OpenFile file, long position, ByteBuffer into)
            throws IOException {
        into.clear().limit(JournalCodec.RECORD_BYTES);
        file.read(into, position);
        if (!(JournalCodec.decode(into.flip(), position) instanceof JournalRecord.Batch batch)) {
            throw new ProtocolException(
                    "disk journal", position, "record", "a batch", "another record");
        }
        into.limit(JournalCodec.RECORD_BYTES + batch.bodyBytes());
        body(file, position, batch, into);
        return batch;
    }

    /**
     * Performs the writes of all epochs up to one. May be done again.
     *
     * @return batches performed
     */
    long replay(Found found, long upToEpoch, DiskSizes sizes, List<ImageFile> images)
            throws IOException {
        long batches = 0;
        for (Extent extent : found.extents()) {
            try (DiskFiles.OpenFile file = files.open(extent.path())) {
                long position = extent.headerBytes();
                while (position < extent.endPosition()) {
                    JournalRecord record = record(file, position);
                    position += buffer.limit();
                    if (record instanceof JournalRecord.Batch batch && batch.epoch() <= upToEpoch) {
                        ImageFile.apply(buffer, sizes, images);
                        batches++;
                    }
                }
            }
        }
        return batches;
    }
}
