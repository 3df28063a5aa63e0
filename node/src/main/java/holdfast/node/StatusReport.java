package holdfast.node;

import holdfast.engine.port.OutputGate;
import holdfast.engine.remus.PrimaryState;
import holdfast.engine.remus.SecondaryState;
import holdfast.engine.reprotect.InVain;
import holdfast.engine.reprotect.ReprotectionState;
import holdfast.node.api.DiskReplication;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.ProtectionStatus;
import holdfast.node.api.RemusRequest.ArbiterKind;
import holdfast.node.api.ReprotectionStatus;
import holdfast.node.disk.DiskFigures;
import holdfast.node.link.DiskStream;
import holdfast.node.session.Arbiters;
import holdfast.node.session.PrimaryFigures;
import holdfast.node.session.ProtectedGuest;
import holdfast.node.session.RemusPrimary;
import holdfast.node.session.RemusSecondary;
import holdfast.node.session.SecondaryFigures;
import holdfast.node.store.ProtectionWish;
import holdfast.qemu.launch.DomainSpec;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.StreamEncoding;

import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** What operators see of a domain. */
final class StatusReport {
    private StatusReport() {}

    static DomainStatus of(String node, Node.Looks looks, HostedDomain domain) {
        HostedDomain.View view = domain.view();
        DomainSpec spec = view.spec();
        return new DomainStatus(
                spec.name(),
                spec.uuid().toString(),
                view.state(),
                view.role(),
                node,
                view.body().map(body -> body.qemu().qemu().process().pid()).orElse(0L),
                spec.memoryMiB(),
                spec.vcpus(),
                nics(spec),
                disks(spec),
                spec.remusBackup().orElse(null),
                protection(view.session()),
                switch (looks) {
                    case BY_ITSELF -> reprotection(view, domain.reprotection());
                    case NEVER -> notAllowed(view, domain.wish());
                },
                domain.migration().map(Migration::status).orElse(null),
                view.event().orElse(null),
                view.change());
    }

    private static List<DomainStatus.Nic> nics(DomainSpec spec) {
        List<DomainStatus.Nic> nics = new ArrayList<>();
        for (DomainSpec.Nic nic : spec.nics()) {
            nics.add(
                    switch (nic) {
                        case DomainSpec.TapNic(String mac, String tap, Optional<String> _) ->
                                new DomainStatus.Nic(nics.size(), "tap", tap, mac);
                        case DomainSpec.UserNic user ->
                                new DomainStatus.Nic(nics.size(), "user", "", user.mac());
                    });
        }
        return nics;
    }

    private static List<DomainStatus.Disk> disks(DomainSpec spec) {
        List<DomainStatus.Disk> disks = new ArrayList<>();
        for (DomainSpec.Disk disk : spec.disks()) {
            boolean written = disk.access() == DomainSpec.Access.READ_WRITE;
            disks.add(
                    new DomainStatus.Disk(
                            disks.size(),
                            disk.path().toString(),
                            lower(disk.format()),
                            lower(disk.access()),
                            disk.virtualBytes().orElse(0),
                            written ? disk.replica().toString() : null,
                            disk.peer().orElse(null)));
        }
        return disks;
    }

