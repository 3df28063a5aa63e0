package holdfast.wire.xen;

import java.util.Arrays;

/** Page frame numbers in no particular order: immutable, compares by content. */
public final class PfnList {
    private final long[] pfns;

    private PfnList(long[] pfns) {
        this.pfns = pfns;
    }

    public static PfnList of(long... pfns) {
        return ofOwned(pfns.clone());
    }

    static PfnList ofOwned(long[] pfns) {
        IllegalRecordException.checkRange(
                "CHECKPOINT_DIRTY_PFN_LIST count", pfns.length, 0, XenLimits.RECORD_BYTES_MAX / 8);
        for (long pfn : pfns) {
            PageList.checkPfn(pfn);
        }
        return new PfnList(pfns);
    }

    public int count() {
        return pfns.length;
    }

    public long pfn(int index) {
        return pfns[index];
    }

    /** The array itself, for the codec. */
    long[] pfns() {
        return pfns;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof PfnList that && Arrays.equals(pfns, that.pfns);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(pfns);
    }

    @Override
    public String toString() {
        return pfns.length + " PFNs";
    }
}
