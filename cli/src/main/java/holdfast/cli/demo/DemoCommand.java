package holdfast.cli.demo;

import com.fasterxml.jackson.databind.ObjectMapper;

import holdfast.node.api.ApiException;

import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicBoolean;

/** {@code holdfast demo}. */
@Command(
        name = "demo",
        description =
                "Shows a VM that survives the death of its host, or one that is moved: one client,"
                        + " two hosts, one guest with Redis.",
        footer = {
            "",
            "Example:",
            "  ./demo --seconds 10 --json",
            "  ./demo migrate --migrations 4 --json"
        })
public final class DemoCommand implements Callable<Integer> {
    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            description = "Show this help.")
    private boolean help;

    @Option(
            names = "--json",
            description =
                    "Print one JSON object as the last line; everything else goes to standard"
                            + " error.")
    private boolean json;

    @Option(
            names = "--seconds",
            paramLabel = "N",
            defaultValue = "5",
            description =
                    "How long the client writes before the host dies (default ${DEFAULT-VALUE}).")
    private int seconds;

    @Option(
            names = {"-i", "--interval"},
            paramLabel = "MS",
            defaultValue = "25",
            description = "Time between two checkpoints (default ${DEFAULT-VALUE}).")
    private int intervalMillis;

    @Option(
            names = "--memory",
            paramLabel = "MIB",
            defaultValue = "256",
            description = "Memory of the guest (default ${DEFAULT-VALUE}).")
    private int memoryMib;

    @Option(
            names = "--silent",
            description =
                    "Host A falls silent instead of being killed, which B can know by the heartbeat"
                            + " deadline alone.")
    private boolean silent;

    @Option(
            names = "--again",
            description =
                    "Once host A has come back and protects the domain again, host B dies as well.")
    private boolean again;

    @Option(
            names = "--no-disk",
            description = "The guest has no disk, and Redis keeps all in memory; so in migrate.")
    private boolean noDisk;

    @Option(
            names = "--keep-logs",
            description =
                    "Keep the logs of both daemons, and the disks' images, and say where they are.")
    private boolean keepLogs;

    /** What is shown. */
    enum Job {
        remus,
        migrate
    }

    @Parameters(
            index = "0",
            arity = "0..1",
            defaultValue = "remus",
            paramLabel = "remus|migrate",
            description =
                    "What to show: a guest that survives its host (default), or one that is moved"
                            + " there and back.")
    private Job job;

    @Option(
            names = "--migrations",
            paramLabel = "N",
            defaultValue = "10",
            description = "How often the guest is moved (default ${DEFAULT-VALUE}).")
    private int migrations;

    @Override
    public Integer call() throws Exception {
        PrintStream progress = json ? System.err : System.out;
        Timeline timeline = new Timeline(progress);
        Demo demo =
                Demo.open(
                        new Demo.Options(
                                command(),
                                guest(),
                                seconds,
                                intervalMillis,
                                memoryMib,
                                noDisk || job == Job.migrate ? Storage.MEMORY : Storage.DISK,
                                silent ? Death.SILENT : Death.KILLED,
                                ending()),
                        timeline);
        // Ctrl-C and SIGTERM end the virtual machine, not this method: what was started must go all
        // the same, and only once.
        AtomicBoolean closed = new AtomicBoolean();
        Runnable close =
                () -> {
                    if (closed.compareAndSet(false, true)) {
                        demo.close();
                    }
                };
        AtomicBoolean interrupted = new AtomicBoolean();
        Thread cleanup =
                new Thread(
                        () -> {
                            if (!closed.get()) {
                                interrupted.set(true);
                                close.run();
                                demo.deleteLogs();
                                System.err.println(
                                        "demo: interrupted; everything it had set up is gone");
                            }
                        },
                        "demo-cleanup");
        Runtime.getRuntime().addShutdownHook(cleanup);
        Object result;
        boolean good;
        String summary;
        try {
            switch (job) {
                case remus -> {
                    DemoResult survived = demo.run();
                    result = survived;
                    good = survived.good();
                    summary = summary(survived);
                }
                case migrate -> {
                    MigrationDemo.Result moved = MigrationDemo.run(demo, migrations);
                    result = moved;
                    good = moved.good();
                    summary = MigrationDemo.summary(moved);
                }
                default -> throw new IllegalStateException(job.toString());
            }
        } catch (DemoException | ApiException e) {
            if (interrupted.get()) {
                // What failed is what the cleanup took away.
                return 130;
            }
            close.run();
            System.err.println("demo: " + e.getMessage());
            System.err.println("  Logs: " + demo.directory());
            return 1;
        }
        close.run();
        progress.println();
        progress.print(timeline.picture());
        progress.println();
        progress.println(summary);
        if (good && !keepLogs) {
            demo.deleteLogs();
        } else {
            progress.println("Logs: " + demo.directory());
        }
        if (json) {
            System.out.println(new ObjectMapper().writeValueAsString(result));
        }
        return good ? 0 : 1;
    }

    /** A host that is only silent does not come back. */
    private Ending ending() {
        if (silent && again) {
            throw new DemoException("--again needs a host A that comes back: leave --silent out");
        }
        return silent ? Ending.SURVIVED : again ? Ending.DIED_AGAIN : Ending.PROTECTED_AGAIN;
    }

    private static String summary(DemoResult result) {
        return "%s %d checkpoints, guest stopped %.1f ms each (p99 %.1f ms), %d acknowledged writes, %d lost%s, back after %.0f ms%s."
                .formatted(
                        result.good() ? "Nothing was lost:" : "Something was lost:",
                        result.epochsCommitted(),
                        result.pauseMicros().p50() / 1000.0,
                        result.pauseMicros().p99() / 1000.0,
                        result.ackedWrites(),
                        result.lostAckedWrites(),
                        result.fileSystemClean() == null
                                ? ""
                                : " in memory and %d on the disk"
                                        .formatted(result.diskLostAckedWrites()),
                        result.failoverMillis(),
                        result.reprotectedMillis() < 0
                                ? ""
                                : ", protected again after %.1f s"
                                        .formatted(result.reprotectedMillis() / 1000));
    }

    private static Path command() {
        String command = System.getProperty("holdfast.command");
        if (command == null) {
            throw new DemoException(
                    "start the demo by ./demo or bin/holdfast demo: the hosts' daemons need that"
                            + " command");
        }
        return Path.of(command);
    }

    private static Path guest() {
        String guest = System.getenv("HOLDFAST_GUEST_DIR");
        if (guest == null || !Files.isReadable(Path.of(guest, "vmlinuz"))) {
            throw new DemoException(
                    "no guest image; start the demo by ./demo, which builds one, or run"
                            + " scripts/guest.sh");
        }
        return Path.of(guest);
    }
}
