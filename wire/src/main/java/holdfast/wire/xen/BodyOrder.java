package holdfast.wire.xen;

import java.nio.ByteOrder;

/** Byte order of everything after an image's or a libxl stream's own header. */
public enum BodyOrder {
    /** Written by x86 and by Holdfast. */
    LITTLE_ENDIAN(ByteOrder.LITTLE_ENDIAN),
    /** Only read. */
    BIG_ENDIAN(ByteOrder.BIG_ENDIAN);

    private final ByteOrder byteOrder;

    BodyOrder(ByteOrder byteOrder) {
        this.byteOrder = byteOrder;
    }

    ByteOrder byteOrder() {
        return byteOrder;
    }
}
