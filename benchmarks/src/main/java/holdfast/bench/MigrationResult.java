package holdfast.bench;

import java.util.List;

/** What {@code ./bench migrate --json} prints. Names are a contract with people's scripts. */
record MigrationResult(String job, RemusResult.Machine machine, List<Workload> workloads) {
    /**
     * One guest, moved by us and by QEMU.
     *
     * @param name {@code idle}, {@code redis}, {@code writer} or {@code copied}
     * @param totalVsQemu our time over QEMU's, medians; both from the order, the start of the
     *     destination's QEMU included, until the guest runs there
     * @param totalVsQemuAlone our same time over what QEMU counts itself: from {@code migrate} to
     *     {@code completed}, for a destination that was started before
     * @param downtimeVsQemu our time over QEMU's, medians
     * @param bytesVsQemu on the link, copied disks included
     */
    record Workload(
            String name,
            int memoryMib,
            double totalVsQemu,
            double totalVsQemuAlone,
            double downtimeVsQemu,
            double bytesVsQemu,
            Figures ours,
            Figures qemu) {}

    /**
     * @param totalMillis from the order until the destination's RESUME event
     * @param downtimeMillis from the source's STOP event to the destination's RESUME event
     * @param ownWordMillis the pause that was told: ours from the order to stop until the source
     *     heard that the guest runs on the destination; QEMU's by its {@code query-migrate}
     * @param aloneMillis QEMU's own count of the total; 0 for ours
     */
    record Figures(
            int migrations,
            Spread totalMillis,
            Spread downtimeMillis,
            Spread ownWordMillis,
            double aloneMillis,
            long bytes) {}

    /** Milliseconds. */
    record Spread(double p50, double max) {}
}
