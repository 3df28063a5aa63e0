package holdfast.engine.memory;

import holdfast.engine.port.GuestMemory;
import holdfast.wire.ProtocolException;
import holdfast.wire.TruncatedStreamException;
import holdfast.wire.xen.DeltaList;
import holdfast.wire.xen.EmulatorKind;
import holdfast.wire.xen.LibxcRecord;
import holdfast.wire.xen.LibxlRecord;
import holdfast.wire.xen.PageList;
import holdfast.wire.xen.ReaderOptions;
import holdfast.wire.xen.StreamEvent;
import holdfast.wire.xen.StreamStart;
import holdfast.wire.xen.XenStreamReader;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.ReadableByteChannel;

/**
 * Reads what {@link CheckpointEncoder} wrote. Before the first CHECKPOINT pages go straight to the
 * replica, for there is nothing yet that they could spoil; from then on each checkpoint is staged
 * whole and touches nothing until it is applied. Device state is staged always.
 *
 * <p>The reading thread calls {@link #readCheckpoint}; between two calls another thread may call
 * {@link #apply}, with a happens-before edge each way.
 */
public final class CheckpointReader implements AutoCloseable {
    private static final String STREAM = "bulk stream";

    /** Where pages go. */
    private enum Phase {
        /** The live stage: to the replica at once. */
        LIVE,
        /** Aside. */
        CHECKPOINTS
    }

    /** A blob that grows and is kept. */
    private static final class Blob {
        private Arena arena = Arena.ofShared();
        private MemorySegment room = arena.allocate(64 * 1024);
        private long bytes;

        void set(MemorySegment source) {
            if (source.byteSize() > room.byteSize()) {
                Arena larger = Arena.ofShared();
                MemorySegment grown = larger.allocate(source.byteSize() + source.byteSize() / 4);
                arena.close();
                arena = larger;
                room = grown;
            }
            MemorySegment.copy(source, 0, room, 0, source.byteSize());
            bytes = source.byteSize();
        }

        MemorySegment segment() {
            return room.asSlice(0, bytes).asReadOnly();
        }
    }

    private final GuestMemory replica;
    private final CheckpointStage stage;
    private final TalliedInput tallied;
    private final XenStreamReader reader;
    private Phase phase = Phase.LIVE;
    private Blob base = new Blob();
    private Blob stagedBase = new Blob();
    private Blob sections = new Blob();
    private Blob stagedSections = new Blob();
    private boolean baseStaged;
    private boolean sectionsStaged;

    /**
     * @param replica zero-filled
     * @param bulk the bulk stream, in blocking mode; the caller closes it
     */
    public CheckpointReader(GuestMemory replica, ReadableByteChannel bulk) {
        this.replica = replica;
        // Every page once, and once more as much for pages that come twice.
        this.stage =
                new CheckpointStage(
                        2 * replica.pages() * GuestMemory.PAGE_BYTES + (1 << 20),
                        2 * replica.pages());
        this.tallied = new TalliedInput(bulk);
        this.reader = XenStreamReader.of(tallied, StreamStart.LIBXL_STREAM, ReaderOptions.HOLDFAST);
    }

    /** What {@link #readCheckpoint} met. */
    public sealed interface Read {
        /** A whole checkpoint is staged. */
        record Whole(long stateBytes, CheckpointDigest digest) implements Read {}

        /**
         * The primary stopped sending, between two checkpoints or inside one; nothing of a partial
         * one is left.
         */
        record Ended(String where) implements Read {}
    }

    /**
     * Reads to the end of the next checkpoint; blocks as long as the stream does.
     *
     * @throws ProtocolException when the stream is not what a primary sends; nothing of the partial
     *     checkpoint is left
     * @throws IOException when the channel fails
     */
    public Read readCheckpoint() throws IOException {
        baseStaged = false;
        sectionsStaged = false;
        stage.clear();
        while (true) {
            StreamEvent event;
            try {
                event = reader.next();
            } catch (TruncatedStreamException e) {
                return new Read.Ended("inside a record: " + e.getMessage());
            }
            switch (event) {
                case StreamEvent.Pages(LibxcRecord.PageData(PageList pages), MemorySegment bytes) ->
                        pages(pages, bytes);
                case StreamEvent.Deltas(
                                LibxcRecord.PageDelta(DeltaList list),
                                MemorySegment bytes) ->
                        deltas(list, bytes);
                case StreamEvent.EmulatorState(
                                LibxlRecord.EmulatorContext context,
                                MemorySegment bytes) ->
                        state(context, bytes);
                case StreamEvent.Libxl(LibxlRecord.CheckpointEnd _) -> {
                    return checkpointEnd();
                }
                case StreamEvent.SourceEnded _ -> {
                    return new Read.Ended("between two records");
                }
                case StreamEvent.Finished _ -> {
                    return new Read.Ended("with END");
                }
                // Framing; what else Xen knows has no meaning for a QEMU domain.
                case StreamEvent.Libxc(LibxcRecord.Checkpoint _),
                        StreamEvent.Libxc(LibxcRecord.StaticDataEnd _),
                        StreamEvent.Libxl(LibxlRecord.LibxcContext _),
                        StreamEvent.LibxlStart _,
                        StreamEvent.ImageStart _,
                        StreamEvent.Skipped _ -> {}
                case StreamEvent.XlFile _, StreamEvent.Libxc _, StreamEvent.Libxl _ ->
                        throw violation("record", "one that a primary sends", event.toString());
            }
        }
    }

