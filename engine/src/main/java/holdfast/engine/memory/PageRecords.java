package holdfast.engine.memory;

import holdfast.engine.port.GuestMemory;
import holdfast.wire.ProtocolException;
import holdfast.wire.xen.DeltaList;
import holdfast.wire.xen.LibxcRecord;
import holdfast.wire.xen.PageList;
import holdfast.wire.xen.StreamEvent;
import holdfast.wire.xen.XenStreamReader;

import java.lang.foreign.MemorySegment;

/** The rules that pages in a stream obey, whoever reads it and wherever they go. */
final class PageRecords {
    private final String stream;
    private final XenStreamReader reader;
    private final long memoryPages;

    /**
     * @param stream how messages name it
     * @param reader says where a record is that breaks a rule
     */
    PageRecords(String stream, XenStreamReader reader, GuestMemory memory) {
        this.stream = stream;
        this.reader = reader;
        this.memoryPages = memory.pages();
    }

    /**
     * Differences and pages of zeroes.
     *
     * @param lengths bytes of each, back to back; 0 for a page of zeroes
     */
    record Deltas(long[] pfns, int[] lengths) {}

    /**
     * PFNs of whole pages.
     *
     * @throws ProtocolException if one is not within the memory, or has no data
     */
    long[] whole(StreamEvent.Pages event) {
        LibxcRecord.PageData record = event.record();
        PageList list = record.pages();
        if (list.count() > CheckpointCapture.CHUNK_PAGES || list.dataPages() != list.count()) {
            throw violation(
                    "PAGE_DATA",
                    "at most " + CheckpointCapture.CHUNK_PAGES + " pages, all with data",
                    list.toString());
        }
        long[] pfns = new long[list.count()];
        for (int i = 0; i < pfns.length; i++) {
            pfns[i] = inside(list.pfn(i));
        }
        return pfns;
    }

    /**
     * Differences that can be applied.
     *
     * @throws ProtocolException if one is not within the memory, or not within its page
     */
    Deltas deltas(StreamEvent.Deltas event) {
        DeltaList list = event.record().pages();
        if (list.count() > CheckpointCapture.CHUNK_PAGES) {
            throw violation(
                    "PAGE_DELTA",
                    "at most " + CheckpointCapture.CHUNK_PAGES + " pages",
                    list.toString());
        }
        MemorySegment bytes = event.bytes();
        long[] pfns = new long[list.count()];
        int[] lengths = new int[list.count()];
        long at = 0;
        for (int i = 0; i < pfns.length; i++) {
            pfns[i] = inside(list.pfn(i));
            lengths[i] = list.deltaBytes(i);
            if (lengths[i] > 0 && !PageDelta.check(bytes, at, lengths[i])) {
                throw violation(
                        "delta of PFN " + pfns[i],
                        "runs inside one page",
                        lengths[i] + " bytes that are not");
            }
            at += lengths[i];
        }
        return new Deltas(pfns, lengths);
    }

    private long inside(long pfn) {
        if (pfn >= memoryPages) {
            throw violation(
                    "PFN", "less than the domain's " + memoryPages + " pages", Long.toString(pfn));
        }
        return pfn;
    }

    /** The record that was read last breaks a rule. */
    ProtocolException violation(String field, String expected, String found) {
        return new ProtocolException(stream, reader.eventOffset(), field, expected, found);
    }
}
