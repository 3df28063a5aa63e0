package holdfast.sim.guest;

import java.nio.ByteBuffer;

/**
 * A frame on the simulated network.
 *
 * @param kind who speaks
 * @param number of the request
 * @param value the answer: drawn at random when the request was first answered, so that two copies
 *     that answered it independently contradict each other
 */
public record Frame(Kind kind, long number, long value) {
    /** Who speaks. */
    public enum Kind {
        /** The client. */
        REQUEST,
        /** The guest. */
        ACK
    }

    static final int BYTES = 1 + 2 * Long.BYTES;

    public ByteBuffer encode() {
        return ByteBuffer.allocate(BYTES)
                .put((byte) kind.ordinal())
                .putLong(number)
                .putLong(value)
                .flip();
    }

    /** Takes one frame off the front. */
    public static Frame decode(ByteBuffer bytes) {
        return new Frame(Kind.values()[bytes.get()], bytes.getLong(), bytes.getLong());
    }
}
