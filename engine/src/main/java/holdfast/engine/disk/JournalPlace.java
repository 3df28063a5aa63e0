package holdfast.engine.disk;

/**
 * Where a record lies in the journal.
 *
 * @param position of its header, in the segment's file
 */
public record JournalPlace(long segment, long position) {}
