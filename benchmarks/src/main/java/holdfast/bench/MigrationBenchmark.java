package holdfast.bench;

import holdfast.cli.demo.Demo;
import holdfast.cli.demo.Lab;
import holdfast.cli.demo.Timeline;
import holdfast.cli.demo.Worker;
import holdfast.node.api.ApiClient;
import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;

import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/**
 * One guest on the demo's hosts, moved there and back by two daemons, and then, started anew from
 * the same machine, by QEMU alone.
 */
final class MigrationBenchmark {
    private static final String READY = "HOLDFAST GUEST READY";

    private MigrationBenchmark() {}

    /** What the guest does. */
    enum Load {
        IDLE,
        /** One client, sixteen requests on their way. */
        REDIS,
        /** A writer in the guest that dirties faster than pages travel. */
        WRITER,
        /** Idle, with a disk of {@value CopiedImage#MEBIBYTES} MiB, half full, that is copied. */
        COPIED
    }

    /** A workload. */
    record Guest(Load load, int memoryMib) {
        static Guest parse(String text) {
            try {
                int hyphen = text.indexOf('-');
                return new Guest(
                        Load.valueOf(text.substring(0, hyphen).toUpperCase(Locale.ROOT)),
                        Integer.parseInt(text.substring(hyphen + 1)));
            } catch (IllegalArgumentException | IndexOutOfBoundsException e) {
                throw new BenchException(
                        "workload \""
                                + text
                                + "\": allowed are idle-256, redis-256, writer-256, copied-256 ...",
                        e);
            }
        }

        String kernelArguments() {
            return "console=ttyS0 quiet panic=1 hf.ip="
                    + Lab.GUEST_ADDRESS
                    + "/24"
                    + switch (load) {
                        case IDLE, COPIED -> "";
                        case REDIS -> " hf.redis=on";
                        // A third of memory, over and over.
                        case WRITER -> " hf.writer=" + memoryMib * 256 / 3 + ",1";
                    };
        }

        @Override
        public String toString() {
            return load.name().toLowerCase(Locale.ROOT) + "-" + memoryMib;
        }
    }

    static MigrationResult.Workload run(Guest guest, int migrations, PrintStream progress)
            throws IOException {
        String command = System.getProperty("holdfast.command");
        if (command == null) {
            throw new BenchException("start this by ./bench: it needs the holdfast command");
        }
        Demo demo =
                Demo.open(
                        Demo.Options.of(
                                Path.of(command), BenchGuest.imageDirectory(), guest.memoryMib()),
                        new Timeline(
                                new PrintStream(
                                        OutputStream.nullOutputStream(),
                                        false,
                                        StandardCharsets.UTF_8)));
        MigrationResult.Workload measured;
        try (demo) {
            demo.build();
            MigrationResult.Figures ours = ours(demo, guest, migrations, progress);
            MigrationResult.Figures qemu = PlainMigrations.run(demo, guest, migrations, progress);
            measured =
                    new MigrationResult.Workload(
                            guest.load().name().toLowerCase(Locale.ROOT),
                            guest.memoryMib(),
                            ratio(ours.totalMillis().p50(), qemu.totalMillis().p50()),
                            ratio(ours.totalMillis().p50(), qemu.aloneMillis()),
                            ratio(ours.downtimeMillis().p50(), qemu.downtimeMillis().p50()),
                            ratio(ours.bytes(), qemu.bytes()),
                            ours,
                            qemu);
        }
        demo.deleteLogs();
        return measured;
    }

    /** Both give a guest that writes too fast so long before it is suspended for what is left. */
    static final int CONVERGE_SECONDS = 3;

    private static MigrateRequest request(Lab.Host to, Guest guest) {
        return guest.load() == Load.COPIED
                ? request(to).withStorage(MigrateRequest.Storage.COPY)
                : request(to);
    }

    private static MigrateRequest request(Lab.Host to) {
        return MigrateRequest.of("bench", to.address())
                .withRounds(MigrateRequest.DOWNTIME_MILLIS_DEFAULT, 1_000)
                .withTimeout(CONVERGE_SECONDS, MigrateRequest.OnTimeout.STOP);
    }

    private static double ratio(double ours, double qemu) {
        return Math.round(100 * ours / qemu) / 100.0;
    }