    private Read checkpointEnd() {
        if (!sectionsStaged || (phase == Phase.LIVE && !baseStaged)) {
            throw violation(
                    "checkpoint",
                    "device state in every checkpoint, and its base in the first",
                    "none");
        }
        phase = Phase.CHECKPOINTS;
        return new Read.Whole(stagedSections.bytes, tallied.tally().take());
    }

    private void pages(PageList list, MemorySegment bytes) {
        if (list.count() > CheckpointCapture.CHUNK_PAGES || list.dataPages() != list.count()) {
            throw violation(
                    "PAGE_DATA",
                    "at most " + CheckpointCapture.CHUNK_PAGES + " pages, all with data",
                    list.toString());
        }
        long[] pfns = new long[list.count()];
        for (int i = 0; i < pfns.length; i++) {
            pfns[i] = checkPfn(list.pfn(i));
        }
        switch (phase) {
            case LIVE -> CheckpointStage.applyWhole(pfns, bytes, replica.bytes());
            case CHECKPOINTS -> {
                checkRoom(bytes, pfns.length);
                stage.addWhole(pfns, bytes);
            }
        }
    }

    private void deltas(DeltaList list, MemorySegment bytes) {
        if (list.count() > CheckpointCapture.CHUNK_PAGES) {
            throw violation(
                    "PAGE_DELTA",
                    "at most " + CheckpointCapture.CHUNK_PAGES + " pages",
                    list.toString());
        }
        long[] pfns = new long[list.count()];
        int[] lengths = new int[list.count()];
        long at = 0;
        for (int i = 0; i < pfns.length; i++) {
            pfns[i] = checkPfn(list.pfn(i));
            lengths[i] = list.deltaBytes(i);
            if (lengths[i] > 0 && !PageDelta.check(bytes, at, lengths[i])) {
                throw violation(
                        "delta of PFN " + pfns[i],
                        "runs inside one page",
                        lengths[i] + " bytes that are not");
            }
            at += lengths[i];
        }
        switch (phase) {
            case LIVE -> CheckpointStage.applyDeltas(pfns, lengths, bytes, replica.bytes());
            case CHECKPOINTS -> {
                checkRoom(bytes, pfns.length);
                stage.addDeltas(pfns, lengths, bytes);
            }
        }
    }

    private void state(LibxlRecord.EmulatorContext context, MemorySegment bytes) {
        if (context.emulator() == EmulatorKind.UPSTREAM_QEMU
                && context.index() == CheckpointEncoder.BASE_INDEX) {
            stagedBase.set(bytes);
            baseStaged = true;
        } else if (context.emulator() == EmulatorKind.UPSTREAM_QEMU
                && context.index() == CheckpointEncoder.SECTIONS_INDEX) {
            stagedSections.set(bytes);
            sectionsStaged = true;
        } else {
            throw violation(
                    "EMULATOR_CONTEXT", "index 0 or 1 of upstream QEMU", context.toString());
        }
    }

    /**
     * Writes the staged checkpoint to the replica; from now on its device state is the one to go on
     * from. Returns the number of pages.
     */
    public long apply() {
        long pages = stage.pages();
        stage.applyTo(replica);
        stage.clear();
        Blob old = sections;
        sections = stagedSections;
        stagedSections = old;
        if (baseStaged) {
            old = base;
            base = stagedBase;
            stagedBase = old;
        }
        return pages;
    }

    /** RAM blocks outside main memory, of the applied checkpoint. */
    public MemorySegment base() {
        return base.segment();
    }

    /** Device sections of the applied checkpoint. */
    public MemorySegment sections() {
        return sections.segment();
    }

    private long checkPfn(long pfn) {
        if (pfn >= replica.pages()) {
            throw violation(
                    "PFN",
                    "less than the replica's " + replica.pages() + " pages",
                    Long.toString(pfn));
        }
        return pfn;
    }

    private void checkRoom(MemorySegment bytes, int pages) {
        if (!stage.hasRoom(bytes.byteSize(), pages)) {
            throw violation(
                    "checkpoint",
                    "at most twice the replica's " + replica.pages() + " pages",
                    "more");
        }
    }

    private ProtocolException violation(String field, String expected, String found) {
        return new ProtocolException(STREAM, reader.eventOffset(), field, expected, found);
    }

    @Override
    public void close() {
        reader.close();
        stage.close();
        for (Blob blob : new Blob[] {base, stagedBase, sections, stagedSections}) {
            blob.arena.close();
        }
    }
}
