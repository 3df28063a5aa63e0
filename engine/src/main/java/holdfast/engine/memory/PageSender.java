package holdfast.engine.memory;

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
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Writes the rounds of a migration as a libxl stream, one sender for each connection. In the first
 * round pages of zeroes do not travel at all: the other side begins with zeroes. Pages that were
 * sent in a later round are kept up to a bound, so that what the guest writes over and over, the
 * rest in its pause above all, travels as differences. Used by one thread.
 */
public final class PageSender implements AutoCloseable {
    /** A difference must be smaller than this. */
    private static final int DELTA_BYTES_LIMIT = GuestMemory.PAGE_BYTES / 2;

    private static final int NOT_KEPT = -1;

    private final Arena arena = Arena.ofShared();
    private final MemorySegment pages =
            arena.allocate(
                    (long) CheckpointCapture.CHUNK_PAGES * GuestMemory.PAGE_BYTES,
                    GuestMemory.PAGE_BYTES);
    private final MemorySegment deltas =
            arena.allocate((long) CheckpointCapture.CHUNK_PAGES * DELTA_BYTES_LIMIT, 8);
    private final long[] pfns = new long[CheckpointCapture.CHUNK_PAGES];
    private final long[] deltaEntries = new long[CheckpointCapture.CHUNK_PAGES];
    private final int[] deltaLengths = new int[CheckpointCapture.CHUNK_PAGES];
    private final List<MemorySegment> kept = new ArrayList<>();
    private final int[] slotOfPfn;
    private final int keptPagesMax;
    private int keptPages;
    private final TalliedOutput tallied;
    private final XenStreamWriter writer;
    private boolean begun;
    private int whole;
    private int entries;
    private long deltaBytes;
    private long rawPages;
    private long zeroPages;
    private long deltaPages;
    private long samePages;

    /**
     * @param guestPages the guest's pages
     * @param keptPagesMax pages of which what was sent is remembered
     * @param bulk the connection, in blocking mode; the caller closes it
     */
    public PageSender(long guestPages, int keptPagesMax, WritableByteChannel bulk) {
        this.slotOfPfn = new int[Math.toIntExact(guestPages)];
        Arrays.fill(slotOfPfn, NOT_KEPT);
        this.keptPagesMax = keptPagesMax;
        this.tallied = new TalliedOutput(bulk);
        this.writer = new XenStreamWriter(tallied);
    }

    /** What the other side holds of these pages. */
    public enum Known {
        /** Zeroes: it has got nothing yet. */
        ZEROES,
        /** Something older. */
        OLDER
    }

    /**
     * Writes pages. Of a running guest their content may change while it is copied: the tracker
     * reports such pages again.
     */
    public Encoded pages(PfnSet set, GuestMemory memory, Known known) throws IOException {
        long start = System.nanoTime();
        long bytesBefore = begin();
        rawPages = 0;
        zeroPages = 0;
        deltaPages = 0;
        samePages = 0;
        MemorySegment source = memory.bytes();
        for (long pfn = set.next(0); pfn >= 0; pfn = set.next(pfn + 1)) {
            long from = pfn * GuestMemory.PAGE_BYTES;
            switch (known) {
                case ZEROES -> {
                    if (PageScan.isZero(source, from)) {
                        samePages++;
                    } else {
                        takeWhole(source, from, pfn);
                    }
                }
                case OLDER -> takeOlder(source, from, pfn);
            }
            if (whole + entries >= CheckpointCapture.CHUNK_PAGES) {
                writeTaken();
            }
        }
        writeTaken();
        writer.flush();
        return new Encoded(
                -1,
                rawPages,
                zeroPages,
                deltaPages,
                samePages,
                writer.bytesWritten() - bytesBefore,
                System.nanoTime() - start);
    }

    private void takeWhole(MemorySegment source, long from, long pfn) {
        MemorySegment.copy(
                source, from, pages, (long) whole * GuestMemory.PAGE_BYTES, GuestMemory.PAGE_BYTES);
        pfns[whole++] = pfn;
        rawPages++;
    }

