package holdfast.wire;

/**
 * The stream ended inside a header, a record or a frame. An end exactly between two records is not
 * this: readers report it as an ordinary event, for it can be a peer that died.
 */
public final class TruncatedStreamException extends ProtocolException {
    /**
     * @param stream what was read
     * @param offset where the incomplete unit begins, bytes from the start of the stream
     * @param unit the header, record or frame that is incomplete
     * @param expectedBytes bytes the unit needs, at least
     * @param foundBytes bytes there were
     */
    public TruncatedStreamException(
            String stream, long offset, String unit, long expectedBytes, long foundBytes) {
        super(
                stream,
                offset,
                unit,
                expectedBytes + " bytes",
                "end of stream after " + foundBytes + " bytes");
    }
}
