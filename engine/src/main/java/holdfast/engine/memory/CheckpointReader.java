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

/**
 * Reads what {@link CheckpointEncoder} wrote. Before the first CHECKPOINT pages go straight to the
 * replica, for there is nothing yet that they could spoil; from then on each checkpoint is staged
 * whole and touches nothing until it is applied. Device state is staged always.
 *
 * <p>The reading thread calls {@link #readCheckpoint}; between two calls another thread may call
 * {@link #apply}, with a happens-before edge each way.
 */
public final class CheckpointReader implements AutoCloseable {
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
    private final PageRecords records;
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
        this.records = new PageRecords("bulk stream", reader, replica);
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
                case StreamEvent.Pages pages -> pages(pages);
                case StreamEvent.Deltas deltas -> deltas(deltas);
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
                        throw records.violation(
                                "record", "one that a primary sends", event.toString());
            }
        }
    }

    private Read checkpointEnd() {
        if (!sectionsStaged || (phase == Phase.LIVE && !baseStaged)) {
            throw records.violation(
                    "checkpoint",
                    "device state in every checkpoint, and its base in the first",
                    "none");
        }
        phase = Phase.CHECKPOINTS;
        return new Read.Whole(stagedSections.bytes, tallied.tally().take());
    }

    private void pages(StreamEvent.Pages event) {
        long[] pfns = records.whole(event);
        MemorySegment bytes = event.bytes();
        switch (phase) {
            case LIVE -> CheckpointStage.applyWhole(pfns, bytes, replica.bytes());
            case CHECKPOINTS -> {
                checkRoom(bytes, pfns.length);
                stage.addWhole(pfns, bytes);
            }
        }
    }

    private void deltas(StreamEvent.Deltas event) {
        PageRecords.Deltas list = records.deltas(event);
        MemorySegment bytes = event.bytes();
        switch (phase) {
            case LIVE ->
                    CheckpointStage.applyDeltas(
                            list.pfns(), list.lengths(), bytes, replica.bytes());
            case CHECKPOINTS -> {
                checkRoom(bytes, list.pfns().length);
                stage.addDeltas(list.pfns(), list.lengths(), bytes);
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
            throw records.violation(
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

    private void checkRoom(MemorySegment bytes, int pages) {
        if (!stage.hasRoom(bytes.byteSize(), pages)) {
            throw records.violation(
                    "checkpoint",
                    "at most twice the replica's " + replica.pages() + " pages",
                    "more");
        }
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
