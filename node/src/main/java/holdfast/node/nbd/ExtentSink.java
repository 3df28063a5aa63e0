package holdfast.node.nbd;

/** Takes extents in the order of their offsets, without gaps. */
@FunctionalInterface
public interface ExtentSink {
    /** What a range of an export is like. */
    enum State {
        /** Allocated, or not known. */
        DATA,
        /** Allocated, and reads as zeros. */
        ZERO,
        /** Not allocated, and reads as zeros. */
        HOLE
    }

    /**
     * @param lengthBytes above 0; what goes beyond the range asked about is cut off
     * @return whether more are wanted; an extent offered after {@code false} is ignored
     */
    boolean extent(long lengthBytes, State state);
}
