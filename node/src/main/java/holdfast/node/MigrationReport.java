package holdfast.node;

import holdfast.engine.migrate.DestinationOutcome;
import holdfast.engine.migrate.DestinationState;
import holdfast.engine.migrate.FeatureReport;
import holdfast.engine.migrate.PrecopyPolicy;
import holdfast.engine.migrate.SourceObserver.Stage;
import holdfast.engine.migrate.SourceOutcome;
import holdfast.engine.migrate.SourceState;
import holdfast.node.api.MigrationStatus;
import holdfast.node.session.MigrationDestination;
import holdfast.node.session.MigrationFigures;
import holdfast.node.session.MigrationSource;
import holdfast.node.session.ProtectedGuest;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** What operators see of a migration. */
final class MigrationReport {
    private MigrationReport() {}

    static MigrationStatus of(MigrationSource source) {
        MigrationFigures figures = source.figures();
        SourceState state = source.state();
        Optional<SourceOutcome> outcome = source.outcome();
        Optional<PrecopyPolicy.Measured> newest = figures.newest();
        return new MigrationStatus(
                source.settings().opening().migration().toString(),
                "outgoing",
                source.peerName(),
                source.settings().peer().toString(),
                outcome.map(MigrationReport::phase).orElseGet(() -> phase(source, state)),
                source.settings().opening().generation(),
                state instanceof SourceState.Copying copying
                        ? copying.round()
                        : Math.max(0, figures.rounds() - 1),
                source.settings().opening().memoryBytes(),
                source.sentBytes(),
                newest.map(PrecopyPolicy.Measured::bytesPerSecond).orElse(0L),
                newest.map(PrecopyPolicy.Measured::dirtyPages).orElse(0L),
                newest.map(PrecopyPolicy.Measured::dirtyPagesPerSecond).orElse(0L),
                newest.map(measured -> millis(measured.restNanos())).orElse(0.0),
                figures.throttlePercent(),
                figures.totalNanos() / 1_000_000,
                millis(figures.downtimeNanos()),
                figures.finalPages(),
                figures.stateBytes(),
                new MigrationStatus.Stages(
                        figures.stagesMicros().getOrDefault(Stage.SUSPEND, 0L),
                        figures.stagesMicros().getOrDefault(Stage.SAVE, 0L),
                        figures.stagesMicros().getOrDefault(Stage.SEND, 0L),
                        figures.stagesMicros().getOrDefault(Stage.FINISH, 0L),
                        figures.stagesMicros().getOrDefault(Stage.HAND_OVER, 0L)),
                features(
                        outcome.map(SourceOutcome::reports)
                                .orElseGet(
                                        () ->
                                                source.prepared()
                                                        .map(cookie -> cookie.reports())
                                                        .orElse(List.of()))),
                outcome.map(SourceOutcome::reason).orElseGet(() -> reason(state)),
                disks(source));
    }

    private static List<MigrationStatus.Disk> disks(MigrationSource source) {
        List<ProtectedGuest.DiskFigures> figures = source.diskFigures();
        List<MigrationStatus.Disk> disks = new ArrayList<>();
        for (int i = 0; i < figures.size(); i++) {
            ProtectedGuest.DiskFigures disk = figures.get(i);
            disks.add(
                    new MigrationStatus.Disk(
                            disk.disk(),
                            source.copies().get(i).path(),
                            kebab(disk.state()),
                            disk.doneBytes(),
                            disk.totalBytes(),
                            disk.forwardedBytes()));
        }
        return disks;
    }

    static MigrationStatus of(MigrationDestination destination) {
        DestinationState state = destination.state();
        Optional<DestinationOutcome> outcome = destination.outcome();
        return new MigrationStatus(
                destination.opening().migration().toString(),
                "incoming",
                destination.peerName(),
                destination.peerAddress(),
                phase(state),
                destination.opening().generation(),
                0,
                destination.opening().memoryBytes(),
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                new MigrationStatus.Stages(0, 0, 0, 0, 0),
                features(reports(state)),
                outcome.map(DestinationOutcome::reason).orElse(""),
                List.of());
    }

    private static String phase(MigrationSource source, SourceState state) {
        return switch (state) {
            case SourceState.CopyingDisks _ -> "disks";
            case SourceState.Copying _, SourceState.Waiting _ ->
                    source.prepared().isEmpty() ? "prepare" : "perform";
            case SourceState.Suspending _, SourceState.Sending _ -> "suspended";
            case SourceState.Finishing _ -> "finish";
            case SourceState.HandedOver _ -> "confirm";
            case SourceState.Asking _ -> "asking";
            case SourceState.RollingBack _, SourceState.Resuming _, SourceState.GivenBack _ ->
                    "rolling-back";
            case SourceState.Finished(SourceOutcome outcome) -> phase(outcome);
        };
    }

    private static String phase(SourceOutcome outcome) {
        return switch (outcome) {
            case SourceOutcome.Moved _ -> "moved";
            case SourceOutcome.RolledBack _ -> "stayed";
            case SourceOutcome.DomainEnded _ -> "ended";
        };
    }

    private static String phase(DestinationState state) {
        return switch (state) {
            case DestinationState.Preparing _ -> "prepare";
            case DestinationState.Receiving _ -> "perform";
            case DestinationState.BringingUp _, DestinationState.Ready _ -> "finish";
            case DestinationState.TakingOver _ -> "confirm";
            case DestinationState.TakingDown _ -> "rolling-back";
            case DestinationState.Finished(DestinationOutcome outcome) ->
                    switch (outcome) {
                        case DestinationOutcome.Arrived _ -> "moved";
                        case DestinationOutcome.RolledBack _ -> "stayed";
                        case DestinationOutcome.Unknown _ -> "unknown";
                    };
        };
    }

    private static String reason(SourceState state) {
        return switch (state) {
            case SourceState.RollingBack(String reason, var _) -> reason;
            case SourceState.Resuming(String reason, var _) -> reason;
            case SourceState.Asking(var _, String reason) -> reason;
            case SourceState.GivenBack(var _, String reason) -> reason;
            case SourceState.CopyingDisks _,
                    SourceState.Copying _,
                    SourceState.Waiting _,
                    SourceState.Suspending _,
                    SourceState.Sending _,
                    SourceState.Finishing _,
                    SourceState.HandedOver _,
                    SourceState.Finished _ ->
                    "";
        };
    }

    private static List<FeatureReport> reports(DestinationState state) {
        return switch (state) {
            case DestinationState.BringingUp(var _, List<FeatureReport> reports) -> reports;
            case DestinationState.Ready(List<FeatureReport> reports) -> reports;
            case DestinationState.TakingOver(long _, List<FeatureReport> reports) -> reports;
            case DestinationState.TakingDown(var _, var _, List<FeatureReport> reports, var _) ->
                    reports;
            case DestinationState.Preparing _,
                    DestinationState.Receiving _,
                    DestinationState.Finished _ ->
                    List.of();
        };
    }

    private static List<MigrationStatus.Feature> features(List<FeatureReport> reports) {
        return reports.stream()
                .map(
                        report ->
                                new MigrationStatus.Feature(
                                        report.name(),
                                        kebab(report.necessity()),
                                        kebab(report.result()),
                                        report.detail(),
                                        report.micros()))
                .toList();
    }

    private static String kebab(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    private static double millis(long nanos) {
        return Math.round(nanos / 1e4) / 100.0;
    }
}