    private static String lower(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    private static ProtectionStatus protection(HostedDomain.Session session) {
        return switch (session) {
            case HostedDomain.Session.None _ -> null;
            case HostedDomain.Session.Primary(RemusPrimary primary, boolean holdOutput) ->
                    primary(primary, holdOutput);
            case HostedDomain.Session.Secondary(RemusSecondary secondary) -> secondary(secondary);
        };
    }

    /** Of a node whose settings forbid it: whoever waits for it must hear of that. */
    private static ReprotectionStatus notAllowed(
            HostedDomain.View view, Optional<ProtectionWish> wish) {
        return new ReprotectionStatus(
                ReprotectionStatus.State.OFF,
                List.of(),
                0,
                view.isLive() && wish.isPresent()
                        ? "it is to stay protected, but this node's settings have `reprotect:"
                                + " false`: nobody looks for another node when protection is"
                                + " lost, until `holdfast remus "
                                + view.spec().name()
                                + " NODE`"
                        : null,
                -1);
    }

    private static ReprotectionStatus reprotection(
            HostedDomain.View view, ReprotectionState state) {
        ReprotectionState shown = view.isLive() ? state : new ReprotectionState.Off();
        return switch (shown) {
            case ReprotectionState.Off _ ->
                    new ReprotectionStatus(ReprotectionStatus.State.OFF, List.of(), 0, null, -1);
            case ReprotectionState.Protected(List<String> nodes, long _, long _, InVain inVain) ->
                    new ReprotectionStatus(
                            ReprotectionStatus.State.PROTECTED, nodes, inVain.attempts(), null, -1);
            case ReprotectionState.Looking(
                            List<String> nodes,
                            int _,
                            InVain inVain,
                            long due,
                            Optional<String> failure) ->
                    new ReprotectionStatus(
                            ReprotectionStatus.State.LOOKING,
                            nodes,
                            inVain.attempts(),
                            failure.orElse(null),
                            Math.max(0, TimeUnit.NANOSECONDS.toMillis(due - System.nanoTime())));
            case ReprotectionState.Trying(
                            List<String> nodes,
                            int _,
                            InVain inVain,
                            long _,
                            Optional<String> failure) ->
                    new ReprotectionStatus(
                            ReprotectionStatus.State.PROTECTING,
                            nodes,
                            inVain.attempts(),
                            failure.orElse(null),
                            -1);
        };
    }

    private static ProtectionStatus primary(RemusPrimary session, boolean holdOutput) {
        PrimaryFigures figures = session.figures();
        OutputGate.Held held = session.held();
        LinkMessage.OpenSession opening = session.settings().opening();
        ProtectedGuest.Tracking tracking = session.tracking();
        return new ProtectionStatus(
                session.fault().isPresent() ? "broken" : name(session.state()),
                session.peerName(),
                session.settings().peer().toString(),
                (int) session.settings().interval().toMillis(),
                holdOutput,
                opening.encoding() == StreamEncoding.PLAIN,
                kind(session.settings().arbiter()),
                opening.generation(),
                time(figures.protectedSince()),
                figures.epochsCommitted(),
                figures.lastCommitAgeMillis(),
                new ProtectionStatus.Tracker(tracking.kind(), tracking.refused()),
                new ProtectionStatus.PauseMicros(
                        figures.pauseMicrosP50(),
                        figures.pauseMicrosP99(),
                        figures.pauseMicrosMax()),
                new ProtectionStatus.PauseStages(
                        figures.suspendMicros(),
                        figures.stateMicros(),
                        figures.outputMicros(),
                        figures.trackMicros(),
                        figures.copyMicros(),
                        figures.resumeMicros()),
                new ProtectionStatus.DirtyPages(figures.dirtyPagesP50(), figures.dirtyPagesP99()),
                figures.streamBytes(),
                session.sentBytes(),
                figures.checkpointsPerSecond(),
                held.frames(),
                held.bytes(),
                held.bytesPeak(),
                held.bytesMax(),
                held.framesDropped(),
                figures.backPressureMillis(),
                figures.failures(),
                replication(session));
    }

    private static ProtectionStatus secondary(RemusSecondary session) {
        SecondaryFigures figures = session.figures();
        LinkMessage.OpenSession opening = session.opening();
        return new ProtectionStatus(
                name(session.state()),
                session.peerName(),
                session.peerAddress(),
                opening.intervalMillis(),
                true,
                opening.encoding() == StreamEncoding.PLAIN,
                kind(session.arbiter()),
                opening.generation(),
                time(figures.protectedSince()),
                figures.epochsCommitted(),
                figures.lastCommitAgeMillis(),
                null,
                new ProtectionStatus.PauseMicros(0, 0, 0),
                new ProtectionStatus.PauseStages(0, 0, 0, 0, 0, 0),
                new ProtectionStatus.DirtyPages(figures.pagesP50(), figures.pagesP99()),
                0,
                0,
                figures.checkpointsPerSecond(),
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                replication(session));
    }

    private static DiskReplication replication(RemusPrimary session) {
        if (session.diskStream().isEmpty()) {
            return null;
        }
        DiskStream.Figures stream = session.diskStream().get();
        return new DiskReplication(
                session.diskFigures().stream()
                        .map(
                                disk ->
                                        new DiskReplication.Disk(
                                                disk.disk(),
                                                lower(disk.state()),
                                                disk.doneBytes(),
                                                disk.totalBytes(),
                                                disk.forwardedBytes()))
                        .toList(),
                new DiskReplication.Forwarding(
                        stream.queuedBytes(),
                        stream.waits(),
                        TimeUnit.NANOSECONDS.toMillis(stream.waitNanos())),
                null);
    }

    private static DiskReplication replication(RemusSecondary session) {
        if (session.diskFigures().isEmpty()) {
            return null;
        }
        DiskFigures figures = session.diskFigures().get();
        long committed = figures.committedEpoch().orElse(-1);
        return new DiskReplication(
                session.opening().disks().stream()
                        .map(
                                disk ->
                                        new DiskReplication.Disk(
                                                disk.index(), "replica", 0, disk.bytes(), 0))
                        .toList(),
                null,
                new DiskReplication.Replica(
                        committed,
                        figures.appliedEpoch().orElse(-1),
                        figures.bufferedBytes(),
                        figures.journalBytes(),
                        figures.spilledBytes(),
                        TimeUnit.NANOSECONDS.toMicros(
                                figures.commitNanos() / Math.max(1, committed + 1)),
                        TimeUnit.NANOSECONDS.toMillis(figures.backPressureNanos())));
    }

    static String name(PrimaryState state) {
        return state.getClass().getSimpleName().toLowerCase(Locale.ROOT);
    }

    static String name(SecondaryState state) {
        return state.getClass()
                .getSimpleName()
                .replaceAll("(?<=[a-z])(?=[A-Z])", "-")
                .toLowerCase(Locale.ROOT);
    }

    private static ArbiterKind kind(Arbiters arbiter) {
        return switch (arbiter) {
            case OPERATOR -> ArbiterKind.OPERATOR;
            case NONE -> ArbiterKind.NONE;
        };
    }

    private static String time(Optional<Instant> instant) {
        return instant.map(Instant::toString).orElse(null);
    }
}