    private static MigrationResult.Figures ours(
            Demo demo, Guest guest, int migrations, PrintStream progress) throws IOException {
        Path serial = demo.directory().resolve("guest.serial");
        Path disk = demo.directory().resolve("bench.raw");
        if (guest.load() == Load.COPIED) {
            CopiedImage.halfFull(disk);
        }
        demo.node(Lab.Host.A)
                .create(
                        new DomainSource(
                                demo.directory().resolve("bench.yaml").toString(),
                                description(guest, serial, disk)));
        awaitReady(serial);
        Samples totals = new Samples();
        Samples downtimes = new Samples();
        Samples ownWords = new Samples();
        Samples bytes = new Samples();
        try (Loading _ = Loading.begin(demo, guest);
                Watch watch = Watch.begin(demo, guest)) {
            Lab.Host from = Lab.Host.A;
            Lab.Host to = Lab.Host.B;
            for (int i = 0; i < migrations; i++) {
                pause(500);
                ApiClient node = demo.node(from);
                long linkBytes = demo.lab().sentBytes(from);
                long begun = System.nanoTime();
                MigrateResult result = node.migrate(request(to, guest), _ -> {});
                if (!result.moved()) {
                    throw new BenchException("not moved: " + result.reason());
                }
                Moved moved = watch.moved(result, begun);
                double total = moved.totalMillis();
                double downtime = moved.downtimeMillis();
                long sent =
                        guest.load() == Load.COPIED
                                ? demo.lab().sentBytes(from) - linkBytes
                                : result.migration().sentBytes();
                progress.printf(
                        Locale.ROOT,
                        "%s: ours %d of %d: %.0f ms, downtime %.1f ms (its own word %.1f ms %s),"
                                + " %.1f MiB, %d rounds%n",
                        guest,
                        i + 1,
                        migrations,
                        total,
                        downtime,
                        result.downtimeMillis(),
                        result.migration().stagesMicros(),
                        sent / 1048576.0,
                        result.migration().round() + 1);
                totals.add(total);
                downtimes.add(downtime);
                ownWords.add(result.downtimeMillis());
                bytes.add(sent);
                Lab.Host was = from;
                from = to;
                to = was;
            }
            DomainStatus status = demo.node(from).status("bench");
            if (status.state() != DomainStatus.State.RUNNING) {
                throw new BenchException("the guest does not run in the end: " + status);
            }
            demo.node(from).destroy("bench");
        }
        return new MigrationResult.Figures(
                migrations,
                spread(totals),
                spread(downtimes),
                spread(ownWords),
                0,
                (long) bytes.median());
    }

    /** In milliseconds. */
    private record Moved(double totalMillis, double downtimeMillis) {}

    /**
     * Who says when the guest stood still.
     *
     * @param moments empty where disks are copied: the daemons need the monitors that it listens at
     */
    private record Watch(Optional<GuestMoments> moments) implements AutoCloseable {
        static Watch begin(Demo demo, Guest guest) throws IOException {
            return new Watch(
                    guest.load() == Load.COPIED
                            ? Optional.empty()
                            : Optional.of(
                                    GuestMoments.of(
                                            List.of(
                                                    demo.runDirectory(Lab.Host.A),
                                                    demo.runDirectory(Lab.Host.B)))));
        }

        Moved moved(MigrateResult result, long begunNanos) {
            if (moments.isEmpty()) {
                return new Moved(result.totalMillis(), result.downtimeMillis());
            }
            GuestMoments.Pause pause = moments.get().awaitMoved(begunNanos);
            return new Moved((pause.resumedNanos() - begunNanos) / 1e6, pause.nanos() / 1e6);
        }

        @Override
        public void close() {
            moments.ifPresent(GuestMoments::close);
        }
    }

    static MigrationResult.Spread spread(Samples samples) {
        return new MigrationResult.Spread(
                Math.round(samples.median() * 100) / 100.0,
                Math.round(samples.quantile(1) * 100) / 100.0);
    }

    private static String description(Guest guest, Path serial, Path disk) throws IOException {
        return """
        name: bench
        memory: %dM
        accelerator: tcg
        serial: %s
        boot:
          kernel: %s
          initrd: %s
          commandLine: %s
        nics:
          - tap: tap0
            bridge: %s
        %s
        """
                .formatted(
                        guest.memoryMib(),
                        serial,
                        BenchGuest.imageDirectory().resolve("vmlinuz"),
                        BenchGuest.imageDirectory().resolve("initrd.gz"),
                        guest.kernelArguments(),
                        Lab.BRIDGE,
                        guest.load() == Load.COPIED
                                ? "disks: [{path: " + disk + ", format: raw}]"
                                : "");
    }

    /** Waits for the guest's own word. */
    static void awaitReady(Path serial) throws IOException {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(120);
        while (!Files.exists(serial) || !Files.readString(serial).contains(READY)) {
            if (System.nanoTime() - until > 0) {
                throw new BenchException("the guest was not ready within 120 s");
            }
            pause(50);
        }
    }

    static void pause(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new BenchException("interrupted", e);
        }
    }

    /** The client, where the workload has one. */
    record Loading(Optional<Worker> client) implements AutoCloseable {
        static Loading begin(Demo demo, Guest guest) {
            return new Loading(
                    guest.load() == Load.REDIS
                            ? Optional.of(demo.connectClient())
                            : Optional.empty());
        }

        @Override
        public void close() {
            client.ifPresent(Worker::close);
        }
    }
}
