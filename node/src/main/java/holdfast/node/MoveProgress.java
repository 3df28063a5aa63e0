package holdfast.node;

import holdfast.engine.port.GuestMemory;
import holdfast.node.api.MigrationStatus;
import holdfast.node.api.Progress;

import java.util.Locale;

/** What the operator reads while a domain moves. One thread. */
final class MoveProgress {
    private static final double MIB = 1 << 20;

    /** A rate of less than this is none. */
    private static final long FIRST_RATE_MILLIS = 400;

    private int round = -1;
    private long roundFrom;
    private long roundFromMillis;
    private long disksFromMillis = -1;
    private long disksFromBytes;

    Progress of(MigrationStatus status) {
        if (status.round() != round) {
            round = status.round();
            roundFrom = status.sentBytes();
            roundFromMillis = status.elapsedMillis();
        }
        return switch (status.phase()) {
            case "disks" -> disks(status);
            case "prepare", "perform" -> copying(status);
            case String other ->
                    new Progress(
                            other,
                            status.round(),
                            status.sentBytes(),
                            status.sentBytes(),
                            other
                                    + (status.reason().isEmpty() ? "" : ": " + status.reason())
                                    + String.format(
                                            Locale.ROOT,
                                            " (%.1f MiB sent)",
                                            status.sentBytes() / MIB),
                            status);
        };
    }

    private Progress disks(MigrationStatus status) {
        long done = 0;
        long total = 0;
        StringBuilder names = new StringBuilder();
        for (MigrationStatus.Disk disk : status.disks()) {
            done += Math.min(disk.copiedBytes(), disk.totalBytes());
            total += disk.totalBytes();
            if (disk.state().equals("copying")) {
                names.append(names.isEmpty() ? "" : ", ").append("disk").append(disk.index());
            }
        }
        if (disksFromMillis < 0) {
            disksFromMillis = status.elapsedMillis();
            disksFromBytes = done;
        }
        long millis = status.elapsedMillis() - disksFromMillis;
        double rate = millis > 0 ? (done - disksFromBytes) / MIB / millis * 1000 : 0;
        StringBuilder text = new StringBuilder();
        text.append(
                String.format(
                        Locale.ROOT,
                        "copying %s while the guest runs: %.1f of %.1f MiB",
                        names.isEmpty() ? "disks" : names,
                        done / MIB,
                        total / MIB));
        if (rate > 0) {
            text.append(
                    String.format(
                            Locale.ROOT,
                            ", %.1f MiB/s, in sync in about %.1f s",
                            rate,
                            (total - done) / MIB / rate));
        }
        return new Progress("copying-disks", 0, done, total, text.toString(), status);
    }

    private Progress copying(MigrationStatus status) {
        long total =
                status.round() == 0
                        ? status.memoryBytes()
                        : status.dirtyPages() * GuestMemory.PAGE_BYTES;
        long done = Math.min(status.sentBytes() - roundFrom, total);
        double rate = status.bytesPerSecond() / MIB;
        long sent = status.sentBytes() - roundFrom;
        long millis = status.elapsedMillis() - roundFromMillis;
        StringBuilder text = new StringBuilder();
        text.append(
                String.format(
                        Locale.ROOT,
                        "round %d, %.1f MiB sent",
                        status.round(),
                        status.sentBytes() / MIB));
        if (status.bytesPerSecond() > 0) {
            text.append(
                    String.format(
                            Locale.ROOT,
                            ", %.1f MiB/s, guest writes %d pages/s, downtime as it is %.1f ms, end"
                                    + " in about %.1f s",
                            rate,
                            status.dirtyPagesPerSecond(),
                            status.expectedDowntimeMillis(),
                            Math.max(0, total - done) / (double) status.bytesPerSecond()));
        } else if (sent > 0 && millis >= FIRST_RATE_MILLIS) {
            // Before a whole round there is this one's rate; zero pages take next to nothing of it.
            text.append(
                    String.format(
                            Locale.ROOT,
                            ", %.1f MiB/s, round ends in at most %.1f s",
                            sent / MIB / millis * 1000,
                            Math.max(0, total - done) * millis / 1000.0 / sent));
        }
        if (status.throttlePercent() > 0) {
            text.append(", slowed down by ").append(status.throttlePercent()).append(" %");
        }
        return new Progress(
                status.phase().equals("prepare") ? "preparing" : "copying",
                status.round(),
                Math.max(0, done),
                total,
                text.toString(),
                status);
    }
}
