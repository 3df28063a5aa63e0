package holdfast.wire.xen;

import java.util.ArrayList;
import java.util.List;

/** Records in a few words, without guest bytes. */
final class RecordSummary {
    private RecordSummary() {}

    static String of(PageList list) {
        int[] counts = new int[16];
        long least = Long.MAX_VALUE;
        long most = 0;
        for (int i = 0; i < list.count(); i++) {
            counts[list.type(i).code()]++;
            least = Math.min(least, list.pfn(i));
            most = Math.max(most, list.pfn(i));
        }
        List<String> types = new ArrayList<>();
        for (int code = 0; code < counts.length; code++) {
            if (counts[code] > 0) {
                types.add(counts[code] + " " + PageType.ofCode(code));
            }
        }
        return "PFN " + least + ".." + most + ": " + String.join(", ", types);
    }

    static String of(LibxcRecord.Whole record) {
        return switch (record) {
            case LibxcRecord.End _,
                    LibxcRecord.Verify _,
                    LibxcRecord.Checkpoint _,
                    LibxcRecord.StaticDataEnd _ ->
                    "";
            case LibxcRecord.X86PvInfo r ->
                    r.guestWidth() * 8 + "-bit, " + r.pageTableLevels() + " page table levels";
            case LibxcRecord.X86PvP2mFrames r ->
                    "PFN "
                            + r.startPfn()
                            + ".."
                            + r.endPfn()
                            + " in "
                            + r.frames().count()
                            + " frames";
            case LibxcRecord.X86PvVcpuBasic r -> vcpu(r.vcpuId(), r.context().size());
            case LibxcRecord.X86PvVcpuExtended r -> vcpu(r.vcpuId(), r.context().size());
            case LibxcRecord.X86PvVcpuXsave r -> vcpu(r.vcpuId(), r.context().size());
            case LibxcRecord.X86PvVcpuMsrs r -> vcpu(r.vcpuId(), r.context().size());
            case LibxcRecord.SharedInfo r -> r.page().toString();
            case LibxcRecord.X86TscInfo r ->
                    "mode "
                            + r.mode()
                            + ", "
                            + r.kiloHertz()
                            + " kHz, "
                            + Long.toUnsignedString(r.elapsedNanos())
                            + " ns, incarnation "
                            + r.incarnation();
            case LibxcRecord.HvmContext r -> r.context().toString();
            case LibxcRecord.HvmParams r -> r.params().size() + " parameters";
            case LibxcRecord.Toolstack r -> r.state().toString();
            case LibxcRecord.CheckpointDirtyPfnList r -> r.pfns().toString();
            case LibxcRecord.X86CpuidPolicy r -> r.leaves().size() + " leaves";
            case LibxcRecord.X86MsrPolicy r -> r.entries().size() + " registers";
        };
    }

    static String of(LibxlRecord.Whole record) {
        return switch (record) {
            case LibxlRecord.End _, LibxlRecord.LibxcContext _, LibxlRecord.CheckpointEnd _ -> "";
            case LibxlRecord.EmulatorXenstoreData r ->
                    r.emulator() + " " + r.index() + ", " + r.entries().size() + " keys";
            case LibxlRecord.CheckpointState r -> r.control().name();
        };
    }

    private static String vcpu(long vcpuId, int bytes) {
        return "vCPU " + vcpuId + ", " + bytes + " bytes";
    }
}
