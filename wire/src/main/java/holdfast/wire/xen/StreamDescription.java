package holdfast.wire.xen;

import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What is in a recorded stream.
 *
 * @param rows one for each header and record, in order
 * @param problem why reading stopped before the end, or empty
 */
public record StreamDescription(List<Row> rows, Totals totals, Optional<String> problem) {
    /**
     * One header or record.
     *
     * @param offset bytes from the start of the stream
     * @param type name of the record's type, or of the header
     * @param bytes its length with header and padding
     * @param summary its contents in a few words, never guest bytes
     */
    public record Row(long offset, StreamLayer layer, String type, long bytes, String summary) {}

    /**
     * Sums over all rows.
     *
     * @param bytes bytes of all rows
     * @param records records of both layers, headers not counted
     * @param skippedRecords optional records of unknown type among them
     * @param pages pages that were listed
     * @param pagesWithData pages whose bytes were there
     * @param deltaPages pages that came as a delta or as all zero
     * @param checkpoints CHECKPOINT records
     * @param trailingBytes bytes after the last END
     * @param recordsByType how many of each type, headers included, in order of appearance
     */
    public record Totals(
            long bytes,
            long records,
            long skippedRecords,
            long pages,
            long pagesWithData,
            long deltaPages,
            long checkpoints,
            long trailingBytes,
            Map<String, Long> recordsByType) {}
}
