package holdfast.bench;

import com.fasterxml.jackson.databind.JsonNode;

import holdfast.cli.demo.Demo;
import holdfast.cli.demo.Lab;
import holdfast.qemu.launch.Accelerator;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.QemuCommandLine;
import holdfast.qemu.launch.QemuFiles;
import holdfast.qemu.qmp.QmpClient;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * QEMU's own migration over TCP between the same hosts: the destination is started with {@code
 * -incoming}, bandwidth is unbounded, the downtime's limit is the one our own migrations have.
 */
final class PlainMigrations {
    private static final Duration LIMIT = Duration.ofSeconds(10);
    private static final long MIGRATION_SECONDS = 120;
    private static final int PORT = 4444;
    private static final int DOWNTIME_MILLIS = 20;

    private PlainMigrations() {}

    /** A QEMU on one of the hosts. */
    private record Running(QmpClient qmp, Lab.Host host) {}

    static MigrationResult.Figures run(
            Demo demo, MigrationBenchmark.Guest guest, int migrations, PrintStream progress)
            throws IOException {
        for (Lab.Host host : List.of(Lab.Host.A, Lab.Host.B)) {
            demo.lab().ip(host, "tuntap", "add", "dev", "tap0", "mode", "tap", "vnet_hdr");
            demo.lab().ip(host, "link", "set", "tap0", "address", "fe:ff:ff:00:00:01");
            demo.lab().ip(host, "link", "set", "tap0", "master", Lab.BRIDGE, "up");
        }
        Path serial = demo.directory().resolve("plain.serial");
        if (guest.load() == MigrationBenchmark.Load.COPIED) {
            CopiedImage.halfFull(disk(demo, 0));
        }
        Running source = start(demo, guest, serial, Lab.Host.A, 0, Optional.empty());
        MigrationBenchmark.awaitReady(serial);
        Samples totals = new Samples();
        Samples downtimes = new Samples();
        Samples ownWords = new Samples();
        Samples alone = new Samples();
        Samples bytes = new Samples();
        try (MigrationBenchmark.Loading _ = MigrationBenchmark.Loading.begin(demo, guest)) {
            for (int i = 0; i < migrations; i++) {
                MigrationBenchmark.pause(500);
                Lab.Host to = source.host() == Lab.Host.A ? Lab.Host.B : Lab.Host.A;
                if (guest.load() == MigrationBenchmark.Load.COPIED) {
                    CopiedImage.empty(disk(demo, i + 1));
                }
                long linkBytes = demo.lab().sentBytes(source.host());
                long begun = System.nanoTime();
                Running destination =
                        start(
                                demo,
                                guest,
                                serial,
                                to,
                                i + 1,
                                Optional.of("tcp:" + to.address() + ":" + PORT));
                Optional<MirroredStorage> storage =
                        guest.load() == MigrationBenchmark.Load.COPIED
                                ? Optional.of(
                                        MirroredStorage.copy(source.qmp(), destination.qmp(), to))
                                : Optional.empty();
                long stopped = migrate(source.qmp(), destination.qmp(), storage, to, begun);
                JsonNode info = source.qmp().execute("query-migrate");
                double sent =
                        storage.isPresent()
                                ? demo.lab().sentBytes(source.host()) - linkBytes
                                : info.path("ram").path("transferred").asDouble();
                double total = (stopped >> 32) / 1e3;
                double downtime = (stopped & 0xffffffffL) / 1e3;
                totals.add(total);
                downtimes.add(downtime);
                ownWords.add(info.path("downtime").asDouble());
                alone.add(info.path("total-time").asDouble());
                bytes.add(sent);
                progress.printf(
                        Locale.ROOT,
                        "%s: QEMU %d of %d: %.0f ms (alone %.0f ms), downtime %.1f ms (its own word"
                                + " %d ms), %.1f MiB%n",
                        guest,
                        i + 1,
                        migrations,
                        total,
                        info.path("total-time").asDouble(),
                        downtime,
                        info.path("downtime").asLong(),
                        sent / 1048576.0);
                source.qmp().execute("quit");
                source.qmp().close();
                Files.deleteIfExists(disk(demo, i));
                source = destination;
            }
            source.qmp().execute("quit");
            source.qmp().close();
        }
        return new MigrationResult.Figures(
                migrations,
                MigrationBenchmark.spread(totals),
                MigrationBenchmark.spread(downtimes),
                MigrationBenchmark.spread(ownWords),
                alone.median(),
                (long) bytes.median());
    }

    private static Path disk(Demo demo, int number) {
        return demo.directory().resolve("plain" + number + ".raw");
    }

