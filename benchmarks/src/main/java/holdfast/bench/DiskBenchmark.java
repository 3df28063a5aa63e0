package holdfast.bench;

import holdfast.cli.demo.Demo;
import holdfast.cli.demo.Lab;
import holdfast.cli.demo.Timeline;
import holdfast.node.api.ApiClient;
import holdfast.node.api.DiskReplication;
import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.ProtectionStatus;
import holdfast.node.api.RemusRequest;

import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * Guests on the demo's two hosts, with two daemons: what a guest writes to its disk in a second,
 * unprotected and protected by turns, and how long checkpoints stop it, beside two guests that
 * write to none. Only the guest whose turn it is runs.
 */
final class DiskBenchmark {
    private static final int MEMORY_MIB = 128;
    private static final int DEADLINE_MILLIS = 5_000;

    /** Until the first epochs, which find everything dirty, are over. */
    private static final long SETTLE_MILLIS = 1_000;

    /** Whose checkpoints are measured; each rewrites 200 pages of memory every 10 ms. */
    private enum Guest {
        NO_DISK,
        IDLE_DISK,
        LOADED_DISK;

        String text() {
            return name().toLowerCase(Locale.ROOT).replace('_', '-');
        }

        String options(Plan plan) {
            return "hf.writer=200,10"
                    + switch (this) {
                        case NO_DISK, IDLE_DISK -> "";
                        case LOADED_DISK -> " hf.diskload=vda," + plan.diskMib + "," + plan.depth;
                    };
        }
    }

    /** Samples of one guest's protected parts. */
    private static final class Pauses {
        private final Samples p50 = new Samples();
        private final Samples p99 = new Samples();
        private final Samples suspend = new Samples();
        private final Samples copy = new Samples();
        private final Samples rate = new Samples();

        void add(ProtectionStatus status) {
            p50.add(status.pauseMicros().p50());
            p99.add(status.pauseMicros().p99());
            suspend.add(status.pauseStagesMicros().suspend());
            copy.add(status.pauseStagesMicros().copy());
            rate.add(status.checkpointsPerSecond());
        }

        DiskResult.Pause result(Guest guest) {
            return new DiskResult.Pause(
                    guest.text(),
                    p50.median(),
                    p99.median(),
                    suspend.median(),
                    copy.median(),
                    rate.median());
        }
    }

    /** Samples of one kind of writes. */
    private static final class Rates {
        private final Samples bare = new Samples();
        private final Samples guarded = new Samples();
        private final List<Double> ratios = new ArrayList<>();

        void add(double unprotectedPerSecond, double protectedPerSecond) {
            bare.add(unprotectedPerSecond);
            guarded.add(protectedPerSecond);
            ratios.add(hundredths(protectedPerSecond / unprotectedPerSecond));
        }

        DiskResult.Throughput result() {
            return new DiskResult.Throughput(
                    hundredths(bare.median()),
                    hundredths(guarded.median()),
                    hundredths(guarded.median() / bare.median()),
                    ratios);
        }
    }

    /**
     * @param diskMib written in order, then at random, again and again
     * @param depth writes in flight; above 1 they are those of as many streams, each in order
     */
    record Plan(int rounds, int seconds, int intervalMillis, int diskMib, int depth) {}

    private final Plan plan;
    private final PrintStream progress;
    private final Demo hosts;
    private final ApiClient node;
    private final Map<DiskLoadLog.Kind, Rates> rates = new EnumMap<>(DiskLoadLog.Kind.class);
    private final Map<Guest, Pauses> pauses = new EnumMap<>(Guest.class);
    private DiskResult.Replication replication;

    private DiskBenchmark(Plan plan, PrintStream progress, Demo hosts) {
        this.plan = plan;
        this.progress = progress;
        this.hosts = hosts;
        this.node = hosts.node(Lab.Host.A);
        for (DiskLoadLog.Kind kind : DiskLoadLog.Kind.values()) {
            rates.put(kind, new Rates());
        }
        for (Guest guest : Guest.values()) {
            pauses.put(guest, new Pauses());
        }
    }

    static DiskResult run(Plan plan, double loadAverage, PrintStream progress)
            throws IOException, InterruptedException {
        String command = System.getProperty("holdfast.command");
        if (command == null) {
            throw new BenchException("start this by ./bench: it needs the holdfast command");
        }
        Demo hosts =
                Demo.open(
                        Demo.Options.of(Path.of(command), BenchGuest.imageDirectory(), MEMORY_MIB),
                        new Timeline(
                                new PrintStream(
                                        OutputStream.nullOutputStream(),
                                        false,
                                        StandardCharsets.UTF_8)));
        DiskResult result;
        try (hosts) {
            hosts.build();
            result = new DiskBenchmark(plan, progress, hosts).measure(loadAverage);
        }
        hosts.deleteLogs();
        return result;
    }

