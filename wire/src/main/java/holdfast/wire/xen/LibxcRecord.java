package holdfast.wire.xen;

import holdfast.wire.Bytes;

import java.util.List;

/**
 * One record of a libxc image. A record cannot hold an illegal value: constructors throw {@link
 * IllegalArgumentException}, decoders report the same rules with their offset. Numbers of 32 bits
 * are unsigned and held as {@code long}.
 *
 * @spec https://xenbits.xen.org/docs/unstable/specs/libxc-migration-stream.html LibXenCtrl Domain
 *     Image Format
 */
public sealed interface LibxcRecord permits LibxcRecord.Whole, LibxcRecord.Bulk {

    /** A record that holds all of its body. */
    sealed interface Whole extends LibxcRecord {}

    /** A record that only lists what its body carries; the bytes themselves stream past it. */
    sealed interface Bulk extends LibxcRecord {}

    /** Ends the image. */
    record End() implements Whole {}

    /** Pages; the bytes of those that carry data follow the list back to back. */
    record PageData(PageList pages) implements Bulk {}

    /**
     * Holdfast's own extension: pages as differences against what the reader already holds. Never
     * in a stream that another implementation reads.
     */
    record PageDelta(DeltaList pages) implements Bulk {}

    /**
     * How a PV guest sees its own page tables.
     *
     * @param guestWidth bytes of a machine word, 4 or 8
     * @param pageTableLevels 3 for width 4, 4 for width 8
     */
    record X86PvInfo(int guestWidth, int pageTableLevels) implements Whole {
        public X86PvInfo {
            if (guestWidth != 4 && guestWidth != 8) {
                throw new IllegalRecordException(
                        "X86_PV_INFO guest_width", "4 or 8", Integer.toString(guestWidth));
            }
            int levels = guestWidth == 8 ? 4 : 3;
            IllegalRecordException.checkRange(
                    "X86_PV_INFO pt_levels", pageTableLevels, levels, levels);
        }
    }

    /**
     * The frames that hold a PV guest's P2M table.
     *
     * @param startPfn first PFN the frames cover
     * @param endPfn last PFN the frames cover, inclusive as in the format
     * @param frames one for each page of the table from the one with {@code startPfn} to the one
     *     with {@code endPfn}
     */
    record X86PvP2mFrames(long startPfn, long endPfn, PfnList frames) implements Whole {
        public X86PvP2mFrames {
            IllegalRecordException.checkU32("X86_PV_P2M_FRAMES start_pfn", startPfn);
            IllegalRecordException.checkU32("X86_PV_P2M_FRAMES end_pfn", endPfn);
            IllegalRecordException.checkRange("X86_PV_P2M_FRAMES start_pfn", startPfn, 0, endPfn);
            long wide = framesCovering(startPfn, endPfn, 8);
            long narrow = framesCovering(startPfn, endPfn, 4);
            if (frames.count() != wide && frames.count() != narrow) {
                throw new IllegalRecordException(
                        "X86_PV_P2M_FRAMES frames",
                        wide + " (64-bit guest) or " + narrow + " (32-bit guest)",
                        Integer.toString(frames.count()));
            }
        }

        /** Pages of a P2M table of {@code guestWidth}-byte entries that hold these PFNs. */
        static long framesCovering(long startPfn, long endPfn, int guestWidth) {
            int entriesPerFrame = XenLimits.PAGE_BYTES / guestWidth;
            return endPfn / entriesPerFrame - startPfn / entriesPerFrame + 1;
        }
    }

    /** Registers of a PV guest's vCPU. */
    record X86PvVcpuBasic(long vcpuId, Bytes context) implements Whole {
        public X86PvVcpuBasic {
            IllegalRecordException.checkU32("X86_PV_VCPU_BASIC vcpu_id", vcpuId);
            IllegalRecordException.checkRange(
                    "X86_PV_VCPU_BASIC context bytes",
                    context.size(),
                    1,
                    XenLimits.RECORD_BYTES_MAX - 8);
        }
    }

