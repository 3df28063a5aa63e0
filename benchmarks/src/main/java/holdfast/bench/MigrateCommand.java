package holdfast.bench;

import com.fasterxml.jackson.databind.ObjectMapper;

import holdfast.cli.demo.DemoException;
import holdfast.engine.ReplicationException;
import holdfast.node.api.ApiException;

import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;

/** {@code ./bench migrate}. */
@Command(
        name = "migrate",
        description = {
            "The same guest moved by Holdfast and by QEMU's own migrate over TCP, in one run: total"
                    + " time, downtime, bytes."
        },
        mixinStandardHelpOptions = true)
final class MigrateCommand implements Callable<Integer> {
    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Option(
            names = "--migrations",
            paramLabel = "N",
            defaultValue = "6",
            description = "Of each kind for each workload (default ${DEFAULT-VALUE}).")
    private int migrations;

    @Option(
            names = "--workloads",
            split = ",",
            paramLabel = "NAME-MIB",
            defaultValue = "idle-256,redis-256,writer-256,idle-1024,redis-1024,writer-1024",
            description =
                    "idle, redis, writer or copied (with a disk that is copied), with the"
                            + " guest's memory in MiB (default:"
                            + " ${DEFAULT-VALUE}).")
    private List<String> workloads = List.of();

    @Override
    public Integer call() throws Exception {
        double load = ManagementFactory.getOperatingSystemMXBean().getSystemLoadAverage();
        try {
            List<MigrationResult.Workload> rows = new ArrayList<>();
            for (String workload : workloads) {
                rows.add(
                        MigrationBenchmark.run(
                                MigrationBenchmark.Guest.parse(workload), migrations, System.err));
            }
            MigrationResult result =
                    new MigrationResult(
                            "migrate",
                            new RemusResult.Machine(
                                    Runtime.getRuntime().availableProcessors(),
                                    rows.getFirst().memoryMib(),
                                    "tcg",
                                    QemuVersionText.get(),
                                    Math.round(load * 10) / 10.0),
                            rows);
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

    private static void print(MigrationResult result) {
        System.out.printf(
                Locale.ROOT,
                "%-12s %22s %22s %22s %7s %7s%n",
                "guest",
                "total ms ours/QEMU",
                "downtime ms ours/QEMU",
                "MiB ours/QEMU",
                "total",
                "down");
        for (MigrationResult.Workload row : result.workloads()) {
            System.out.printf(
                    Locale.ROOT,
                    "%-12s %11.0f/%10.0f %11.1f/%10.1f %11.1f/%10.1f %7.2f %7.2f%n",
                    row.name() + "-" + row.memoryMib(),
                    row.ours().totalMillis().p50(),
                    row.qemu().totalMillis().p50(),
                    row.ours().downtimeMillis().p50(),
                    row.qemu().downtimeMillis().p50(),
                    row.ours().bytes() / 1048576.0,
                    row.qemu().bytes() / 1048576.0,
                    row.totalVsQemu(),
                    row.downtimeVsQemu());
        }
    }
}
