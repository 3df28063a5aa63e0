package holdfast.cli;

import holdfast.node.api.DiskReplication;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.MigrationStatus;
import holdfast.node.api.ProtectionStatus;
import holdfast.node.api.ReprotectionStatus;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** A domain's status for people. */
final class StatusText {
    private static final int LABEL_CHARS = 14;

    private final List<String> lines = new ArrayList<>();

    private StatusText() {}

    static String of(DomainStatus status) {
        StatusText text = new StatusText();
        text.domain(status);
        if (status.protection() != null) {
            text.protection(status.protection());
        }
        text.reprotection(status.reprotection());
        if (status.migration() != null) {
            text.migration(status.migration());
        }
        if (status.lastEvent() != null) {
            text.line("last event", status.lastEvent().time() + " " + status.lastEvent().text());
        }
        return String.join("\n", text.lines);
    }

    private void line(String label, String value) {
        lines.add(label + " ".repeat(Math.max(1, LABEL_CHARS - label.length())) + value);
    }

    private void domain(DomainStatus status) {
        line("name", status.name());
        line("uuid", status.uuid());
        line(
                "state",
                status.state().text()
                        + " on "
                        + status.node()
                        + (status.pid() == 0 ? "" : ", process " + status.pid()));
        line("role", status.role().text());
        line(
                "machine",
                status.memoryMib() + " MiB, " + Figures.count(status.vcpus(), "vCPU", "vCPUs"));
        for (DomainStatus.Nic nic : status.nics()) {
            line(
                    "nic " + nic.index(),
                    (nic.kind() + " " + nic.device()).strip() + ", " + nic.mac());
        }
        for (DomainStatus.Disk disk : status.disks()) {
            line(
                    "disk " + disk.index(),
                    disk.path()
                            + ", "
                            + disk.format()
                            + ", "
                            + disk.access()
                            + ", "
                            + Figures.bytes(disk.bytes())
                            + (disk.peer() == null ? "" : ", peer " + disk.peer()));
        }
        if (status.remusBackup() != null) {
            line("backup", status.remusBackup());
        }
    }

    private void protection(ProtectionStatus is) {
        line(
                "protection",
                is.state()
                        + "; peer "
                        + is.peer()
                        + " ("
                        + is.peerAddress()
                        + "); every "
                        + is.intervalMillis()
                        + " ms; arbiter "
                        + is.arbiter().text()
                        + "; generation "
                        + is.generation());
        line(
                "  mode",
                (is.holdOutput() ? "output held" : "output not held")
                        + (is.plain() ? ", plain stream" : ""));
        if (is.protectedSince() != null) {
            line("  since", is.protectedSince());
        }
        line(
                "  commits",
                Figures.count(is.epochsCommitted(), "epoch", "epochs")
                        + (is.lastCommitAgeMillis() < 0
                                ? ""
                                : ", the last " + is.lastCommitAgeMillis() + " ms ago")
                        + String.format(Locale.ROOT, ", %.1f a second", is.checkpointsPerSecond()));
        if (is.tracker() != null) {
            line("  tracker", is.tracker().kind());
            for (String reason : is.tracker().refused()) {
                line("", "not " + reason);
            }
        }
        if (is.tracker() != null) {
            pauses(is);
        }
        line("  dirty pages", "p50 " + is.dirtyPages().p50() + ", p99 " + is.dirtyPages().p99());
        if (is.tracker() != null) {
            traffic(is);
        }
        if (is.replication() != null) {
            replication(is.replication());
        }
    }

    private void replication(DiskReplication is) {
        for (DiskReplication.Disk disk : is.disks()) {
            line(
                    "  disk " + disk.index(),
                    disk.state()
                            + switch (disk.state()) {
                                case "copying" ->
                                        ": "
                                                + Figures.bytes(disk.copiedBytes())
                                                + " of "
                                                + Figures.bytes(disk.totalBytes());
                                case "replica" -> ", " + Figures.bytes(disk.totalBytes());
                                default -> ", " + Figures.bytes(disk.forwardedBytes()) + " sent";
                            });
        }
        if (is.forwarding() != null) {
            line(
                    "  disk queue",
                    Figures.bytes(is.forwarding().queuedBytes())
                            + "; "
                            + Figures.count(is.forwarding().waits(), "write", "writes")
                            + " waited "
                            + is.forwarding().waitMillis()
                            + " ms");
        }
        if (is.replica() != null) {
            line(
                    "  disk epochs",
                    "committed "
                            + is.replica().committedEpoch()
                            + " (in "
                            + Figures.millis(is.replica().commitMicros())
                            + " ms), in the images "
                            + is.replica().appliedEpoch());
            line(
                    "  disk journal",
                    Figures.bytes(is.replica().journalBytes())
                            + ", "
                            + Figures.bytes(is.replica().bufferedBytes())
                            + " in memory; writes waited "
                            + is.replica().waitMillis()
                            + " ms");
        }
    }

