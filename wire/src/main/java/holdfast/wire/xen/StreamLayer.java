package holdfast.wire.xen;

/** Which of the nested formats some bytes belong to. */
public enum StreamLayer {
    /** xl's file header. */
    XL,
    /** libxl's stream. */
    LIBXL,
    /** libxc's image. */
    LIBXC
}
