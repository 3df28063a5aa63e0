package holdfast.node;

import holdfast.engine.port.GuestMemory;
import holdfast.engine.remus.PrimaryState;
import holdfast.node.api.Progress;
import holdfast.node.session.ProtectedGuest;

import java.util.List;
import java.util.Locale;

/** What the operator reads while protection begins. One thread. */
final class CopyProgress {
    private static final double MIB = 1 << 20;
    private static final double GIB = 1 << 30;

    private final long memoryBytes;
    private int round;
    private long roundBytes;
    private long roundFrom;
    private long roundNanos;

    /**
     * @param memoryBytes of the guest
     * @param nowNanos on the clock of {@link System#nanoTime()}
     */
    CopyProgress(long memoryBytes, long nowNanos) {
        this.memoryBytes = memoryBytes;
        this.roundBytes = memoryBytes;
        this.roundNanos = nowNanos;
    }

    /**
     * @param sentBytes on the bulk stream since the session began; zero pages are almost nothing
     * @param disks in their order
     */
    Progress at(
            PrimaryState state,
            long sentBytes,
            List<ProtectedGuest.DiskFigures> disks,
            long nowNanos) {
        return switch (state) {
            case PrimaryState.Starting _ -> {
                roundNanos = nowNanos;
                yield new Progress("preparing", 0, 0, 0, "the secondary starts its standby");
            }
            case PrimaryState.Synchronising _ -> synchronising(disks, nowNanos);
            case PrimaryState.Copying(int current, long dirtyPages) ->
                    copying(current, dirtyPages, sentBytes, nowNanos);
            case PrimaryState other ->
                    new Progress(
                            "first-checkpoint",
                            0,
                            sentBytes,
                            sentBytes,
                            "memory is copied; the first checkpoint: " + StatusReport.name(other));
        };
    }

    private Progress synchronising(List<ProtectedGuest.DiskFigures> disks, long nowNanos) {
        long done = 0;
        long total = 0;
        for (ProtectedGuest.DiskFigures disk : disks) {
            done += Math.min(disk.doneBytes(), disk.totalBytes());
            total += disk.totalBytes();
        }
        String text = "copying disks while the guest runs";
        for (ProtectedGuest.DiskFigures disk : disks) {
            if (disk.state() == ProtectedGuest.DiskState.COPYING) {
                double seconds = (nowNanos - roundNanos) / 1e9;
                text =
                        String.format(
                                Locale.ROOT,
                                "copying disk%d while the guest runs: %.1f of %.1f GiB, %.1f MiB/s",
                                disk.disk(),
                                Math.min(disk.doneBytes(), disk.totalBytes()) / GIB,
                                disk.totalBytes() / GIB,
                                seconds > 0 ? done / MIB / seconds : 0.0);
                break;
            }
        }
        return new Progress("copying-disks", 0, done, total, text);
    }

    private Progress copying(int current, long dirtyPages, long sentBytes, long nowNanos) {
        if (current != round) {
            round = current;
            roundBytes = Math.min(memoryBytes, dirtyPages * GuestMemory.PAGE_BYTES);
            roundFrom = sentBytes;
            roundNanos = nowNanos;
        }
        // Headers and device state travel on the same stream: it may carry a little more.
        long done = Math.min(sentBytes - roundFrom, roundBytes);
        double seconds = (nowNanos - roundNanos) / 1e9;
        return new Progress(
                "copying",
                current,
                done,
                roundBytes,
                String.format(
                        Locale.ROOT,
                        "copying memory while the guest runs: round %d, %.1f of %.1f MiB, %.1f"
                                + " MiB/s",
                        current,
                        done / MIB,
                        roundBytes / MIB,
                        seconds > 0 ? done / MIB / seconds : 0.0));
    }
}
