package holdfast.engine.memory;

import holdfast.engine.port.DeviceState;
import holdfast.engine.port.GuestMemory;
import holdfast.wire.xen.DeltaList;
import holdfast.wire.xen.DomainHeader;
import holdfast.wire.xen.DomainType;
import holdfast.wire.xen.EmulatorKind;
import holdfast.wire.xen.LibxcRecord;
import holdfast.wire.xen.LibxlRecord;
import holdfast.wire.xen.XenStreamWriter;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.WritableByteChannel;
import java.util.Optional;

/**
 * Writes rounds and checkpoints as one libxl stream. With a shadow (what the secondary has) a page
 * travels as the smallest of nothing, a zero, a difference and itself; without one every page
 * travels as itself and the stream is one that Xen's own tools would read. Used by one sender
 * thread.
 */
public final class CheckpointEncoder implements AutoCloseable {
    /** How pages travel. */
    public enum Encoding {
        /** Every page whole: a byte-exact Xen stream. */
        PLAIN,
        /** Zero pages and differences against what the secondary has. */
        DELTA
    }

    /** EMULATOR_CONTEXT index of the device sections. */
    public static final long SECTIONS_INDEX = 0;

    /** EMULATOR_CONTEXT index of the RAM blocks outside main memory. */
    public static final long BASE_INDEX = 1;

    /**
     * A delta must be smaller than this: beyond, a whole page costs hardly more and is cheaper to
     * apply.
     */
    private static final int DELTA_BYTES_LIMIT = GuestMemory.PAGE_BYTES / 2;

    private static final long NO_BASE = -1;

    private final Arena arena = Arena.ofShared();
    private final Optional<MemorySegment> shadow;
    private final CheckpointCapture roundCapture;
    private final MemorySegment deltas =
            arena.allocate((long) CheckpointCapture.CHUNK_PAGES * DELTA_BYTES_LIMIT, 8);
    private final long[] deltaEntries = new long[CheckpointCapture.CHUNK_PAGES];
    private final int[] deltaLengths = new int[CheckpointCapture.CHUNK_PAGES];
    private final TalliedOutput tallied;
    private final XenStreamWriter writer;
    private long baseSent = NO_BASE;
    private boolean begun;
    private long rawPages;
    private long zeroPages;
    private long deltaPages;
    private long samePages;

    /**
     * @param encoding how pages travel; {@link Encoding#DELTA} keeps a copy of the guest's memory
     * @param pages the guest's pages
     * @param bulk the bulk stream, in blocking mode
     */
    public CheckpointEncoder(Encoding encoding, long pages, WritableByteChannel bulk) {
        shadow =
                switch (encoding) {
                    case PLAIN -> Optional.empty();
                    // Zeroes, as the replica is before the first round.
                    case DELTA ->
                            Optional.of(
                                    arena.allocate(
                                            pages * GuestMemory.PAGE_BYTES,
                                            GuestMemory.PAGE_BYTES));
                };
        roundCapture = new CheckpointCapture(pages, CheckpointCapture.CHUNK_PAGES);
        tallied = new TalliedOutput(bulk);
        writer = new XenStreamWriter(tallied);
    }

    /**
     * Writes pages of a running guest. Their content may change while it is copied: the tracker
     * reports such pages again, and a later round or checkpoint carries them.
     */
    public Encoded round(PfnSet pfns, GuestMemory memory) throws IOException {
        long start = System.nanoTime();
        long bytesBefore = begin();
        PfnSet part = new PfnSet(pfns.endPfn());
        for (long pfn = pfns.next(0); pfn >= 0; ) {
            part.clear();
            for (int i = 0; i < CheckpointCapture.CHUNK_PAGES && pfn >= 0; i++) {
                part.add(pfn);
                pfn = pfns.next(pfn + 1);
            }
            roundCapture.clear();
            roundCapture.copyPages(part, memory);
            for (CheckpointCapture.Chunk chunk : roundCapture.chunks()) {
                writeChunk(chunk);
            }
        }
        writer.flush();
        return encoded(-1, bytesBefore, start);
    }

