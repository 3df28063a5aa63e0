package holdfast.qemu.state;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import java.lang.foreign.MemorySegment;

/**
 * A base and one epoch's sections that together make a stream QEMU loads. Both segments are
 * borrowed.
 */
public record StateSplice(MemorySegment base, MemorySegment sections) {
    private static final String BASE = "device state base";
    private static final String SECTIONS = "device state sections";

    /**
     * @param base a stream up to its cut
     * @param sections what {@code xen-save-devices-state} wrote
     * @throws holdfast.engine.HypervisorException if one of them is not that; the devices' own
     *     bytes cannot be checked, since only QEMU knows their layout
     */
    public StateSplice {
        requireBase(base);
        requireSections(sections);
    }

    static void requireBase(MemorySegment base) {
        long cut = StateStream.parse(base).cutOffset();
        if (cut != base.byteSize()) {
            throw StateStream.malformed(BASE, cut, "end", base.byteSize(), cut);
        }
    }

    static void requireSections(MemorySegment sections) {
        requireFront(sections);
        requireEnd(sections.asSlice(sections.byteSize() - 1), sections.byteSize());
    }

    /** Of sections that may be longer. */
    static void requireFront(MemorySegment sections) {
        StateStream.requireHeader(SECTIONS, sections);
        int first = sections.get(JAVA_BYTE, StateStream.HEADER_BYTES);
        if (first != StateStream.TYPE_FULL) {
            throw StateStream.malformed(
                    SECTIONS,
                    StateStream.HEADER_BYTES,
                    "section type",
                    first,
                    StateStream.TYPE_FULL
                            + "; a 7 means: start QEMU with -global"
                            + " migration.send-configuration=off");
        }
    }

    /** Of so many bytes. */
    static void requireEnd(MemorySegment lastByte, long bytes) {
        int last = lastByte.get(JAVA_BYTE, 0);
        if (last != StateStream.TYPE_END_OF_FILE) {
            throw StateStream.malformed(SECTIONS, bytes - 1, "last byte", last, 0);
        }
    }

    /** Bytes of the whole stream. */
    public long bytes() {
        return base.byteSize() + sections.byteSize() - StateStream.HEADER_BYTES;
    }

    /** Writes the whole stream to the front of {@code into}. */
    public void copyTo(MemorySegment into) {
        MemorySegment devices = sections.asSlice(StateStream.HEADER_BYTES);
        MemorySegment.copy(base, 0, into, 0, base.byteSize());
        MemorySegment.copy(devices, 0, into, base.byteSize(), devices.byteSize());
    }
}
