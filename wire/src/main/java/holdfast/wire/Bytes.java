package holdfast.wire;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.HexFormat;

/**
 * An immutable blob that compares by content, for the opaque parts of records. Not for guest pages:
 * those stream as borrowed segments and are never copied to the heap.
 */
public final class Bytes {
    /** No bytes. */
    public static final Bytes EMPTY = new Bytes(new byte[0]);

    private final byte[] octets;

    private Bytes(byte[] octets) {
        this.octets = octets;
    }

    public static Bytes copyOf(byte... octets) {
        return octets.length == 0 ? EMPTY : new Bytes(octets.clone());
    }

    /** Copies the whole segment, which must be shorter than 2 GiB. */
    public static Bytes copyOf(MemorySegment segment) {
        return segment.byteSize() == 0 ? EMPTY : new Bytes(segment.toArray(ValueLayout.JAVA_BYTE));
    }

    /** Reads pairs of hexadecimal digits; white space between pairs is allowed. */
    public static Bytes ofHex(String hex) {
        return copyOf(HexFormat.of().parseHex(hex.replaceAll("\\s", "")));
    }

    public int size() {
        return octets.length;
    }

    public byte at(int index) {
        return octets[index];
    }

    public byte[] toArray() {
        return octets.clone();
    }

    /** A read-only view that lives as long as this object. */
    public MemorySegment asSegment() {
        return MemorySegment.ofArray(octets).asReadOnly();
    }

    /** Copies all octets to {@code target}, starting at byte {@code targetOffset} there. */
    public void copyTo(MemorySegment target, long targetOffset) {
        MemorySegment.copy(octets, 0, target, ValueLayout.JAVA_BYTE, targetOffset, octets.length);
    }

    public String toHex() {
        return HexFormat.of().formatHex(octets);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Bytes that && Arrays.equals(octets, that.octets);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(octets);
    }

    /** Only the size: contents may be device state and do not belong in logs. */
    @Override
    public String toString() {
        return octets.length + " bytes";
    }
}