    /**
     * Writes a checkpoint to its end. The chunks of {@code capture} are compacted on the way.
     *
     * @param base sent unless the secondary has it
     */
    public Encoded checkpoint(long epoch, CheckpointCapture capture, DeviceState.DeviceBase base)
            throws IOException {
        long start = System.nanoTime();
        long bytesBefore = begin();
        for (CheckpointCapture.Chunk chunk : capture.chunks()) {
            writeChunk(chunk);
        }
        writer.record(new LibxcRecord.Checkpoint());
        if (base.number() != baseSent) {
            writer.emulatorContext(EmulatorKind.UPSTREAM_QEMU, BASE_INDEX, base.bytes());
            baseSent = base.number();
        }
        writer.emulatorContext(EmulatorKind.UPSTREAM_QEMU, SECTIONS_INDEX, capture.sections());
        writer.record(new LibxlRecord.CheckpointEnd());
        return encoded(epoch, bytesBefore, start);
    }

    /** What was written since the last call. */
    public CheckpointDigest takeDigest() {
        return tallied.tally().take();
    }

    private long begin() throws IOException {
        rawPages = 0;
        zeroPages = 0;
        deltaPages = 0;
        samePages = 0;
        if (!begun) {
            begun = true;
            writer.libxlHeader();
            writer.record(new LibxlRecord.LibxcContext());
            writer.imageStart(new DomainHeader(DomainType.X86_HVM, 4, 17));
            writer.record(new LibxcRecord.StaticDataEnd());
            return 0;
        }
        return writer.bytesWritten();
    }

    private Encoded encoded(long epoch, long bytesBefore, long startNanos) {
        return new Encoded(
                epoch,
                rawPages,
                zeroPages,
                deltaPages,
                samePages,
                writer.bytesWritten() - bytesBefore,
                System.nanoTime() - startNanos);
    }

    private void writeChunk(CheckpointCapture.Chunk chunk) throws IOException {
        if (shadow.isEmpty()) {
            rawPages += chunk.count();
            writer.pageData(chunk.pfns(), 0, chunk.count(), chunk.pages());
        } else {
            writeDifferences(chunk, shadow.get());
        }
    }

    /** Whole pages move to the front of the chunk, so that they leave in one piece. */
    private void writeDifferences(CheckpointCapture.Chunk chunk, MemorySegment known)
            throws IOException {
        MemorySegment pages = chunk.pages();
        long[] pfns = chunk.pfns();
        int whole = 0;
        int entries = 0;
        long deltaBytes = 0;
        for (int i = 0; i < chunk.count(); i++) {
            long pfn = pfns[i];
            long at = (long) i * GuestMemory.PAGE_BYTES;
            long knownAt = pfn * GuestMemory.PAGE_BYTES;
            int length =
                    PageDelta.encode(
                            pages, at, known, knownAt, deltas, deltaBytes, DELTA_BYTES_LIMIT);
            if (length == 0) {
                samePages++;
                continue;
            }
            if (PageScan.isZero(pages, at)) {
                deltaEntries[entries] = DeltaList.zeroPage(pfn);
                deltaLengths[entries++] = 0;
                zeroPages++;
            } else if (length != PageDelta.TOO_LARGE) {
                deltaEntries[entries] = DeltaList.delta(pfn);
                deltaLengths[entries++] = length;
                deltaBytes += length;
                deltaPages++;
            } else {
                if (whole != i) {
                    MemorySegment.copy(
                            pages,
                            at,
                            pages,
                            (long) whole * GuestMemory.PAGE_BYTES,
                            GuestMemory.PAGE_BYTES);
                    pfns[whole] = pfn;
                }
                at = (long) whole * GuestMemory.PAGE_BYTES;
                whole++;
                rawPages++;
            }
            MemorySegment.copy(pages, at, known, knownAt, GuestMemory.PAGE_BYTES);
        }
        if (whole > 0) {
            writer.pageData(pfns, 0, whole, pages);
        }
        if (entries > 0) {
            writer.pageDelta(deltaEntries, deltaLengths, entries, deltas);
        }
    }

    @Override
    public void close() {
        writer.close();
        roundCapture.close();
        arena.close();
    }
}
