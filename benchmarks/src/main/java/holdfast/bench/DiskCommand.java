package holdfast.bench;

import com.fasterxml.jackson.databind.ObjectMapper;

import holdfast.cli.demo.DemoException;
import holdfast.engine.ReplicationException;
import holdfast.node.api.ApiException;

import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

import java.lang.management.ManagementFactory;
import java.util.Locale;
import java.util.concurrent.Callable;

/** {@code ./bench disk}. */
@Command(
        name = "disk",
        description = {
            "What a guest writes to its disk in a second, protected beside unprotected, in turns,"
                    + " and how long checkpoints stop it."
        },
        mixinStandardHelpOptions = true)
final class DiskCommand implements Callable<Integer> {
    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Option(
            names = "--rounds",
            paramLabel = "N",
            defaultValue = "5",
            description = "Of an unprotected part and protected ones (default ${DEFAULT-VALUE}).")
    private int rounds;

    @Option(
            names = "--seconds",
            paramLabel = "N",
            defaultValue = "8",
            description = "Of each part (default ${DEFAULT-VALUE}).")
    private int seconds;

    @Option(
            names = {"-i", "--interval"},
            paramLabel = "MS",
            defaultValue = "25",
            description = "Time between two checkpoints (default ${DEFAULT-VALUE}).")
    private int intervalMillis;

    @Option(
            names = "--disk",
            paramLabel = "MIB",
            defaultValue = "64",
            description =
                    "The disk; written in order, then at random, again and again (default"
                            + " ${DEFAULT-VALUE}).")
    private int diskMib;

    @Option(
            names = "--depth",
            paramLabel = "N",
            defaultValue = "1",
            description =
                    "Writes in flight; above 1 as many streams, each in order, in blocks of 1 MiB,"
                            + " then of 4 KiB. Give them a larger --disk (default"
                            + " ${DEFAULT-VALUE}).")
    private int depth;

    @Override
    public Integer call() throws Exception {
        if (rounds < 1 || seconds < 2 || intervalMillis < 1 || depth < 1 || diskMib < depth) {
            System.err.println(
                    "bench: --seconds must be at least 2; --rounds, --interval and --depth at least"
                            + " 1; --disk at least as much as --depth");
            return 2;
        }
        double load = ManagementFactory.getOperatingSystemMXBean().getSystemLoadAverage();
        try {
            DiskResult result =
                    DiskBenchmark.run(
                            new DiskBenchmark.Plan(rounds, seconds, intervalMillis, diskMib, depth),
                            load,
                            System.err);
            if (json) {
                System.out.println(new ObjectMapper().writeValueAsString(result));
            } else {
                print(result);
            }
            return 0;
        } catch (BenchException | DemoException | ReplicationException | ApiException e) {
            System.err.println("bench: " + e.getMessage());
            return 1;
        }
    }

    private static void print(DiskResult result) {
        System.out.printf(
                Locale.ROOT, "%-22s %12s %12s %7s%n", "", "unprotected", "protected", "ratio");
        print("sequential, MiB/s", result.sequential());
        print("random 4 KiB, writes/s", result.random());
        System.out.printf(
                Locale.ROOT,
                "%n%-22s %8s %8s %8s %8s %14s%n",
                "pause, ms",
                "p50",
                "p99",
                "suspend",
                "copy",
                "checkpoints/s");
        for (DiskResult.Pause pause : result.pause()) {
            System.out.printf(
                    Locale.ROOT,
                    "%-22s %8.2f %8.2f %8.2f %8.2f %14.1f%n",
                    pause.guest(),
                    pause.p50Micros() / 1e3,
                    pause.p99Micros() / 1e3,
                    pause.suspendMicros() / 1e3,
                    pause.copyMicros() / 1e3,
                    pause.checkpointsPerSecond());
        }
        DiskResult.Replication is = result.replication();
        System.out.printf(
                Locale.ROOT,
                "%nlast round: %d MiB forwarded, waited %d ms for room (%d writes), %d ms on the"
                        + " secondary, %.2f ms to commit an epoch%n",
                is.forwardedMib(),
                is.waitMillis(),
                is.waits(),
                is.replicaWaitMillis(),
                is.commitMicros() / 1e3);
    }

    private static void print(String name, DiskResult.Throughput throughput) {
        System.out.printf(
                Locale.ROOT,
                "%-22s %12.1f %12.1f %7.2f%n",
                name,
                throughput.unprotectedPerSecond(),
                throughput.protectedPerSecond(),
                throughput.ratio());
    }
}
