package holdfast.wire.xen;

import java.lang.foreign.MemorySegment;

/**
 * What a {@link XenStreamReader} met. Segments are read-only, borrowed, and valid until the
 * reader's next {@code next()} or {@code close()}.
 */
public sealed interface StreamEvent {
    /** xl's file header with the configuration. */
    record XlFile(XlFileHeader header) implements StreamEvent {}

    /** A libxl stream begins. */
    record LibxlStart(LibxlHeader header) implements StreamEvent {}

    /** A libxc image begins. */
    record ImageStart(ImageHeader image, DomainHeader domain) implements StreamEvent {}

    /** A libxc record without bulk. */
    record Libxc(LibxcRecord.Whole record) implements StreamEvent {}

    /**
     * Pages.
     *
     * @param bytes those pages of the list that carry data, back to back, in order
     */
    record Pages(LibxcRecord.PageData record, MemorySegment bytes) implements StreamEvent {}

    /**
     * Pages as differences.
     *
     * @param bytes the deltas of those pages of the list that have one, back to back, in order
     */
    record Deltas(LibxcRecord.PageDelta record, MemorySegment bytes) implements StreamEvent {}

    /** A libxl record without bulk. */
    record Libxl(LibxlRecord.Whole record) implements StreamEvent {}

    /** State of a device model. */
    record EmulatorState(LibxlRecord.EmulatorContext record, MemorySegment bytes)
            implements StreamEvent {}

    /**
     * An optional record of unknown type, passed over.
     *
     * @param bodyBytes length of its body, without padding
     */
    record Skipped(StreamLayer layer, int type, long bodyBytes) implements StreamEvent {}

    /** The stream's last END has been read; nothing belongs to it any more. */
    record Finished() implements StreamEvent {}

    /** The source ended between two records, with no END: the other side is gone. */
    record SourceEnded() implements StreamEvent {}
}
