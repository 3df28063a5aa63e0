package holdfast.wire.xen;

import java.util.Arrays;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;

/** Numbers and body lengths of libxc's record types, as a codec meets them. */
enum LibxcType {
    END(0x00, 0, 0),
    PAGE_DATA(0x01, 16, XenLimits.PAGE_DATA_BYTES_MAX),
    X86_PV_INFO(0x02, 8, 8),
    X86_PV_P2M_FRAMES(0x03, 16, XenLimits.RECORD_BYTES_MAX),
    X86_PV_VCPU_BASIC(0x04, 8, XenLimits.RECORD_BYTES_MAX),
    X86_PV_VCPU_EXTENDED(0x05, 8, XenLimits.RECORD_BYTES_MAX),
    X86_PV_VCPU_XSAVE(0x06, 8, XenLimits.RECORD_BYTES_MAX),
    SHARED_INFO(0x07, XenLimits.PAGE_BYTES, XenLimits.PAGE_BYTES),
    X86_TSC_INFO(0x08, 24, 24),
    HVM_CONTEXT(0x09, 0, XenLimits.RECORD_BYTES_MAX),
    HVM_PARAMS(0x0A, 8, XenLimits.RECORD_BYTES_MAX),
    TOOLSTACK(0x0B, 0, XenLimits.RECORD_BYTES_MAX),
    X86_PV_VCPU_MSRS(0x0C, 8, XenLimits.RECORD_BYTES_MAX),
    VERIFY(0x0D, 0, 0),
    CHECKPOINT(0x0E, 0, 0),
    CHECKPOINT_DIRTY_PFN_LIST(0x0F, 0, XenLimits.RECORD_BYTES_MAX),
    STATIC_DATA_END(0x10, 0, 0),
    X86_CPUID_POLICY(0x11, 0, XenLimits.RECORD_BYTES_MAX),
    X86_MSR_POLICY(0x12, 0, XenLimits.RECORD_BYTES_MAX),
    PAGE_DELTA(0x4846_0001, 24, XenLimits.PAGE_DELTA_BYTES_MAX);

    private static final Map<Integer, LibxcType> BY_CODE =
            Arrays.stream(values()).collect(Collectors.toMap(t -> t.code, Function.identity()));

    private final int code;
    private final int minBytes;
    private final int maxBytes;

    LibxcType(int code, int minBytes, int maxBytes) {
        this.code = code;
        this.minBytes = minBytes;
        this.maxBytes = maxBytes;
    }

    int code() {
        return code;
    }

    int minBytes() {
        return minBytes;
    }

    int maxBytes() {
        return maxBytes;
    }

    /** The type with this number, or null. */
    static LibxcType ofCode(int code) {
        return BY_CODE.get(code);
    }

    static LibxcType of(LibxcRecord record) {
        return switch (record) {
            case LibxcRecord.End _ -> END;
            case LibxcRecord.PageData _ -> PAGE_DATA;
            case LibxcRecord.PageDelta _ -> PAGE_DELTA;
            case LibxcRecord.X86PvInfo _ -> X86_PV_INFO;
            case LibxcRecord.X86PvP2mFrames _ -> X86_PV_P2M_FRAMES;
            case LibxcRecord.X86PvVcpuBasic _ -> X86_PV_VCPU_BASIC;
            case LibxcRecord.X86PvVcpuExtended _ -> X86_PV_VCPU_EXTENDED;
            case LibxcRecord.X86PvVcpuXsave _ -> X86_PV_VCPU_XSAVE;
            case LibxcRecord.X86PvVcpuMsrs _ -> X86_PV_VCPU_MSRS;
            case LibxcRecord.SharedInfo _ -> SHARED_INFO;
            case LibxcRecord.X86TscInfo _ -> X86_TSC_INFO;
            case LibxcRecord.HvmContext _ -> HVM_CONTEXT;
            case LibxcRecord.HvmParams _ -> HVM_PARAMS;
            case LibxcRecord.Toolstack _ -> TOOLSTACK;
            case LibxcRecord.Verify _ -> VERIFY;
            case LibxcRecord.Checkpoint _ -> CHECKPOINT;
            case LibxcRecord.CheckpointDirtyPfnList _ -> CHECKPOINT_DIRTY_PFN_LIST;
            case LibxcRecord.StaticDataEnd _ -> STATIC_DATA_END;
            case LibxcRecord.X86CpuidPolicy _ -> X86_CPUID_POLICY;
            case LibxcRecord.X86MsrPolicy _ -> X86_MSR_POLICY;
        };
    }
}