    /** Further registers of a PV guest's vCPU; empty only in streams of Xen 4.6 to 4.8. */
    record X86PvVcpuExtended(long vcpuId, Bytes context) implements Whole {
        public X86PvVcpuExtended {
            IllegalRecordException.checkU32("X86_PV_VCPU_EXTENDED vcpu_id", vcpuId);
        }
    }

    /** XSAVE area of a PV guest's vCPU; empty only in streams of Xen 4.6 to 4.8. */
    record X86PvVcpuXsave(long vcpuId, Bytes context) implements Whole {
        public X86PvVcpuXsave {
            IllegalRecordException.checkU32("X86_PV_VCPU_XSAVE vcpu_id", vcpuId);
        }
    }

    /** Model-specific registers of a PV guest's vCPU; empty only in streams of Xen 4.6 to 4.8. */
    record X86PvVcpuMsrs(long vcpuId, Bytes context) implements Whole {
        public X86PvVcpuMsrs {
            IllegalRecordException.checkU32("X86_PV_VCPU_MSRS vcpu_id", vcpuId);
        }
    }

    /** A PV guest's shared info page. */
    record SharedInfo(Bytes page) implements Whole {
        public SharedInfo {
            IllegalRecordException.checkRange(
                    "SHARED_INFO bytes", page.size(), XenLimits.PAGE_BYTES, XenLimits.PAGE_BYTES);
        }
    }

    /**
     * How the guest sees time stamps.
     *
     * @param mode Xen's TSC mode
     * @param kiloHertz frequency of the guest's TSC
     * @param elapsedNanos Xen's elapsed time, unsigned
     * @param incarnation how often the domain has moved
     */
    record X86TscInfo(long mode, long kiloHertz, long elapsedNanos, long incarnation)
            implements Whole {
        public X86TscInfo {
            IllegalRecordException.checkU32("X86_TSC_INFO mode", mode);
            IllegalRecordException.checkU32("X86_TSC_INFO khz", kiloHertz);
            IllegalRecordException.checkU32("X86_TSC_INFO incarnation", incarnation);
        }
    }

    /** The hypervisor's state of an HVM guest: vCPUs and the devices that Xen emulates. */
    record HvmContext(Bytes context) implements Whole {}

    /** Parameters of an HVM guest; empty only in streams of Xen 4.6 to 4.8. */
    record HvmParams(List<Param> params) implements Whole {
        /** One parameter; both numbers are unsigned. */
        public record Param(long index, long value) {}

        public HvmParams {
            params = List.copyOf(params);
        }
    }

    /** State of a toolstack before libxl streams existed; deprecated, opaque. */
    record Toolstack(Bytes state) implements Whole {}

    /** All memory was sent; page data that follows is for comparison. */
    record Verify() implements Whole {}

    /** Everything since the last one is one consistent state. */
    record Checkpoint() implements Whole {}

    /** Pages the secondary wrote since the last checkpoint; back channel only. */
    record CheckpointDirtyPfnList(PfnList pfns) implements Whole {}

    /** Nothing that follows is fixed for the domain's whole life. */
    record StaticDataEnd() implements Whole {}

    /** What CPUID tells the guest. */
    record X86CpuidPolicy(List<Leaf> leaves) implements Whole {
        /** One leaf: input registers and the four outputs, each unsigned 32 bits as an int. */
        public record Leaf(int leaf, int subleaf, int eax, int ebx, int ecx, int edx) {}

        public X86CpuidPolicy {
            leaves = List.copyOf(leaves);
        }
    }

    /** Which model-specific registers the guest sees. */
    record X86MsrPolicy(List<Entry> entries) implements Whole {
        /** One register; index and flags are unsigned 32 bits as an int. */
        public record Entry(int index, int flags, long value) {}

        public X86MsrPolicy {
            entries = List.copyOf(entries);
        }
    }
}