    private void reprotection(ReprotectionStatus is) {
        String nodes = String.join(", ", is.candidates());
        switch (is.state()) {
            case OFF -> {}
            case PROTECTED -> line("when lost", "protected again by itself, by " + nodes);
            case PROTECTING -> line("alone", "being protected again, by one of " + nodes);
            case LOOKING ->
                    line(
                            "alone",
                            "looking for a node, one of "
                                    + nodes
                                    + "; next try in "
                                    + Figures.millis(is.nextTryMillis())
                                    + " s, "
                                    + Figures.count(is.attempts(), "attempt", "attempts")
                                    + " in vain");
        }
        if (is.lastError() != null) {
            line("  because", is.lastError());
        }
    }

    private void migration(MigrationStatus is) {
        line(
                "migration",
                is.direction()
                        + ", "
                        + is.phase()
                        + "; peer "
                        + is.peer()
                        + " ("
                        + is.peerAddress()
                        + "); generation "
                        + is.generation()
                        + "; "
                        + is.id());
        if (is.direction().equals("outgoing")) {
            line(
                    "  sent",
                    Figures.bytes(is.sentBytes())
                            + " of "
                            + Figures.bytes(is.memoryBytes())
                            + ", round "
                            + is.round()
                            + (is.bytesPerSecond() > 0
                                    ? ", " + Figures.bytes(is.bytesPerSecond()) + "/s"
                                    : "")
                            + String.format(Locale.ROOT, ", %.1f s", is.elapsedMillis() / 1000.0));
            // Both are known of a whole round only.
            if (is.bytesPerSecond() > 0) {
                line(
                        "  guest writes",
                        is.dirtyPagesPerSecond()
                                + " pages/s; downtime as it is "
                                + String.format(Locale.ROOT, "%.1f", is.expectedDowntimeMillis())
                                + " ms"
                                + (is.throttlePercent() > 0
                                        ? "; slowed down by " + is.throttlePercent() + " %"
                                        : ""));
            }
        }
        if (is.downtimeMillis() > 0) {
            line(
                    "  stood still",
                    String.format(
                            Locale.ROOT,
                            "%.1f ms of %d ms",
                            is.downtimeMillis(),
                            is.elapsedMillis()));
        }
        for (MigrationStatus.Disk disk : is.disks()) {
            line(
                    "  disk" + disk.index(),
                    disk.state()
                            + ": "
                            + Figures.bytes(disk.copiedBytes())
                            + " of "
                            + Figures.bytes(disk.totalBytes())
                            + " copied, "
                            + Figures.bytes(disk.forwardedBytes())
                            + " sent, to "
                            + disk.path());
        }
        for (MigrationStatus.Feature feature : is.features()) {
            line("  " + feature.name(), feature.result() + ": " + feature.detail());
        }
        if (!is.reason().isEmpty()) {
            line("  reason", is.reason());
        }
    }

    private void pauses(ProtectionStatus is) {
        ProtectionStatus.PauseMicros pause = is.pauseMicros();
        line(
                "  guest stops",
                "p50 "
                        + Figures.millis(pause.p50())
                        + " ms, p99 "
                        + Figures.millis(pause.p99())
                        + " ms, max "
                        + Figures.millis(pause.max())
                        + " ms");
        ProtectionStatus.PauseStages stages = is.pauseStagesMicros();
        line(
                "    of that",
                "suspend "
                        + Figures.millis(stages.suspend())
                        + ", state "
                        + Figures.millis(stages.state())
                        + ", output "
                        + Figures.millis(stages.output())
                        + ", track "
                        + Figures.millis(stages.track())
                        + ", copy "
                        + Figures.millis(stages.copy())
                        + ", resume "
                        + Figures.millis(stages.resume())
                        + " ms (p50)");
    }

    private void traffic(ProtectionStatus is) {
        line(
                "  stream",
                Figures.bytes(is.streamBytes())
                        + ", "
                        + Figures.bytes(is.linkBytes())
                        + " on the link");
        line(
                "  held output",
                Figures.count(is.heldFrames(), "frame", "frames")
                        + ", "
                        + Figures.bytes(is.heldBytes())
                        + "; peak "
                        + Figures.bytes(is.heldBytesPeak())
                        + " of "
                        + Figures.bytes(is.heldBytesMax())
                        + "; "
                        + is.framesDropped()
                        + " dropped");
        line(
                "  trouble",
                "back-pressure "
                        + is.backPressureMillis()
                        + " ms, "
                        + Figures.count(is.checkpointFailures(), "checkpoint", "checkpoints")
                        + " failed");
    }
}
