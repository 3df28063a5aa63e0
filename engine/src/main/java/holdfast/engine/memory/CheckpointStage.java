package holdfast.engine.memory;

import holdfast.engine.port.GuestMemory;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/**
 * A checkpoint's pages and device state as they came in, touching nothing. Storage grows in chunks
 * as data arrives, up to a bound, and is kept for the next epoch. One owner at a time.
 */
final class CheckpointStage implements AutoCloseable {
    private static final long CHUNK_BYTES =
            (long) CheckpointCapture.CHUNK_PAGES * GuestMemory.PAGE_BYTES;

    /** Pages that came together. */
    private sealed interface Batch {
        /** {@code pages}: contents back to back in the order of {@code pfns}. */
        record Whole(long[] pfns, MemorySegment pages) implements Batch {}

        /**
         * {@code lengths[i]} bytes of delta for {@code pfns[i]}, 0 for a page of zeroes; the deltas
         * lie back to back.
         */
        record Deltas(long[] pfns, int[] lengths, MemorySegment deltas) implements Batch {}
    }

    private final List<Arena> arenas = new ArrayList<>();
    private final List<MemorySegment> chunks = new ArrayList<>();
    private final List<Batch> batches = new ArrayList<>();
    private final long bytesMax;
    private final long pagesMax;
    private int chunk;
    private long offset;
    private long bytes;
    private long pages;

    /**
     * @param bytesMax refuses a checkpoint of more bytes of pages
     * @param pagesMax and one of more pages: pages of zeroes have no bytes
     */
    CheckpointStage(long bytesMax, long pagesMax) {
        this.bytesMax = bytesMax;
        this.pagesMax = pagesMax;
    }

    long pages() {
        return pages;
    }

    /** Whether so much more still fits under the bounds. */
    boolean hasRoom(long moreBytes, long morePages) {
        return bytes + moreBytes <= bytesMax && pages + morePages <= pagesMax;
    }

    /** Copies whole pages aside. */
    void addWhole(long[] pfns, MemorySegment contents) {
        if (pfns.length == 0) {
            return;
        }
        batches.add(new Batch.Whole(pfns, keep(contents)));
        pages += pfns.length;
    }

    /** Copies deltas aside; each must have passed {@link PageDelta#check}. */
    void addDeltas(long[] pfns, int[] lengths, MemorySegment deltas) {
        if (pfns.length == 0) {
            return;
        }
        batches.add(new Batch.Deltas(pfns, lengths, keep(deltas)));
        pages += pfns.length;
    }

    private MemorySegment keep(MemorySegment source) {
        long size = source.byteSize();
        if (!hasRoom(size, 0) || size > CHUNK_BYTES) {
            throw new IllegalStateException(
                    "a checkpoint beyond its bound of " + bytesMax + " bytes");
        }
        if (chunk < chunks.size() && offset + size > CHUNK_BYTES) {
            chunk++;
            offset = 0;
        }
        if (chunk == chunks.size()) {
            Arena arena = Arena.ofShared();
            arenas.add(arena);
            chunks.add(arena.allocate(CHUNK_BYTES, GuestMemory.PAGE_BYTES));
        }
        MemorySegment kept = chunks.get(chunk).asSlice(offset, size);
        MemorySegment.copy(source, 0, kept, 0, size);
        offset += size;
        bytes += size;
        return kept;
    }

    /** Writes everything staged to {@code replica}, in the order it came. */
    void applyTo(GuestMemory replica) {
        MemorySegment target = replica.bytes();
        for (Batch batch : batches) {
            switch (batch) {
                case Batch.Whole(long[] pfns, MemorySegment contents) ->
                        applyWhole(pfns, contents, target);
                case Batch.Deltas(long[] pfns, int[] lengths, MemorySegment deltas) ->
                        applyDeltas(pfns, lengths, deltas, target);
            }
        }
    }

    /** Neighbouring pages are copied as one. */
    static void applyWhole(long[] pfns, MemorySegment contents, MemorySegment target) {
        for (int first = 0; first < pfns.length; ) {
            int end = first + 1;
            while (end < pfns.length && pfns[end] == pfns[end - 1] + 1) {
                end++;
            }
            MemorySegment.copy(
                    contents,
                    (long) first * GuestMemory.PAGE_BYTES,
                    target,
                    pfns[first] * GuestMemory.PAGE_BYTES,
                    (long) (end - first) * GuestMemory.PAGE_BYTES);
            first = end;
        }
    }

    static void applyDeltas(
            long[] pfns, int[] lengths, MemorySegment deltas, MemorySegment target) {
        long at = 0;
        for (int i = 0; i < pfns.length; i++) {
            long page = pfns[i] * GuestMemory.PAGE_BYTES;
            if (lengths[i] == 0) {
                target.asSlice(page, GuestMemory.PAGE_BYTES).fill((byte) 0);
            } else {
                PageDelta.apply(deltas, at, lengths[i], target, page);
                at += lengths[i];
            }
        }
    }

    /** Forgets what is staged, keeping the storage of an ordinary epoch. */
    void clear() {
        int keepChunks = Math.max(4, chunk + 1);
        while (chunks.size() > 2 * keepChunks) {
            chunks.removeLast();
            arenas.removeLast().close();
        }
        batches.clear();
        chunk = 0;
        offset = 0;
        bytes = 0;
        pages = 0;
    }

    @Override
    public void close() {
        batches.clear();
        chunks.clear();
        arenas.forEach(Arena::close);
        arenas.clear();
    }
}
