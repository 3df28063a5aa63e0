package holdfast.engine.memory;

import holdfast.engine.port.GuestMemory;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/**
 * Pages copied aside, so that the guest can run while they travel. Storage grows in chunks up to
 * one copy of the guest's memory, is kept for the next epoch, and given back when epochs have
 * become smaller. One owner at a time: the session's thread fills it, the sender's thread reads it.
 */
public final class CheckpointCapture implements AutoCloseable {
    /** Pages of a chunk: what one PAGE_DATA record carries at most. */
    public static final int CHUNK_PAGES = 1024;

    /** Captures after which unused chunks are given back. */
    private static final int SHRINK_AFTER = 256;

    /** A chunk: {@code count} pages, back to back in {@code pages} in the order of {@code pfns}. */
    public static final class Chunk {
        private final Arena arena = Arena.ofShared();
        private final MemorySegment pages =
                arena.allocate((long) CHUNK_PAGES * GuestMemory.PAGE_BYTES, GuestMemory.PAGE_BYTES);
        private final long[] pfns = new long[CHUNK_PAGES];
        private int count;

        private Chunk() {}

        public int count() {
            return count;
        }

        public long[] pfns() {
            return pfns;
        }

        public MemorySegment pages() {
            return pages;
        }
    }

    private final List<Chunk> chunks = new ArrayList<>();
    private final long pagesMax;
    private int used;
    private long pages;
    private int usedPeak;
    private int captures;
    private MemorySegment sections;
    private Arena sectionsArena;
    private long sectionsBytes;

    /**
     * @param pagesMax pages of the guest: one capture holds each at most once
     * @param pagesExpected room made now, so that the first captures do not pay for it
     */
    public CheckpointCapture(long pagesMax, long pagesExpected) {
        this.pagesMax = pagesMax;
        sectionsArena = Arena.ofShared();
        sections = sectionsArena.allocate(256 * 1024);
        reserve(Math.min(pagesMax, pagesExpected));
    }

    /** Makes room for {@code pages} pages while the guest still runs. */
    public void reserve(long pages) {
        int wanted = Math.toIntExact((Math.min(pages, pagesMax) + CHUNK_PAGES - 1) / CHUNK_PAGES);
        while (chunks.size() < wanted) {
            chunks.add(new Chunk());
        }
    }

    /** Empties the capture, keeping its storage. */
    public void clear() {
        usedPeak = Math.max(usedPeak, used);
        if (++captures % SHRINK_AFTER == 0) {
            while (chunks.size() > Math.max(1, 2 * usedPeak)) {
                chunks.removeLast().arena.close();
            }
            usedPeak = 0;
        }
        for (int i = 0; i < used; i++) {
            chunks.get(i).count = 0;
        }
        used = 0;
        pages = 0;
        sectionsBytes = 0;
    }

    /**
     * Copies the pages of {@code pfns} from {@code memory}; the guest must be suspended unless the
     * tracker still guards these pages.
     */
    public void copyPages(PfnSet pfns, GuestMemory memory) {
        MemorySegment source = memory.bytes();
        pfns.forEachRun(
                (firstPfn, endPfn) -> {
                    for (long pfn = firstPfn; pfn < endPfn; ) {
                        Chunk chunk = open();
                        int take = (int) Math.min(endPfn - pfn, CHUNK_PAGES - chunk.count);
                        MemorySegment.copy(
                                source,
                                pfn * GuestMemory.PAGE_BYTES,
                                chunk.pages,
                                (long) chunk.count * GuestMemory.PAGE_BYTES,
                                (long) take * GuestMemory.PAGE_BYTES);
                        for (int i = 0; i < take; i++) {
                            chunk.pfns[chunk.count + i] = pfn + i;
                        }
                        chunk.count += take;
                        pages += take;
                        pfn += take;
                    }
                });
    }

    private Chunk open() {
        if (used > 0 && chunks.get(used - 1).count < CHUNK_PAGES) {
            return chunks.get(used - 1);
        }
        if (pages >= pagesMax) {
            throw new IllegalStateException(
                    "a capture of more than the guest's " + pagesMax + " pages");
        }
        if (used == chunks.size()) {
            chunks.add(new Chunk());
        }
        return chunks.get(used++);
    }

    /** Copies the device state aside. */
    public void copySections(MemorySegment state) {
        if (state.byteSize() > sections.byteSize()) {
            Arena larger = Arena.ofShared();
            MemorySegment room =
                    larger.allocate(Math.max(state.byteSize(), 2 * sections.byteSize()));
            sectionsArena.close();
            sectionsArena = larger;
            sections = room;
        }
        MemorySegment.copy(state, 0, sections, 0, state.byteSize());
        sectionsBytes = state.byteSize();
    }

    /** The device state copied aside; valid until {@link #clear}. */
    public MemorySegment sections() {
        return sections.asSlice(0, sectionsBytes);
    }

    /** Pages captured. */
    public long pages() {
        return pages;
    }

    /**
     * The filled chunks, in ascending PFN order; valid until {@link #clear}. The sender may compact
     * their contents.
     */
    public List<Chunk> chunks() {
        return chunks.subList(0, used);
    }

    @Override
    public void close() {
        chunks.forEach(chunk -> chunk.arena.close());
        chunks.clear();
        used = 0;
        sectionsArena.close();
    }
}
