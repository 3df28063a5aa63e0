package holdfast.wire.xen;

import holdfast.wire.Bytes;
import holdfast.wire.xen.LibxcRecord.HvmParams;
import holdfast.wire.xen.LibxcRecord.X86CpuidPolicy;
import holdfast.wire.xen.LibxcRecord.X86MsrPolicy;

import java.util.ArrayList;
import java.util.List;

/** Bodies of libxc records. Framing is the stream reader's and writer's. */
final class LibxcCodec {
    private static final int HVM_PARAM_BYTES = 16;
    private static final int CPUID_LEAF_BYTES = 24;
    private static final int MSR_ENTRY_BYTES = 16;

    private LibxcCodec() {}

    /** Bytes of a record's body; for bulk records without the bulk. */
    static long bodyBytes(LibxcRecord record) {
        return switch (record) {
            case LibxcRecord.End _,
                    LibxcRecord.Verify _,
                    LibxcRecord.Checkpoint _,
                    LibxcRecord.StaticDataEnd _ ->
                    0;
            case LibxcRecord.PageData(PageList pages) -> 8 + 8L * pages.count();
            case LibxcRecord.PageDelta(DeltaList pages) -> deltaListBytes(pages.count());
            case LibxcRecord.X86PvInfo _ -> 8;
            case LibxcRecord.X86PvP2mFrames r -> 8 + 8L * r.frames().count();
            case LibxcRecord.X86PvVcpuBasic r -> 8 + r.context().size();
            case LibxcRecord.X86PvVcpuExtended r -> 8 + r.context().size();
            case LibxcRecord.X86PvVcpuXsave r -> 8 + r.context().size();
            case LibxcRecord.X86PvVcpuMsrs r -> 8 + r.context().size();
            case LibxcRecord.SharedInfo(Bytes page) -> page.size();
            case LibxcRecord.X86TscInfo _ -> 24;
            case LibxcRecord.HvmContext(Bytes context) -> context.size();
            case HvmParams r -> 8 + (long) HVM_PARAM_BYTES * r.params().size();
            case LibxcRecord.Toolstack(Bytes state) -> state.size();
            case LibxcRecord.CheckpointDirtyPfnList(PfnList pfns) -> 8L * pfns.count();
            case X86CpuidPolicy r -> (long) CPUID_LEAF_BYTES * r.leaves().size();
            case X86MsrPolicy r -> (long) MSR_ENTRY_BYTES * r.entries().size();
        };
    }

    /** Bytes from the start of a PAGE_DELTA body to its first delta. */
    static long deltaListBytes(int count) {
        long unpadded = 8 + 12L * count;
        return unpadded + RecordFraming.paddingBytes(unpadded);
    }

    /** Writes the body; of bulk records what stands before the bulk. */
    static void encode(LibxcRecord record, OctetWriter out) {
        switch (record) {
            case LibxcRecord.End _,
                    LibxcRecord.Verify _,
                    LibxcRecord.Checkpoint _,
                    LibxcRecord.StaticDataEnd _ -> {}
            case LibxcRecord.PageData(PageList pages) ->
                    encodePageList(pages.entries(), 0, pages.count(), out);
            case LibxcRecord.PageDelta(DeltaList pages) ->
                    encodeDeltaList(pages.entries(), pages.lengths(), pages.count(), out);
            case LibxcRecord.X86PvInfo r -> {
                out.u8(r.guestWidth());
                out.u8(r.pageTableLevels());
                out.zeros(6);
            }
            case LibxcRecord.X86PvP2mFrames r -> {
                out.u32(r.startPfn());
                out.u32(r.endPfn());
                out.longs(r.frames().pfns(), 0, r.frames().count());
            }
            case LibxcRecord.X86PvVcpuBasic r -> encodeVcpu(r.vcpuId(), r.context(), out);
            case LibxcRecord.X86PvVcpuExtended r -> encodeVcpu(r.vcpuId(), r.context(), out);
            case LibxcRecord.X86PvVcpuXsave r -> encodeVcpu(r.vcpuId(), r.context(), out);
            case LibxcRecord.X86PvVcpuMsrs r -> encodeVcpu(r.vcpuId(), r.context(), out);
            case LibxcRecord.SharedInfo(Bytes page) -> out.bytes(page);
            case LibxcRecord.X86TscInfo r -> {
                out.u32(r.mode());
                out.u32(r.kiloHertz());
                out.u64(r.elapsedNanos());
                out.u32(r.incarnation());
                out.u32(0);
            }
            case LibxcRecord.HvmContext(Bytes context) -> out.bytes(context);
            case HvmParams(List<HvmParams.Param> params) -> {
                out.u32(params.size());
                out.u32(0);
                for (HvmParams.Param param : params) {
                    out.u64(param.index());
                    out.u64(param.value());
                }
            }
            case LibxcRecord.Toolstack(Bytes state) -> out.bytes(state);
            case LibxcRecord.CheckpointDirtyPfnList(PfnList pfns) ->
                    out.longs(pfns.pfns(), 0, pfns.count());
            case X86CpuidPolicy(List<X86CpuidPolicy.Leaf> leaves) -> {
                for (X86CpuidPolicy.Leaf leaf : leaves) {
                    out.u32(leaf.leaf());
                    out.u32(leaf.subleaf());
                    out.u32(leaf.eax());
                    out.u32(leaf.ebx());
                    out.u32(leaf.ecx());
                    out.u32(leaf.edx());
                }
            }
            case X86MsrPolicy(List<X86MsrPolicy.Entry> entries) -> {
                for (X86MsrPolicy.Entry entry : entries) {
                    out.u32(entry.index());
                    out.u32(entry.flags());
                    out.u64(entry.value());
                }
            }
        }
    }

