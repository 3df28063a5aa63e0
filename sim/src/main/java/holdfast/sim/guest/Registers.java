package holdfast.sim.guest;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;

import java.lang.foreign.MemorySegment;

/**
 * What a guest keeps outside its memory, so that device state of another epoch than the memory's is
 * noticed.
 *
 * @param writes how many times the guest changed its memory
 * @param lastRequest number of the last request it answered
 * @param checksum of its memory
 * @param padding bytes that follow, so that the length of the device state changes
 */
public record Registers(long writes, long lastRequest, long checksum, int padding) {
    private static final long MAGIC = 0x686f6c6466617374L;

    /** The registers as an opaque device state. */
    public MemorySegment toSections() {
        MemorySegment bytes = MemorySegment.ofArray(new byte[4 * Long.BYTES + padding]);
        bytes.set(JAVA_LONG_UNALIGNED, 0, MAGIC);
        bytes.set(JAVA_LONG_UNALIGNED, 8, writes);
        bytes.set(JAVA_LONG_UNALIGNED, 16, lastRequest);
        bytes.set(JAVA_LONG_UNALIGNED, 24, checksum);
        for (int i = 0; i < padding; i++) {
            bytes.set(JAVA_BYTE, 32 + i, (byte) (writes + i));
        }
        return bytes.asReadOnly();
    }

    /** Reads them back. */
    static Registers of(MemorySegment sections) {
        if (sections.byteSize() < 32 || sections.get(JAVA_LONG_UNALIGNED, 0) != MAGIC) {
            throw new IllegalArgumentException("no device state of a simulated guest");
        }
        return new Registers(
                sections.get(JAVA_LONG_UNALIGNED, 8),
                sections.get(JAVA_LONG_UNALIGNED, 16),
                sections.get(JAVA_LONG_UNALIGNED, 24),
                (int) sections.byteSize() - 32);
    }
}
