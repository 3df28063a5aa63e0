package holdfast.node.nbd;

import holdfast.qemu.linux.Syscalls;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLongArray;

/**
 * A block device in memory, gone with the process: for tests and measurements. Memory is taken when
 * it is written to; what was never written, or zeroed since, is told to be a hole.
 */
public final class MemoryExport implements NbdExport, AutoCloseable {
    /** Allocation is known in units of this size. */
    private static final int CHUNK_SHIFT = 16;

    private static final long CHUNK_BYTES = 1L << CHUNK_SHIFT;

    private final String name;
    private final long sizeBytes;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment memory;
    private final AtomicLongArray allocated;

    public MemoryExport(String name, long sizeBytes) {
        this.name = name;
        this.sizeBytes = sizeBytes;
        this.memory = Syscalls.anonymousMemory(sizeBytes, arena);
        long chunks = Math.ceilDiv(sizeBytes, CHUNK_BYTES);
        this.allocated = new AtomicLongArray(Math.toIntExact(Math.ceilDiv(chunks, Long.SIZE)));
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public String description() {
        return "memory";
    }

    @Override
    public long sizeBytes() {
        return sizeBytes;
    }

    @Override
    public boolean readOnly() {
        return false;
    }

    @Override
    public void read(long offset, ByteBuffer into) {
        MemorySegment target = MemorySegment.ofBuffer(into);
        MemorySegment.copy(memory, offset, target, 0, target.byteSize());
        into.position(into.limit());
    }

    @Override
    public void write(long offset, ByteBuffer from, Durability durability) {
        long end = offset + from.remaining();
        for (long chunk = offset >> CHUNK_SHIFT; chunk << CHUNK_SHIFT < end; chunk++) {
            if (!isAllocated(chunk)) {
                int word = (int) (chunk >> 6);
                long bit = 1L << chunk;
                allocated.getAndUpdate(word, bits -> bits | bit);
            }
        }
        MemorySegment source = MemorySegment.ofBuffer(from);
        MemorySegment.copy(source, 0, memory, offset, source.byteSize());
        from.position(from.limit());
    }

    private boolean isAllocated(long chunk) {
        return (allocated.get((int) (chunk >> 6)) >> chunk & 1) != 0;
    }

    @Override
    public void writeZeroes(
            long offset, long lengthBytes, Set<ZeroFlag> flags, Durability durability) {
        long end = offset + lengthBytes;
        for (long at = offset; at < end; ) {
            long chunk = at >> CHUNK_SHIFT;
            long next = Math.min(end, (chunk + 1) << CHUNK_SHIFT);
            if (isAllocated(chunk)) {
                memory.asSlice(at, next - at).fill((byte) 0);
                if (next - at == CHUNK_BYTES && !flags.contains(ZeroFlag.NO_HOLE)) {
                    long bit = 1L << chunk;
                    allocated.getAndUpdate((int) (chunk >> 6), bits -> bits & ~bit);
                }
            }
            at = next;
        }
    }

    @Override
    public void trim(long offset, long lengthBytes, Durability durability) {
        writeZeroes(offset, lengthBytes, Set.of(), durability);
    }

    /** Memory is as stable as this storage gets. */
    @Override
    public void flush() {}

    @Override
    public void blockStatus(long offset, long lengthBytes, ExtentSink sink) {
        long end = offset + lengthBytes;
        boolean more = true;
        for (long at = offset; more && at < end; ) {
            long chunk = at >> CHUNK_SHIFT;
            long next = Math.min(end, (chunk + 1) << CHUNK_SHIFT);
            more =
                    sink.extent(
                            next - at,
                            isAllocated(chunk) ? ExtentSink.State.DATA : ExtentSink.State.HOLE);
            at = next;
        }
    }

    /** After the server has let go of it. */
    @Override
    public void close() {
        arena.close();
    }
}
