package holdfast.engine.memory;

import holdfast.engine.port.GuestMemory;
import holdfast.wire.ProtocolException;
import holdfast.wire.TruncatedStreamException;
import holdfast.wire.xen.EmulatorKind;
import holdfast.wire.xen.LibxcRecord;
import holdfast.wire.xen.LibxlRecord;
import holdfast.wire.xen.ReaderOptions;
import holdfast.wire.xen.StreamEvent;
import holdfast.wire.xen.StreamStart;
import holdfast.wire.xen.XenStreamReader;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.ReadableByteChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Reads what {@link PageSender} wrote, straight into a memory that nobody runs on: what fails is
 * discarded whole. Used by one thread; segments it returned stay valid until it is closed.
 */
public final class PageReceiver implements AutoCloseable {
    /** Once early, and once more where it has changed since; some more where a guest resets. */
    private static final int BASES_MAX = 16;

    /**
     * Far more than devices have; what is not read from a stream cannot fill this node's memory.
     */
    private static final long SECTIONS_BYTES_MAX = 256L << 20;

    private final GuestMemory memory;
    private final TalliedInput tallied;
    private final XenStreamReader reader;
    private final PageRecords records;
    private final Arena arena = Arena.ofShared();
    private final List<MemorySegment> sections = new ArrayList<>();
    private volatile Optional<MemorySegment> base = Optional.empty();
    private int bases;
    private long sectionsBytes;

    /**
     * @param memory zero-filled, shared with the receivers of other connections, which write other
     *     pages
     * @param bulk the connection, in blocking mode; the caller closes it
     */
    public PageReceiver(GuestMemory memory, ReadableByteChannel bulk) {
        this("migration stream", memory, new TalliedInput(bulk));
    }

    private PageReceiver(String stream, GuestMemory memory, TalliedInput tallied) {
        this(
                stream,
                memory,
                tallied,
                XenStreamReader.of(tallied, StreamStart.LIBXL_STREAM, ReaderOptions.HOLDFAST));
    }

    /** Goes on where {@code reader} is. */
    PageReceiver(String stream, GuestMemory memory, TalliedInput tallied, XenStreamReader reader) {
        this.memory = memory;
        this.tallied = tallied;
        this.reader = reader;
        this.records = new PageRecords(stream, reader, memory);
    }

    /** What {@link #next} met. */
    public sealed interface Read {
        /** RAM blocks outside main memory. */
        record Base() implements Read {}

        /** The next part of the device sections. */
        record Sections(MemorySegment part) implements Read {}

        /** The end: everything is here. */
        record Whole(CheckpointDigest digest) implements Read {}

        /** The source stopped sending. */
        record Ended(String where) implements Read {}
    }

    /**
     * Reads to the next event; blocks as long as the stream does.
     *
     * @throws ProtocolException when the stream is not what a source sends
     * @throws IOException when the channel fails
     */
    public Read next() throws IOException {
        int sectionsBefore = sections.size();
        while (true) {
            StreamEvent event;
            try {
                event = reader.next();
            } catch (TruncatedStreamException e) {
                return new Read.Ended("inside a record: " + e.getMessage());
            }
            switch (event) {
                case StreamEvent.Pages pages -> pages(pages);
                case StreamEvent.Deltas deltas -> {
                    PageRecords.Deltas list = records.deltas(deltas);
                    CheckpointStage.applyDeltas(
                            list.pfns(), list.lengths(), deltas.bytes(), memory.bytes());
                }
                case StreamEvent.EmulatorState(
                                LibxlRecord.EmulatorContext context,
                                MemorySegment bytes) ->
                        state(context, bytes);
                case StreamEvent.Libxl(LibxlRecord.CheckpointEnd _) -> {
                    return sections.size() == sectionsBefore
                            ? new Read.Base()
                            : new Read.Sections(sections.getLast());
                }
                case StreamEvent.Finished _ -> {
                    return new Read.Whole(tallied.tally().take());
                }
                case StreamEvent.SourceEnded _ -> {
                    return new Read.Ended("between two records");
                }
                case StreamEvent.Libxc(LibxcRecord.Checkpoint _),
                        StreamEvent.Libxc(LibxcRecord.StaticDataEnd _),
                        StreamEvent.Libxc(LibxcRecord.End _),
                        StreamEvent.Libxl(LibxlRecord.LibxcContext _),
                        StreamEvent.Libxl(LibxlRecord.End _),
                        StreamEvent.LibxlStart _,
                        StreamEvent.ImageStart _,
                        StreamEvent.Skipped _ -> {}
                case StreamEvent.XlFile _, StreamEvent.Libxc _, StreamEvent.Libxl _ ->
                        throw records.violation(
                                "record", "one that a source sends", event.toString());
            }
        }
    }

    /** Bytes of the stream that were read before the record that was read last. */
    public long offset() {
        return reader.eventOffset();
    }

    /**
     * The newest RAM blocks outside main memory, where this connection carried them. Any thread.
     */
    public Optional<MemorySegment> base() {
        return base;
    }

    /** The device sections in the parts that this connection carried. */
    public List<MemorySegment> sections() {
        return List.copyOf(sections);
    }

    private void pages(StreamEvent.Pages event) {
        long[] pfns = records.whole(event);
        for (int first = 0; first < pfns.length; ) {
            int end = first + 1;
            while (end < pfns.length && pfns[end] == pfns[end - 1] + 1) {
                end++;
            }
            memory.write(
                    pfns[first], end - first, event.bytes(), (long) first * GuestMemory.PAGE_BYTES);
            first = end;
        }
    }

    private void state(LibxlRecord.EmulatorContext context, MemorySegment bytes) {
        if (context.emulator() == EmulatorKind.UPSTREAM_QEMU
                && context.index() == CheckpointEncoder.BASE_INDEX
                && sections.isEmpty()) {
            if (++bases > BASES_MAX) {
                throw records.violation("EMULATOR_CONTEXT 1", "at most " + BASES_MAX, "one more");
            }
            base = Optional.of(kept(bytes));
        } else if (context.emulator() == EmulatorKind.UPSTREAM_QEMU
                && context.index() == CheckpointEncoder.SECTIONS_INDEX
                && bytes.byteSize() > 0) {
            sectionsBytes += bytes.byteSize();
            if (sectionsBytes > SECTIONS_BYTES_MAX) {
                throw records.violation(
                        "EMULATOR_CONTEXT 0",
                        "at most " + SECTIONS_BYTES_MAX + " bytes",
                        sectionsBytes + " by now");
            }
            sections.add(kept(bytes));
        } else {
            throw records.violation(
                    "EMULATOR_CONTEXT",
                    "index 1, and then 0, of upstream QEMU",
                    context + " with " + bytes.byteSize() + " bytes");
        }
    }

    private MemorySegment kept(MemorySegment bytes) {
        return arena.allocate(bytes.byteSize(), 8).copyFrom(bytes).asReadOnly();
    }

    @Override
    public void close() {
        reader.close();
        arena.close();
    }
}
