package holdfast.wire.xen;

/** Numbers and body lengths of libxl's record types; the number is the ordinal. */
enum LibxlType {
    END(0, 0),
    LIBXC_CONTEXT(0, 0),
    EMULATOR_XENSTORE_DATA(8, XenLimits.RECORD_BYTES_MAX),
    EMULATOR_CONTEXT(8, XenLimits.RECORD_BYTES_MAX),
    CHECKPOINT_END(0, 0),
    CHECKPOINT_STATE(8, 8);

    private static final LibxlType[] BY_CODE = values();

    private final int minBytes;
    private final int maxBytes;

    LibxlType(int minBytes, int maxBytes) {
        this.minBytes = minBytes;
        this.maxBytes = maxBytes;
    }

    int code() {
        return ordinal();
    }

    int minBytes() {
        return minBytes;
    }

    int maxBytes() {
        return maxBytes;
    }

    /** The type with this number, or null. */
    static LibxlType ofCode(int code) {
        return code >= 0 && code < BY_CODE.length ? BY_CODE[code] : null;
    }

    static LibxlType of(LibxlRecord record) {
        return switch (record) {
            case LibxlRecord.End _ -> END;
            case LibxlRecord.LibxcContext _ -> LIBXC_CONTEXT;
            case LibxlRecord.EmulatorXenstoreData _ -> EMULATOR_XENSTORE_DATA;
            case LibxlRecord.EmulatorContext _ -> EMULATOR_CONTEXT;
            case LibxlRecord.CheckpointEnd _ -> CHECKPOINT_END;
            case LibxlRecord.CheckpointState _ -> CHECKPOINT_STATE;
        };
    }
}