    static void encodePageList(long[] entries, int from, int count, OctetWriter out) {
        out.u32(count);
        out.u32(0);
        out.longs(entries, from, count);
    }

    static void encodeDeltaList(long[] entries, int[] lengths, int count, OctetWriter out) {
        out.u32(count);
        out.u32(0);
        out.longs(entries, 0, count);
        out.ints(lengths, 0, count);
        out.zeros((count & 1) * 4L);
    }

    private static void encodeVcpu(long vcpuId, Bytes context, OctetWriter out) {
        out.u32(vcpuId);
        out.u32(0);
        out.bytes(context);
    }

    /**
     * Decodes a body whose length fits the type. Of bulk records it reads the list and leaves
     * {@code body} standing at the bulk, which is checked to be exactly as long as the list says.
     */
    static LibxcRecord decode(LibxcType type, OctetReader body) {
        long offset = body.offset();
        try {
            LibxcRecord record = decodeChecked(type, body);
            long bulk =
                    switch (record) {
                        case LibxcRecord.PageData(PageList pages) -> pages.dataBytes();
                        case LibxcRecord.PageDelta(DeltaList pages) -> pages.deltaBytes();
                        case LibxcRecord.Whole _ -> 0;
                    };
            if (body.remaining() != bulk) {
                throw body.broken(
                        body.offset(),
                        type + " body",
                        bulk + " bytes after its fields",
                        body.remaining() + " bytes");
            }
            return record;
        } catch (IllegalRecordException e) {
            throw body.broken(offset, e);
        }
    }

    private static LibxcRecord decodeChecked(LibxcType type, OctetReader body) {
        return switch (type) {
            case END -> new LibxcRecord.End();
            case PAGE_DATA -> new LibxcRecord.PageData(decodePageList(body));
            case PAGE_DELTA -> new LibxcRecord.PageDelta(decodeDeltaList(body));
            case X86_PV_INFO -> {
                int width = body.u8("X86_PV_INFO guest_width");
                int levels = body.u8("X86_PV_INFO pt_levels");
                body.skip("X86_PV_INFO reserved", 6);
                yield new LibxcRecord.X86PvInfo(width, levels);
            }
            case X86_PV_P2M_FRAMES -> {
                long start = body.u32("X86_PV_P2M_FRAMES start_pfn");
                long end = body.u32("X86_PV_P2M_FRAMES end_pfn");
                yield new LibxcRecord.X86PvP2mFrames(start, end, decodePfns(type, body));
            }
            case X86_PV_VCPU_BASIC ->
                    new LibxcRecord.X86PvVcpuBasic(decodeVcpuId(type, body), rest(type, body));
            case X86_PV_VCPU_EXTENDED ->
                    new LibxcRecord.X86PvVcpuExtended(decodeVcpuId(type, body), rest(type, body));
            case X86_PV_VCPU_XSAVE ->
                    new LibxcRecord.X86PvVcpuXsave(decodeVcpuId(type, body), rest(type, body));
            case X86_PV_VCPU_MSRS ->
                    new LibxcRecord.X86PvVcpuMsrs(decodeVcpuId(type, body), rest(type, body));
            case SHARED_INFO -> new LibxcRecord.SharedInfo(rest(type, body));
            case X86_TSC_INFO -> {
                long mode = body.u32("X86_TSC_INFO mode");
                long kiloHertz = body.u32("X86_TSC_INFO khz");
                long nanos = body.u64("X86_TSC_INFO nsec");
                long incarnation = body.u32("X86_TSC_INFO incarnation");
                body.skip("X86_TSC_INFO reserved", 4);
                yield new LibxcRecord.X86TscInfo(mode, kiloHertz, nanos, incarnation);
            }
            case HVM_CONTEXT -> new LibxcRecord.HvmContext(rest(type, body));
            case HVM_PARAMS -> decodeHvmParams(body);
            case TOOLSTACK -> new LibxcRecord.Toolstack(rest(type, body));
            case VERIFY -> new LibxcRecord.Verify();
            case CHECKPOINT -> new LibxcRecord.Checkpoint();
            case CHECKPOINT_DIRTY_PFN_LIST ->
                    new LibxcRecord.CheckpointDirtyPfnList(decodePfns(type, body));
            case STATIC_DATA_END -> new LibxcRecord.StaticDataEnd();
            case X86_CPUID_POLICY -> decodeCpuidPolicy(body);
            case X86_MSR_POLICY -> decodeMsrPolicy(body);
        };
    }

