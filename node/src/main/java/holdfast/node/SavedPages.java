package holdfast.node;

import holdfast.engine.memory.PageScan;
import holdfast.engine.memory.PfnSet;
import holdfast.engine.port.GuestMemory;
import holdfast.wire.xen.XenStreamWriter;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.util.Arrays;

/**
 * The pages of a stream that lies in a file. A page that comes again is written over its older
 * content, so that the file holds each at most once, however often a running guest writes it; one
 * that never was anything but zeroes is not in it. Used by one thread.
 */
final class SavedPages implements AutoCloseable {
    /** Pages of one record. */
    private static final int CHUNK_PAGES = 1024;

    private static final int NOT_THERE = -1;

    private final XenStreamWriter writer;
    private final FileChannel file;
    private final GuestMemory memory;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment gathered =
            arena.allocate((long) CHUNK_PAGES * GuestMemory.PAGE_BYTES, GuestMemory.PAGE_BYTES);
    private final long[] pfns = new long[CHUNK_PAGES];

    /** For each page, record and place in it: {@code record * CHUNK_PAGES + index}. */
    private final long[] placeOfPfn;

    /** Where the contents of each record begin in the file. */
    private long[] recordOffsets = new long[16];

    private int records;
    private int taken;
    private long writtenPages;

    /**
     * @param writer of {@code file}, from its begin; writes nothing else while pages are written
     */
    SavedPages(XenStreamWriter writer, FileChannel file, GuestMemory memory) {
        this.writer = writer;
        this.file = file;
        this.memory = memory;
        this.placeOfPfn = new long[Math.toIntExact(memory.pages())];
        Arrays.fill(placeOfPfn, NOT_THERE);
    }

    /** Pages written by now, each as often as it was. */
    long writtenPages() {
        return writtenPages;
    }

    /** Hears how many pages of a set are done, now and then. */
    @FunctionalInterface
    interface Heard {
        /**
         * @throws RuntimeException to write no more
         */
        void done(long pages);
    }

    /**
     * Writes what these pages hold. Of a running guest it may change meanwhile: then the tracker
     * reports them again.
     */
    void write(PfnSet set, Heard heard) throws IOException {
        long looked = 0;
        for (long pfn = set.next(0); pfn >= 0; ) {
            long place = placeOfPfn[(int) pfn];
            if (place == NOT_THERE) {
                append(pfn);
                looked++;
                pfn = set.next(pfn + 1);
            } else {
                int count = run(set, pfn, place);
                writeTaken();
                over(pfn, count, place);
                looked += count;
                pfn = set.next(pfn + count);
            }
            if (looked >= CHUNK_PAGES) {
                heard.done(looked);
                looked = 0;
            }
        }
        writeTaken();
        heard.done(looked);
    }

    /** How many pages from {@code pfn} on are in the set and lie back to back in one record. */
    private int run(PfnSet set, long pfn, long place) {
        int count = 1;
        while (pfn + count < placeOfPfn.length
                && (place + count) % CHUNK_PAGES != 0
                && placeOfPfn[(int) pfn + count] == place + count
                && set.contains(pfn + count)) {
            count++;
        }
        return count;
    }

    private void append(long pfn) throws IOException {
        long at = (long) taken * GuestMemory.PAGE_BYTES;
        MemorySegment.copy(
                memory.bytes(), pfn * GuestMemory.PAGE_BYTES, gathered, at, GuestMemory.PAGE_BYTES);
        if (PageScan.isZero(gathered, at)) {
            return;
        }
        pfns[taken++] = pfn;
        if (taken == CHUNK_PAGES) {
            writeTaken();
        }
    }

    private void writeTaken() throws IOException {
        if (taken == 0) {
            return;
        }
        writer.pageData(pfns, 0, taken, gathered);
        // What is staged would be written later than what is written over it.
        writer.flush();
        if (records == recordOffsets.length) {
            recordOffsets = Arrays.copyOf(recordOffsets, 2 * records);
        }
        // A record ends with the pages: their size is a multiple of its alignment.
        recordOffsets[records] = writer.bytesWritten() - (long) taken * GuestMemory.PAGE_BYTES;
        for (int i = 0; i < taken; i++) {
            placeOfPfn[(int) pfns[i]] = (long) records * CHUNK_PAGES + i;
        }
        records++;
        writtenPages += taken;
        taken = 0;
    }

    private void over(long pfn, int count, long place) throws IOException {
        ByteBuffer bytes =
                memory.bytes()
                        .asSlice(
                                pfn * GuestMemory.PAGE_BYTES, (long) count * GuestMemory.PAGE_BYTES)
                        .asByteBuffer();
        long at =
                recordOffsets[(int) (place / CHUNK_PAGES)]
                        + (place % CHUNK_PAGES) * GuestMemory.PAGE_BYTES;
        while (bytes.hasRemaining()) {
            at += file.write(bytes, at);
        }
        writtenPages += count;
    }

    @Override
    public void close() {
        arena.close();
    }
}
