package holdfast.wire.xen;

/**
 * The header of a libxl stream, version 2.
 *
 * @param order byte order of the libxl records that follow
 * @param origin who made the stream
 */
public record LibxlHeader(BodyOrder order, Origin origin) {
    /** Who made a libxl stream. */
    public enum Origin {
        /** libxl or Holdfast itself. */
        NATIVE,
        /** Xen's converter, from a stream of Xen 4.5 or older. */
        LEGACY_CONVERTER
    }

    /** What Holdfast writes. */
    public static final LibxlHeader WRITTEN =
            new LibxlHeader(BodyOrder.LITTLE_ENDIAN, Origin.NATIVE);
}