    private static PageList decodePageList(OctetReader body) {
        int count = decodeCount("PAGE_DATA", body, 8);
        return PageList.ofOwnedEntries(body.longs("PAGE_DATA entries", count));
    }

    private static DeltaList decodeDeltaList(OctetReader body) {
        int count = decodeCount("PAGE_DELTA", body, 12);
        long[] entries = body.longs("PAGE_DELTA entries", count);
        int[] lengths = body.ints("PAGE_DELTA lengths", count);
        body.skip("PAGE_DELTA padding", (count & 1) * 4L);
        return DeltaList.ofOwned(entries, lengths);
    }

    /** Reads count and reserved word of a list of pages; nothing is allocated before the check. */
    private static int decodeCount(String name, OctetReader body, int entryBytes) {
        long at = body.offset();
        long count = body.u32(name + " count");
        body.skip(name + " reserved", 4);
        long most = Math.min(XenLimits.RECORD_PAGES_MAX, body.remaining() / entryBytes);
        if (count < 1 || count > most) {
            throw body.broken(at, name + " count", "1.." + most, Long.toString(count));
        }
        return (int) count;
    }

    private static HvmParams decodeHvmParams(OctetReader body) {
        long at = body.offset();
        long count = body.u32("HVM_PARAMS count");
        body.skip("HVM_PARAMS reserved", 4);
        if (count * HVM_PARAM_BYTES != body.remaining()) {
            throw body.broken(
                    at,
                    "HVM_PARAMS count",
                    "one for each " + HVM_PARAM_BYTES + " of " + body.remaining() + " bytes",
                    Long.toString(count));
        }
        List<HvmParams.Param> params = new ArrayList<>((int) count);
        for (long i = 0; i < count; i++) {
            params.add(
                    new HvmParams.Param(
                            body.u64("HVM_PARAMS index"), body.u64("HVM_PARAMS value")));
        }
        return new HvmParams(params);
    }

    private static X86CpuidPolicy decodeCpuidPolicy(OctetReader body) {
        int count = countOf(LibxcType.X86_CPUID_POLICY, body, CPUID_LEAF_BYTES);
        List<X86CpuidPolicy.Leaf> leaves = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            leaves.add(
                    new X86CpuidPolicy.Leaf(
                            body.int32("X86_CPUID_POLICY leaf"),
                            body.int32("X86_CPUID_POLICY subleaf"),
                            body.int32("X86_CPUID_POLICY eax"),
                            body.int32("X86_CPUID_POLICY ebx"),
                            body.int32("X86_CPUID_POLICY ecx"),
                            body.int32("X86_CPUID_POLICY edx")));
        }
        return new X86CpuidPolicy(leaves);
    }

    private static X86MsrPolicy decodeMsrPolicy(OctetReader body) {
        int count = countOf(LibxcType.X86_MSR_POLICY, body, MSR_ENTRY_BYTES);
        List<X86MsrPolicy.Entry> entries = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            entries.add(
                    new X86MsrPolicy.Entry(
                            body.int32("X86_MSR_POLICY index"),
                            body.int32("X86_MSR_POLICY flags"),
                            body.u64("X86_MSR_POLICY value")));
        }
        return new X86MsrPolicy(entries);
    }

    private static PfnList decodePfns(LibxcType type, OctetReader body) {
        return PfnList.ofOwned(body.longs(type + " entries", countOf(type, body, 8)));
    }

    /** How many whole elements the rest of the body holds; a broken one is refused. */
    private static int countOf(LibxcType type, OctetReader body, int elementBytes) {
        if (body.remaining() % elementBytes != 0) {
            throw body.broken(
                    body.offset(),
                    type + " body",
                    "a multiple of " + elementBytes + " bytes",
                    body.remaining() + " bytes");
        }
        return Math.toIntExact(body.remaining() / elementBytes);
    }

    private static long decodeVcpuId(LibxcType type, OctetReader body) {
        long vcpuId = body.u32(type + " vcpu_id");
        body.skip(type + " reserved", 4);
        return vcpuId;
    }

    private static Bytes rest(LibxcType type, OctetReader body) {
        return body.bytes(type + " body", body.remaining());
    }
}
