package holdfast.wire.xen;

/**
 * What a libxc image says about its domain before the first record.
 *
 * @param xenMajor version of the Xen that wrote the image, unsigned 32 bits; informative
 * @param xenMinor unsigned 32 bits; informative
 */
public record DomainHeader(DomainType type, long xenMajor, long xenMinor) {
    public DomainHeader {
        IllegalRecordException.checkU32("domain header xen_major", xenMajor);
        IllegalRecordException.checkU32("domain header xen_minor", xenMinor);
    }
}
