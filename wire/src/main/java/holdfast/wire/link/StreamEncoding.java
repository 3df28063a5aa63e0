package holdfast.wire.link;

/** How pages travel on the bulk stream. */
public enum StreamEncoding {
    /** Whole pages: byte for byte a Xen stream that any reader of the format accepts. */
    PLAIN,
    /** Zero pages and differences against the last committed content where they are shorter. */
    DELTA
}
