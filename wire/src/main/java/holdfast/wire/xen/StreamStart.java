package holdfast.wire.xen;

/** Where in the nested formats a stream begins. */
public enum StreamStart {
    /** At one of the three headers; the first eight bytes tell which. */
    DETECT,
    /** At xl's 48-byte file header. */
    XL_FILE,
    /** At a libxl stream header. */
    LIBXL_STREAM,
    /** At a libxc image header. The image is all there is; a CHECKPOINT does not leave it. */
    LIBXC_IMAGE,
    /** At a libxl record, little-endian; how libxl uses the back channel. */
    LIBXL_RECORDS,
    /** At a libxc record, little-endian; how libxc uses the back channel. */
    LIBXC_RECORDS
}
