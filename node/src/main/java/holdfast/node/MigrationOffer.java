package holdfast.node;

import holdfast.engine.HypervisorException;
import holdfast.engine.migrate.Cookies;
import holdfast.engine.migrate.FeaturePlan;
import holdfast.engine.migrate.PrecopyPolicy;
import holdfast.node.api.ApiException;
import holdfast.node.api.MigrateRequest;
import holdfast.node.config.DomainFile;
import holdfast.node.link.AcceptCookie;
import holdfast.node.link.BeginCookie;
import holdfast.node.link.CookieJson;
import holdfast.node.link.DiskStream;
import holdfast.node.link.NodeAddress;
import holdfast.node.session.MigrationSource;
import holdfast.qemu.disk.DiskNodes;
import holdfast.qemu.domain.QemuArrival;
import holdfast.qemu.launch.DomainSpec;
import holdfast.wire.link.LinkMessage;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/**
 * What a destination is offered, and what may come of its answer.
 *
 * @param probes files by which it finds out what it shares
 * @param staying how the domain is to stay protected
 */
record MigrationOffer(
        HostedDomain.View view,
        HostedDomain.Body body,
        MigrateRequest request,
        FeaturePlan plan,
        NodeAddress peer,
        UUID id,
        StorageProbes probes,
        Optional<BeginCookie.Staying> staying) {
    /**
     * OPEN_MIGRATION.
     *
     * @throws ApiException if the operator must say more
     */
    LinkMessage.OpenMigration opening(BeginCookie.Intent intent) {
        DomainSpec spec = PrimaryHost.seenNow(view.spec(), body);
        requireDecidable(spec);
        BeginCookie cookie =
                new BeginCookie(
                        Cookies.VERSION,
                        body.qemu().qemu().version().toString(),
                        DomainFile.write(spec),
                        QemuArrival.cpuFeatures(body.qemu().qmp()),
                        plan.features(),
                        probes.paths(),
                        new BeginCookie.Storage(
                                switch (request.storage()) {
                                    case AUTO -> BeginCookie.Wish.AUTO;
                                    case SHARED -> BeginCookie.Wish.SHARED;
                                    case COPY -> BeginCookie.Wish.COPY;
                                },
                                probes.disks()),
                        staying.orElse(null),
                        intent);
        return new LinkMessage.OpenMigration(
                id,
                spec.name(),
                view.generation(),
                spec.memoryBytes(),
                request.heartbeatMillis(),
                request.deadlineMillis(),
                request.connections(),
                CookieJson.write(cookie));
    }

    /** The destination cannot see it either, and an older one would not ask. */
    private void requireDecidable(DomainSpec spec) {
        for (BeginCookie.Disk disk : probes.disks()) {
            if (disk.probe().isEmpty() && request.storage() == MigrateRequest.Storage.AUTO) {
                throw ApiException.badRequest(
                        "disk "
                                + spec.disks().get(disk.disk()).path()
                                + " is a block device: whether the destination has the same one"
                                + " cannot be seen; say --storage shared or --storage copy");
            }
        }
    }

    /**
     * @param orderedNanos when the operator gave the order
     */
    MigrationSource.Settings settings(long orderedNanos) {
        return new MigrationSource.Settings(
                peer,
                opening(BeginCookie.Intent.MOVE),
                plan,
                new PrecopyPolicy(
                        TimeUnit.MILLISECONDS.toNanos(request.downtimeMillis()),
                        request.roundsMax(),
                        request.autoConverge()
                                ? PrecopyPolicy.Convergence.THROTTLED
                                : PrecopyPolicy.Convergence.AS_IS),
                request.timeoutSeconds() == 0
                        ? Optional.empty()
                        : Optional.of(
                                new MigrationSource.Limit(
                                        Duration.ofSeconds(request.timeoutSeconds()),
                                        switch (request.onTimeout()) {
                                            case CANCEL -> MigrationSource.OnTimeout.CANCEL;
                                            case STOP -> MigrationSource.OnTimeout.STOP;
                                        })),
                request.bandwidthMibPerSecond() << 20,
                Registry.compression(request.compress()),
                Duration.ofSeconds(request.featureSeconds()),
                orderedNanos);
    }

    /**
     * @param copies what the destination asks for
     * @throws HypervisorException if that is not what it was offered, or what the operator wants
     */
    void requireWanted(List<AcceptCookie.Copy> copies) {
        if (request.storage() == MigrateRequest.Storage.COPY
                && copies.size() < probes.disks().size()) {
            throw new HypervisorException(
                    "migrate",
                    "the destination's release cannot copy disks; run the same release on both"
                            + " nodes, or leave --storage copy out");
        }
        for (AcceptCookie.Copy copy : copies) {
            boolean known =
                    probes.disks().stream()
                            .anyMatch(d -> d.disk() == copy.disk() && d.bytes() == copy.bytes());
            if (!known || copies.stream().filter(c -> c.disk() == copy.disk()).count() > 1) {
                throw new HypervisorException(
                        "migrate",
                        "the destination asks for disk %d of %d bytes, which it was not offered"
                                .formatted(copy.disk(), copy.bytes()));
            }
        }
    }

    /** As {@link MigrationSource.DiskCopying#prepare}. */
    Optional<MigrationSource.Disks> disks(
            List<AcceptCookie.Copy> copies, Optional<DiskStream> stream, Mirroring mirroring) {
        requireWanted(copies);
        return stream.map(
                to ->
                        new MirroredDisks(
                                body.qemu().qmp(),
                                body.qemu().qemu().process().pid(),
                                body.operated().detaching(),
                                body.place().files().qmpOutOfBand(),
                                body.place().deviceState(),
                                copies.stream().map(this::source).toList(),
                                to,
                                mirroring));
    }

    private MirroredDisks.Source source(AcceptCookie.Copy copy) {
        return new MirroredDisks.Source(
                copy.disk(),
                DiskNodes.of(body.qemu().qmp(), view.spec(), copy.disk()),
                copy.bytes());
    }
}
