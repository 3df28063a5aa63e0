package holdfast.node.session;

import holdfast.engine.HypervisorException;
import holdfast.engine.port.Domain;
import holdfast.engine.port.GuestMemory;
import holdfast.engine.port.InboundFrames;
import holdfast.engine.port.Standby;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.CompletableFuture;

/**
 * Waits for a {@link PagedGuest} and, when it takes over, compares its memory with the state it
 * gets.
 */
final class PagedStandby implements Standby, GuestMemory {
    /** What a survivor was started from. */
    record TakenOver(long expectedChecksum, long foundChecksum, int inboundFrames) {}

    private final Arena arena = Arena.ofShared();
    private final MemorySegment bytes;
    final CompletableFuture<TakenOver> takenOver = new CompletableFuture<>();
    final CompletableFuture<Void> closed = new CompletableFuture<>();

    PagedStandby(long pages) {
        bytes = arena.allocate(pages * PAGE_BYTES, PAGE_BYTES);
    }

    @Override
    public GuestMemory replica() {
        return this;
    }

    @Override
    public void rehearse(MemorySegment base, MemorySegment sections) {
        if (sections.get(ValueLayout.JAVA_LONG_UNALIGNED, 0) != PagedGuest.checksum(bytes)) {
            throw new HypervisorException("rehearse", "memory and state are of two epochs");
        }
    }

    @Override
    public Domain takeOver(MemorySegment base, MemorySegment sections, InboundFrames inbound) {
        takenOver.complete(
                new TakenOver(
                        sections.get(ValueLayout.JAVA_LONG_UNALIGNED, 0),
                        PagedGuest.checksum(bytes),
                        inbound.frames().size()));
        return new PagedGuest(1, 0);
    }

    @Override
    public void close() {
        closed.complete(null);
    }

    @Override
    public long pages() {
        return bytes.byteSize() / PAGE_BYTES;
    }

    @Override
    public MemorySegment bytes() {
        return bytes;
    }
}
