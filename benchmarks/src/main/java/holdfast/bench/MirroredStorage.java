package holdfast.bench;

import holdfast.cli.demo.Lab;
import holdfast.qemu.launch.QemuCommandLine;
import holdfast.qemu.qmp.QmpClient;
import holdfast.qemu.qmp.QmpEvent;

import java.time.Duration;
import java.util.List;
import java.util.Map;

/**
 * QEMU's own way with a disk that is not shared: a mirror job into the destination's NBD server,
 * write-blocking as ours, then the migration, the job cancelled before the switch-over.
 */
final class MirroredStorage {
    private static final String DISK = QemuCommandLine.diskNode(0);
    private static final String TARGET = "bench-target";
    private static final String JOB = "bench-mirror";
    private static final String PORT = "4445";
    private static final Duration LIMIT = Duration.ofSeconds(120);
    private static final String CAPABILITIES = "migrate-set-capabilities";

    private final QmpClient source;
    private final QmpClient destination;

    private MirroredStorage(QmpClient source, QmpClient destination) {
        this.source = source;
        this.destination = destination;
    }

    /** Returns when the copy is complete and follows. */
    static MirroredStorage copy(QmpClient source, QmpClient destination, Lab.Host to) {
        Map<String, Object> inet = Map.of("host", to.address(), "port", PORT);
        destination.execute(
                "nbd-server-start", Map.of("addr", Map.of("type", "inet", "data", inet)));
        destination.execute(
                "block-export-add",
                Map.of("type", "nbd", "id", "bench", "node-name", DISK, "writable", true));
        capabilities(source, List.of("events", "pause-before-switchover"));
        capabilities(destination, List.of("events"));
        source.execute(
                "blockdev-add",
                Map.of(
                        "driver",
                        "nbd",
                        "node-name",
                        TARGET,
                        "server",
                        Map.of("type", "inet", "host", to.address(), "port", PORT),
                        "export",
                        DISK));
        try (QmpClient.ExpectedEvent ready =
                source.expect("BLOCK_JOB_READY", MirroredStorage::isOurs)) {
            source.execute(
                    "blockdev-mirror",
                    Map.of(
                            "job-id",
                            JOB,
                            "device",
                            DISK,
                            "target",
                            TARGET,
                            "sync",
                            "full",
                            "copy-mode",
                            "write-blocking"));
            ready.await(LIMIT);
        }
        return new MirroredStorage(source, destination);
    }

    private static void capabilities(QmpClient qmp, List<String> names) {
        qmp.execute(
                CAPABILITIES,
                Map.of(
                        "capabilities",
                        names.stream()
                                .map(name -> Map.of("capability", name, "state", true))
                                .toList()));
    }

    private static boolean isOurs(QmpEvent event) {
        return event.data().path("device").asText().equals(JOB);
    }

    private static boolean is(QmpEvent event, String status) {
        return event.data().path("status").asText().equals(status);
    }

    /** After {@code migrate}: ends the job when the guest stands, and lets it run over there. */
    void switchOver() {
        awaitStatus(source, "pre-switchover");
        try (QmpClient.ExpectedEvent over =
                source.expect("BLOCK_JOB_COMPLETED", MirroredStorage::isOurs)) {
            source.execute("block-job-cancel", Map.of("device", JOB));
            over.await(LIMIT);
        }
        source.execute("blockdev-del", Map.of("node-name", TARGET));
        try (QmpClient.ExpectedEvent arrived =
                destination.expect("MIGRATION", event -> is(event, "completed"))) {
            source.execute("migrate-continue", Map.of("state", "pre-switchover"));
            arrived.await(LIMIT);
        }
        destination.execute("nbd-server-stop");
        destination.execute("cont");
    }

    private static void awaitStatus(QmpClient qmp, String status) {
        long until = System.nanoTime() + LIMIT.toNanos();
        while (!qmp.execute("query-migrate").path("status").asText().equals(status)) {
            if (System.nanoTime() - until > 0) {
                throw new BenchException("QEMU's migration did not come to " + status);
            }
            MigrationBenchmark.pause(1);
        }
    }
}
