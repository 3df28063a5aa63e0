package holdfast.sim.guest;

import holdfast.engine.port.GuestMemory;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** A guest's main memory outside the heap, zero at first. */
public final class SimMemory implements GuestMemory {
    private final long pages;
    private final MemorySegment bytes;

    /**
     * @param arena how long the memory lives
     */
    public SimMemory(long pages, Arena arena) {
        this.pages = pages;
        this.bytes = arena.allocate(pages * PAGE_BYTES, PAGE_BYTES);
    }

    @Override
    public long pages() {
        return pages;
    }

    @Override
    public MemorySegment bytes() {
        return bytes;
    }
}
