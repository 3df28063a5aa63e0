package holdfast.wire.xen;

/** Which device model wrote a libxl emulator record. */
public enum EmulatorKind {
    /** Not told. */
    UNKNOWN,
    /** Xen's own fork of QEMU. */
    TRADITIONAL,
    /** QEMU itself. */
    UPSTREAM_QEMU
}