    /** Total and downtime in microseconds, packed as high and low halves. */
    private static long migrate(
            QmpClient source,
            QmpClient destination,
            Optional<MirroredStorage> storage,
            Lab.Host to,
            long begunNanos) {
        long[] stopNanos = new long[1];
        long[] resumeNanos = new long[1];
        CountDownLatch resumed = new CountDownLatch(1);
        try (var _ =
                        source.subscribe(
                                event -> {
                                    if (event.name().equals("STOP")) {
                                        stopNanos[0] = GuestMoments.nanos(event);
                                    }
                                });
                var _ =
                        destination.subscribe(
                                event -> {
                                    if (event.name().equals("RESUME")) {
                                        resumeNanos[0] = GuestMoments.nanos(event);
                                        resumed.countDown();
                                    }
                                })) {
            source.execute(
                    "migrate-set-parameters",
                    Map.of("max-bandwidth", 100_000_000_000L, "downtime-limit", DOWNTIME_MILLIS));
            source.execute("migrate", Map.of("uri", "tcp:" + to.address() + ":" + PORT));
            storage.ifPresent(MirroredStorage::switchOver);
            if (!resumed.await(MigrationBenchmark.CONVERGE_SECONDS, TimeUnit.SECONDS)) {
                // A writer that never converges: a limit that all of memory fits makes it stop.
                source.execute("migrate-set-parameters", Map.of("downtime-limit", 100_000));
            }
            if (!resumed.await(MIGRATION_SECONDS, TimeUnit.SECONDS)) {
                throw new BenchException(
                        "QEMU did not finish within "
                                + MIGRATION_SECONDS
                                + " s: "
                                + source.execute("query-migrate"));
            }
            long until = System.nanoTime() + LIMIT.toNanos();
            while (!source.execute("query-migrate").path("status").asText().equals("completed")) {
                if (System.nanoTime() - until > 0) {
                    throw new BenchException("QEMU's source did not complete");
                }
                MigrationBenchmark.pause(1);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new BenchException("interrupted", e);
        }
        long total = (resumeNanos[0] - begunNanos) / 1000;
        long downtime = (resumeNanos[0] - stopNanos[0]) / 1000;
        return total << 32 | downtime;
    }

    private static Running start(
            Demo demo,
            MigrationBenchmark.Guest guest,
            Path serial,
            Lab.Host host,
            int number,
            Optional<String> incoming)
            throws IOException {
        Path directory = Files.createDirectories(demo.directory().resolve("plain" + number));
        QemuFiles files =
                new QemuFiles(directory, demo.ramDirectory(host).resolve("plain" + number));
        DomainSpec spec =
                DomainSpec.of("plain", guest.memoryMib())
                        .withAccelerator(Accelerator.TCG)
                        .withDisks(
                                guest.load() == MigrationBenchmark.Load.COPIED
                                        ? List.of(CopiedImage.disk(disk(demo, number)))
                                        : List.of())
                        .withSerial(incoming.isPresent() ? directory.resolve("serial") : serial)
                        .withBoot(
                                new DomainSpec.Kernel(
                                        BenchGuest.imageDirectory().resolve("vmlinuz"),
                                        Optional.of(
                                                BenchGuest.imageDirectory().resolve("initrd.gz")),
                                        guest.kernelArguments()))
                        .withNics(
                                List.of(
                                        new DomainSpec.TapNic(
                                                "52:54:00:12:34:99",
                                                "tap0",
                                                Optional.of(Lab.BRIDGE))));
        List<String> command = new ArrayList<>(List.of("qemu-system-x86_64"));
        command.addAll(
                QemuCommandLine.of(
                        spec,
                        files,
                        Accelerator.TCG,
                        // An image that is exported cannot be the guest's before that has ended.
                        incoming.isPresent() && guest.load() == MigrationBenchmark.Load.COPIED
                                ? QemuCommandLine.Start.PAUSED
                                : QemuCommandLine.Start.RUNNING));
        incoming.ifPresent(uri -> command.addAll(List.of("-incoming", uri)));
        demo.lab()
                .whileOpen(
                        () -> {
                            try {
                                Process launcher =
                                        new ProcessBuilder(demo.lab().on(host, command))
                                                .redirectErrorStream(true)
                                                .redirectOutput(directory.resolve("log").toFile())
                                                .start();
                                if (!launcher.waitFor(30, TimeUnit.SECONDS)
                                        || launcher.exitValue() != 0) {
                                    throw new BenchException(
                                            "QEMU did not start on "
                                                    + host
                                                    + ": "
                                                    + Files.readString(directory.resolve("log")));
                                }
                                return launcher;
                            } catch (IOException e) {
                                throw new BenchException("QEMU cannot be started", e);
                            } catch (InterruptedException e) {
                                Thread.currentThread().interrupt();
                                throw new BenchException("interrupted", e);
                            }
                        });
        return new Running(QmpClient.connect(files.qmp(), LIMIT), host);
    }
}
