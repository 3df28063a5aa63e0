package holdfast.wire;

/**
 * A peer or a file broke the rules of a wire format. It ends the session that read it and is never
 * a reason to fail over: what the bytes were worth before the offset stays true.
 */
public sealed class ProtocolException extends RuntimeException permits TruncatedStreamException {
    /** The value of {@link #offset()} when the place in the stream is not known. */
    public static final long OFFSET_UNKNOWN = -1;

    private final String stream;
    private final long offset;
    private final String field;
    private final String expected;
    private final String found;

    /**
     * @param stream what was read, in an operator's words ("libxc image", "colo messages")
     * @param offset bytes from the start of that stream, or {@link #OFFSET_UNKNOWN}
     * @param field record and field, or the rule, that was broken
     * @param expected what the format allows there
     * @param found what was there
     */
    public ProtocolException(
            String stream, long offset, String field, String expected, String found) {
        super(
                stream
                        + (offset == OFFSET_UNKNOWN ? "" : " at offset " + offset)
                        + ": "
                        + field
                        + ": expected "
                        + expected
                        + ", found "
                        + found);
        this.stream = stream;
        this.offset = offset;
        this.field = field;
        this.expected = expected;
        this.found = found;
    }

    /** What was read. */
    public String stream() {
        return stream;
    }

    /** Bytes from the start of the stream to the broken field, or {@link #OFFSET_UNKNOWN}. */
    public long offset() {
        return offset;
    }

    /** The record and field, or the rule, that was broken. */
    public String field() {
        return field;
    }

    public String expected() {
        return expected;
    }

    public String found() {
        return found;
    }
}