    private DiskResult measure(double loadAverage) throws IOException, InterruptedException {
        for (Guest guest : Guest.values()) {
            create(guest);
        }
        try (DiskLoadLog log = DiskLoadLog.open(serial(Guest.LOADED_DISK))) {
            for (int round = 0; round < plan.rounds; round++) {
                progress.printf(Locale.ROOT, "disk: round %d of %d%n", round + 1, plan.rounds);
                round(log);
            }
        }
        return new DiskResult(
                "disk",
                new RemusResult.Machine(
                        Runtime.getRuntime().availableProcessors(),
                        MEMORY_MIB,
                        "tcg",
                        QemuVersionText.get(),
                        Math.round(loadAverage * 10) / 10.0),
                plan.intervalMillis,
                plan.rounds,
                plan.seconds,
                plan.depth,
                rates.get(DiskLoadLog.Kind.SEQUENTIAL).result(),
                rates.get(DiskLoadLog.Kind.RANDOM).result(),
                pauses.entrySet().stream().map(e -> e.getValue().result(e.getKey())).toList(),
                replication);
    }

    private void round(DiskLoadLog log) {
        String loaded = Guest.LOADED_DISK.text();
        node.unpause(loaded);
        Measured bare = measured(log);
        protect(Guest.LOADED_DISK);
        Measured guarded = measured(log);
        ProtectionStatus status = end(Guest.LOADED_DISK);
        rates.get(DiskLoadLog.Kind.SEQUENTIAL).add(bare.sequential, guarded.sequential);
        rates.get(DiskLoadLog.Kind.RANDOM).add(bare.random, guarded.random);
        progress.printf(
                Locale.ROOT,
                "  sequential %.0f MiB/s, protected %.0f; random %.0f/s, protected %.0f; %s %s%n",
                bare.sequential,
                guarded.sequential,
                bare.random,
                guarded.random,
                status.pauseMicros(),
                status.pauseStagesMicros());
        for (Guest guest : List.of(Guest.NO_DISK, Guest.IDLE_DISK)) {
            node.unpause(guest.text());
            protect(guest);
            MigrationBenchmark.pause(TimeUnit.SECONDS.toMillis(plan.seconds));
            ProtectionStatus quiet = end(guest);
            progress.printf(
                    Locale.ROOT,
                    "  %s: %s %s%n",
                    guest.text(),
                    quiet.pauseMicros(),
                    quiet.pauseStagesMicros());
        }
    }

    private record Measured(double sequential, double random) {}

    private Measured measured(DiskLoadLog log) {
        long begin = System.nanoTime();
        MigrationBenchmark.pause(TimeUnit.SECONDS.toMillis(plan.seconds));
        long end = System.nanoTime();
        return new Measured(
                log.perSecond(DiskLoadLog.Kind.SEQUENTIAL, begin, end),
                log.perSecond(DiskLoadLog.Kind.RANDOM, begin, end));
    }

    private void protect(Guest guest) {
        node.remus(
                RemusRequest.of(guest.text(), Lab.Host.B.address())
                        .withInterval(plan.intervalMillis)
                        .withDeadline(RemusRequest.OF_THE_NODE, DEADLINE_MILLIS),
                _ -> {});
        MigrationBenchmark.pause(SETTLE_MILLIS);
    }

    /** Ends a protected part; its guest is suspended then. */
    private ProtectionStatus end(Guest guest) {
        DomainStatus status = node.status(guest.text());
        if (status.role() != DomainStatus.Role.PRIMARY) {
            throw new BenchException(guest.text() + " is not protected: " + status.lastEvent());
        }
        pauses.get(guest).add(status.protection());
        if (guest == Guest.LOADED_DISK) {
            remember(status.protection().replication());
        }
        node.unprotect(guest.text());
        node.pause(guest.text());
        return status.protection();
    }

    private void remember(DiskReplication primary) {
        DiskReplication.Replica replica =
                hosts.node(Lab.Host.B)
                        .status(Guest.LOADED_DISK.text())
                        .protection()
                        .replication()
                        .replica();
        replication =
                new DiskResult.Replication(
                        primary.disks().getFirst().forwardedBytes() >> 20,
                        primary.forwarding().waits(),
                        primary.forwarding().waitMillis(),
                        replica.waitMillis(),
                        replica.commitMicros());
    }

    private Path serial(Guest guest) {
        return hosts.directory().resolve(guest.text() + ".serial");
    }

    /** Boots a guest and leaves it suspended. */
    private void create(Guest guest) throws IOException {
        Path image = hosts.directory().resolve(guest.text() + ".img");
        String disks =
                switch (guest) {
                    case NO_DISK -> "";
                    case IDLE_DISK, LOADED_DISK -> {
                        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
                            file.setLength((long) plan.diskMib << 20);
                        }
                        yield "disks: [" + image + "]";
                    }
                };
        node.create(
                new DomainSource(
                        hosts.directory().resolve(guest.text() + ".yaml").toString(),
                        """
                        name: %s
                        memory: %dM
                        accelerator: tcg
                        serial: %s
                        boot:
                          kernel: %s
                          initrd: %s
                          commandLine: console=ttyS0 quiet panic=1 %s
                        %s
                        """
                                .formatted(
                                        guest.text(),
                                        MEMORY_MIB,
                                        serial(guest),
                                        BenchGuest.imageDirectory().resolve("vmlinuz"),
                                        BenchGuest.imageDirectory().resolve("initrd.gz"),
                                        guest.options(plan),
                                        disks)));
        MigrationBenchmark.awaitReady(serial(guest));
        node.pause(guest.text());
    }

    private static double hundredths(double value) {
        return Math.round(value * 100) / 100.0;
    }
}
