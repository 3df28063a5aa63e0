package holdfast.cli;

import holdfast.node.api.ApiException;
import holdfast.node.api.AttachRequest;
import holdfast.node.api.DiskReplication;
import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.MigrationStatus;
import holdfast.node.api.NodeApi;
import holdfast.node.api.NodeInfo;
import holdfast.node.api.Progress;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.ProtectionStatus;
import holdfast.node.api.RemusRequest;
import holdfast.node.api.ReprotectionStatus;
import holdfast.node.api.RestoreRequest;
import holdfast.node.api.SaveRequest;
import holdfast.node.api.SaveResult;

import java.util.ArrayList;
import java.util.List;

/** A node that always answers the same, and remembers what it was asked. */
final class FixedNode implements NodeApi {
    /** In its second round, with a disk that is copied. */
    static final MigrationStatus MIGRATION =
            new MigrationStatus(
                    "7d1c",
                    "outgoing",
                    "hostB",
                    "hostB:7227",
                    "perform",
                    0,
                    1,
                    1 << 28,
                    1 << 27,
                    1 << 27,
                    60,
                    900,
                    1.5,
                    0,
                    320,
                    12.5,
                    60,
                    120_000,
                    new MigrationStatus.Stages(1, 2, 3, 4, 5),
                    List.of(),
                    "",
                    List.of(
                            new MigrationStatus.Disk(
                                    0,
                                    "/images/web.raw",
                                    "in-sync",
                                    1 << 30,
                                    1 << 30,
                                    1_100_000_000)),
                    1_250,
                    List.of(
                            new MigrationStatus.Phase("disks", "2026-11-20T10:00:00.100Z"),
                            new MigrationStatus.Phase("perform", "2026-11-20T10:00:00.200Z")));

    final List<Object> asked = new ArrayList<>();

    /** What every command answers instead, where set. */
    ApiException refusal;

    List<DomainStatus> domains = List.of(DB, WEB);

    /** The daemon's process, as it tells. */
    long pid = 4711;

    /** How a migration ends. */
    String migrationOutcome = "moved";

    /** What {@code stopNode} does. */
    Runnable stop = () -> {};

    static final ProtectionStatus PROTECTION =
            new ProtectionStatus(
                    "sending",
                    "hostB",
                    "10.0.0.2:7227",
                    25,
                    true,
                    false,
                    RemusRequest.ArbiterKind.NONE,
                    3,
                    "2026-11-20T10:00:00.000Z",
                    1234,
                    12,
                    new ProtectionStatus.Tracker(
                            "soft-dirty", List.of("write-protect: needs Linux 6.7, found 6.1")),
                    new ProtectionStatus.PauseMicros(2900, 6100, 12400),
                    new ProtectionStatus.PauseStages(700, 1400, 100, 300, 200, 200),
                    new ProtectionStatus.DirtyPages(200, 700),
                    12_900_000,
                    4_300_000,
                    39.84,
                    3,
                    4200,
                    1_258_291,
                    67_108_864,
                    0,
                    7,
                    1,
                    new DiskReplication(
                            List.of(
                                    new DiskReplication.Disk(
                                            0, "in-sync", 1L << 30, 1L << 30, 1_100_000_000)),
                            new DiskReplication.Forwarding(4096, 2, 31),
                            null));

    static final DomainStatus WEB =
            new DomainStatus(
                    "web",
                    "6f4b7bd2-0a53-4a6e-9e38-7fbd6f2f4a11",
                    DomainStatus.State.RUNNING,
                    DomainStatus.Role.PRIMARY,
                    "hostA",
                    4712,
                    256,
                    1,
                    List.of(new DomainStatus.Nic(0, "tap", "hf-web", "52:54:00:12:34:56")),
                    List.of(
                            new DomainStatus.Disk(
                                    0,
                                    "/images/web.qcow2",
                                    "qcow2",
                                    "read-write",
                                    1L << 30,
                                    "/images/web.qcow2.raw",
                                    null)),
                    null,
                    PROTECTION,
                    new ReprotectionStatus(
                            ReprotectionStatus.State.PROTECTED, List.of("hostB:7227"), 0, null, -1),
                    null,
                    new DomainStatus.Event("2026-11-20T10:00:00.000Z", "protected by hostB"),
                    7);

    static final DomainStatus UNPROTECTED_WITH_BACKUP =
            new DomainStatus(
                    "web",
                    WEB.uuid(),
                    DomainStatus.State.RUNNING,
                    DomainStatus.Role.UNPROTECTED,
                    "hostA",
                    4712,
                    256,
                    1,
                    WEB.nics(),
                    WEB.disks(),
                    "hostB",
                    null,
                    new ReprotectionStatus(ReprotectionStatus.State.OFF, List.of(), 0, null, -1),
                    null,
                    new DomainStatus.Event(
                            "2026-11-20T10:00:00.000Z",
                            "not protected: node hostB:7227 cannot be reached"),
                    7);

    static final DomainStatus DB =
            new DomainStatus(
                    "database",
                    "0e8cbb1e-7a55-4b0f-9b0a-0c6c0a8a3c55",
                    DomainStatus.State.ENDED,
                    DomainStatus.Role.UNPROTECTED,
                    "hostA",
                    0,
                    4096,
                    2,
                    List.of(),
                    List.of(),
                    null,
                    null,
                    new ReprotectionStatus(ReprotectionStatus.State.OFF, List.of(), 0, null, -1),
                    null,
                    null,
                    1);

