package holdfast.wire.xen;

/**
 * The header of a libxc image.
 *
 * @param version revision of the format, 2 or 3
 * @param order byte order of everything after this header
 */
public record ImageHeader(int version, BodyOrder order) {
    /** What Holdfast writes. */
    public static final ImageHeader WRITTEN = new ImageHeader(3, BodyOrder.LITTLE_ENDIAN);

    public ImageHeader {
        IllegalRecordException.checkRange("image header version", version, 2, 3);
    }
}
