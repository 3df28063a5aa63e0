package holdfast.node;

import holdfast.engine.migrate.DestinationOutcome;
import holdfast.engine.migrate.DestinationState;
import holdfast.engine.migrate.FeatureReport;
import holdfast.engine.migrate.PrecopyPolicy;
import holdfast.engine.migrate.SourceObserver.Stage;
import holdfast.engine.migrate.SourceOutcome;
import holdfast.engine.migrate.SourceState;
import holdfast.engine.port.GuestMemory;
import holdfast.node.api.MigrationStatus;
import holdfast.node.session.MigrationDestination;
import holdfast.node.session.MigrationFigures;
import holdfast.node.session.MigrationPhases;
import holdfast.node.session.MigrationSource;
import holdfast.node.session.ProtectedGuest;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

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
                outcome.map(MigrationPhases::of)
                        .orElseGet(
                                () ->
                                        MigrationPhases.of(
                                                state,
                                                source.prepared().isPresent()
                                                        ? MigrationPhases.Peer.READY
                                                        : MigrationPhases.Peer.PREPARING)),
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
                disks(source),
                endMillis(source),
                phases(source.phases()));
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
                MigrationPhases.of(state),
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
                features(destination.reports()),
                outcome.map(DestinationOutcome::reason).orElse(""),
                List.of(),
                MigrationEnd.UNKNOWN,
                phases(destination.phases()));
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

    private static List<MigrationStatus.Phase> phases(List<MigrationPhases.Entered> entered) {
        return entered.stream()
                .map(each -> new MigrationStatus.Phase(each.phase(), each.at().toString()))
                .toList();
    }

    /**
     * At the rate of the last whole round; before there is one, at this round's, in which zero
     * pages take next to nothing: then it is the longest that it may take.
     */
    private static long endMillis(MigrationSource source) {
        MigrationSource.Mark mark = source.mark();
        long nanos = System.nanoTime() - mark.nanos();
        return switch (source.state()) {
            case SourceState.CopyingDisks _ -> {
                long done = 0;
                long total = 0;
                for (ProtectedGuest.DiskFigures disk : source.diskFigures()) {
                    done += Math.min(disk.doneBytes(), disk.totalBytes());
                    total += disk.totalBytes();
                }
                yield MigrationEnd.millis(done, nanos, total - done);
            }
            case SourceState.Copying copying -> {
                long sent = source.sentBytes() - mark.sentBytes();
                Optional<PrecopyPolicy.Measured> newest = source.figures().newest();
                yield newest.isPresent() && newest.get().bytesPerSecond() > 0
                        ? MigrationEnd.millis(
                                newest.get().bytesPerSecond(),
                                TimeUnit.SECONDS.toNanos(1),
                                newest.get().dirtyPages() * GuestMemory.PAGE_BYTES - sent)
                        : MigrationEnd.millis(
                                sent, nanos, source.settings().opening().memoryBytes() - sent);
            }
            case SourceState.Waiting _,
                    SourceState.Suspending _,
                    SourceState.Sending _,
                    SourceState.Finishing _,
                    SourceState.HandedOver _,
                    SourceState.Asking _,
                    SourceState.RollingBack _,
                    SourceState.Resuming _,
                    SourceState.GivenBack _,
                    SourceState.Finished _ ->
                    MigrationEnd.UNKNOWN;
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