    /** The page is copied first, and looked at in the copy: the guest may write it meanwhile. */
    private void takeOlder(MemorySegment source, long from, long pfn) {
        long at = (long) whole * GuestMemory.PAGE_BYTES;
        MemorySegment.copy(source, from, pages, at, GuestMemory.PAGE_BYTES);
        int slot = slotOfPfn[(int) pfn];
        if (PageScan.isZero(pages, at)) {
            deltaEntries[entries] = DeltaList.zeroPage(pfn);
            deltaLengths[entries++] = 0;
            zeroPages++;
        } else if (slot == NOT_KEPT) {
            pfns[whole++] = pfn;
            rawPages++;
        } else {
            int length =
                    PageDelta.encode(
                            pages,
                            at,
                            chunk(slot),
                            offset(slot),
                            deltas,
                            deltaBytes,
                            DELTA_BYTES_LIMIT);
            if (length == 0) {
                samePages++;
                return;
            }
            if (length == PageDelta.TOO_LARGE) {
                pfns[whole++] = pfn;
                rawPages++;
            } else {
                deltaEntries[entries] = DeltaList.delta(pfn);
                deltaLengths[entries++] = length;
                deltaBytes += length;
                deltaPages++;
            }
        }
        keep(pfn, slot, at);
    }

    private void keep(long pfn, int slot, long at) {
        int to = slot;
        if (to == NOT_KEPT) {
            if (keptPages == keptPagesMax) {
                return;
            }
            if (keptPages % CheckpointCapture.CHUNK_PAGES == 0) {
                kept.add(
                        arena.allocate(
                                (long) CheckpointCapture.CHUNK_PAGES * GuestMemory.PAGE_BYTES,
                                GuestMemory.PAGE_BYTES));
            }
            to = keptPages++;
            slotOfPfn[(int) pfn] = to;
        }
        MemorySegment.copy(pages, at, chunk(to), offset(to), GuestMemory.PAGE_BYTES);
    }

    private MemorySegment chunk(int slot) {
        return kept.get(slot / CheckpointCapture.CHUNK_PAGES);
    }

    private static long offset(int slot) {
        return (long) (slot % CheckpointCapture.CHUNK_PAGES) * GuestMemory.PAGE_BYTES;
    }

    private void writeTaken() throws IOException {
        if (whole > 0) {
            writer.pageData(pfns, 0, whole, pages);
        }
        if (entries > 0) {
            writer.pageDelta(deltaEntries, deltaLengths, entries, deltas);
        }
        whole = 0;
        entries = 0;
        deltaBytes = 0;
    }

    /** Writes the RAM blocks outside main memory, the first time while the guest still runs. */
    public void base(MemorySegment base) throws IOException {
        state(CheckpointEncoder.BASE_INDEX, base);
    }

    /** Writes the next part of the device sections; no base may follow. */
    public void sections(MemorySegment part) throws IOException {
        state(CheckpointEncoder.SECTIONS_INDEX, part);
    }

    private void state(long index, MemorySegment bytes) throws IOException {
        begin();
        writer.record(new LibxcRecord.Checkpoint());
        writer.emulatorContext(EmulatorKind.UPSTREAM_QEMU, index, bytes);
        writer.record(new LibxlRecord.CheckpointEnd());
        writer.flush();
    }

    /** Ends the stream. */
    public CheckpointDigest end() throws IOException {
        begin();
        writer.record(new LibxcRecord.End());
        writer.record(new LibxlRecord.End());
        writer.flush();
        return tallied.tally().take();
    }

    private long begin() throws IOException {
        if (begun) {
            return writer.bytesWritten();
        }
        begun = true;
        writer.libxlHeader();
        writer.record(new LibxlRecord.LibxcContext());
        writer.imageStart(new DomainHeader(DomainType.X86_HVM, 4, 17));
        writer.record(new LibxcRecord.StaticDataEnd());
        return 0;
    }

    @Override
    public void close() {
        writer.close();
        arena.close();
    }
}