    /** It runs alone, and its node looks for another. */
    static final DomainStatus LOOKING =
            new DomainStatus(
                    "web",
                    WEB.uuid(),
                    DomainStatus.State.RUNNING,
                    DomainStatus.Role.SURVIVOR,
                    "hostA",
                    4712,
                    256,
                    1,
                    WEB.nics(),
                    WEB.disks(),
                    null,
                    null,
                    new ReprotectionStatus(
                            ReprotectionStatus.State.LOOKING,
                            List.of("hostB:7227", "hostC:7227"),
                            3,
                            "hostB:7227: Connection refused",
                            1500),
                    null,
                    null,
                    8);

    /** It is being moved, by a node that may not look for another one by itself. */
    static final DomainStatus MOVING =
            new DomainStatus(
                    "web",
                    WEB.uuid(),
                    DomainStatus.State.RUNNING,
                    DomainStatus.Role.MOVING,
                    "hostA",
                    4712,
                    256,
                    1,
                    WEB.nics(),
                    WEB.disks(),
                    null,
                    null,
                    new ReprotectionStatus(
                            ReprotectionStatus.State.OFF,
                            List.of(),
                            0,
                            "this node's settings have `reprotect: false`",
                            -1),
                    MIGRATION,
                    null,
                    9);

    /** What {@code unprotect} answers. */
    DomainStatus unprotected = UNPROTECTED_WITH_BACKUP;

    /** What {@code create} answers. */
    DomainStatus created = WEB;

    private <T> T answer(Object request, T answer) {
        asked.add(request);
        if (refusal != null) {
            throw refusal;
        }
        return answer;
    }

    @Override
    public NodeInfo nodeInfo() {
        NodeInfo.Qemu qemu = new NodeInfo.Qemu("/usr/bin/qemu-system-x86_64", "7.2.22", "tcg");
        return answer(
                "nodeInfo",
                new NodeInfo(
                        "hostA",
                        "0.1.0",
                        pid,
                        "2026-11-20T09:00:00Z",
                        "0.0.0.0:7227",
                        "/run/holdfast",
                        "/dev/shm",
                        12L << 30,
                        qemu,
                        2));
    }

    @Override
    public List<DomainStatus> list() {
        return answer("list", domains);
    }

    @Override
    public DomainStatus status(String domain) {
        return answer("status " + domain, WEB);
    }

    @Override
    public DomainStatus awaitChange(String domain, long afterChange, long timeoutMillis) {
        return answer("awaitChange " + domain + " " + afterChange, WEB);
    }

    @Override
    public DomainStatus create(DomainSource source) {
        return answer(source, created);
    }

    @Override
    public DomainStatus attach(AttachRequest request) {
        return answer(request, WEB);
    }

    @Override
    public DomainStatus pause(String domain) {
        return answer("pause " + domain, WEB);
    }

    @Override
    public DomainStatus unpause(String domain) {
        return answer("unpause " + domain, WEB);
    }

    @Override
    public void destroy(String domain) {
        answer("destroy " + domain, WEB);
    }

    @Override
    public SaveResult save(SaveRequest request, ProgressListener progress) {
        progress.progress(new Progress("saving", 0, 1 << 20, 4 << 20, "saving memory, 1 of 4 MiB"));
        progress.progress(new Progress("saving", 0, 4 << 20, 4 << 20, "saving memory, 4 of 4 MiB"));
        return answer(
                request,
                new SaveResult(request.domain(), request.file(), 4_300_000, 65536, 412, 3, 200));
    }

    @Override
    public DomainStatus restore(RestoreRequest request, ProgressListener progress) {
        return answer(request, WEB);
    }

    @Override
    public DomainStatus remus(RemusRequest request, ProgressListener progress) {
        progress.progress(new Progress("copying", 0, 0, 256 << 20, "round 0: 0 of 256 MiB"));
        progress.progress(
                new Progress("copying", 0, 128 << 20, 256 << 20, "round 0: 128 of 256 MiB"));
        progress.progress(new Progress("copying", 1, 0, 3 << 20, "round 1: 0 of 3 MiB"));
        progress.progress(new Progress("first-checkpoint", 1, 0, 0, "first checkpoint"));
        return answer(request, WEB);
    }

    @Override
    public DomainStatus unprotect(String domain) {
        return answer("unprotect " + domain, unprotected);
    }

    @Override
    public DomainStatus failover(String domain) {
        return answer("failover " + domain, WEB);
    }

    @Override
    public MigrateResult migrate(MigrateRequest request, ProgressListener progress) {
        progress.progress(new Progress("preparing", 0, 0, 0, "asking hostB:7227", null));
        progress.progress(new Progress("copying", 1, 1, 2, "round 1", MIGRATION));
        progress.progress(new Progress("copying", 1, 2, 2, "round 1", MIGRATION));
        return answer(
                request,
                new MigrateResult(
                        request.domain(), "hostB", migrationOutcome, "as asked", 320, 12.5, null));
    }

    @Override
    public DomainStatus cancelSave(String domain) {
        return answer("cancelSave " + domain, WEB);
    }

    @Override
    public DomainStatus cancelMigration(String domain) {
        return answer("cancelMigration " + domain, WEB);
    }

    @Override
    public void stopNode() {
        answer("stopNode", "");
        stop.run();
    }
}
