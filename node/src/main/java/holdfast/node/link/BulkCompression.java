package holdfast.node.link;

/** Whether pages are compressed on their way. */
public enum BulkCompression {
    /** Where that is quicker, as the link's and the compressor's measured speeds have it. */
    AUTO,
    /** Never: the stream travels as it is. */
    NONE,
    /** Whatever shrinks; a node that cannot unpack it refuses. */
    ZSTD
}
