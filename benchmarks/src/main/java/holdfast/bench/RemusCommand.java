package holdfast.bench;

import com.fasterxml.jackson.databind.ObjectMapper;

import holdfast.cli.demo.Death;
import holdfast.cli.demo.DemoException;
import holdfast.engine.ReplicationException;
import holdfast.node.api.ApiException;

import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

import java.io.IOException;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;

/** {@code ./bench remus}. */
@Command(
        name = "remus",
        description = {
            "Remus on a real QEMU guest: the guest's pause beside its floor, Redis under the output"
                    + " hold, fail-over time.",
            "All of it takes about ten minutes."
        },
        mixinStandardHelpOptions = true)
final class RemusCommand implements Callable<Integer> {
    /** What can be measured. */
    enum Part {
        pause,
        redis,
        failover,
        silent
    }

    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Option(
            names = "--seconds",
            paramLabel = "N",
            defaultValue = "20",
            description =
                    "Time for each row of the pause; the other parts scale with it (default"
                            + " ${DEFAULT-VALUE}).")
    private int seconds;

    @Option(
            names = "--parts",
            split = ",",
            paramLabel = "PART",
            defaultValue = "pause,redis,failover,silent",
            description = "What to measure: ${COMPLETION-CANDIDATES} (default: all).")
    private Set<Part> parts = EnumSet.allOf(Part.class);

    @Option(
            names = "--dirty-pages",
            split = ",",
            paramLabel = "PAGES",
            defaultValue = "200,2000,20000",
            description = "Rows of the pause: 200, 2000, 20000 (default: all).")
    private Set<Integer> dirtyPages = Set.of();

    @Option(
            names = "--failovers",
            paramLabel = "N",
            defaultValue = "10",
            description = "How many hosts to kill (default ${DEFAULT-VALUE}).")
    private int failovers;

    @Override
    public Integer call() throws Exception {
        if (seconds < 2 || failovers < 1) {
            System.err.println("bench: --seconds must be at least 2 and --failovers at least 1");
            return 2;
        }
        try {
            RemusResult result = measure(System.err);
            if (json) {
                System.out.println(new ObjectMapper().writeValueAsString(result));
            } else {
                RemusTable.print(result, System.out);
            }
            return 0;
        } catch (BenchException | DemoException | ReplicationException | ApiException e) {
            System.err.println("bench: " + e.getMessage());
            return 1;
        }
    }

    private RemusResult measure(PrintStream progress) throws IOException, InterruptedException {
        double load = ManagementFactory.getOperatingSystemMXBean().getSystemLoadAverage();
        List<PauseBenchmark.Row> rows = new ArrayList<>();
        if (parts.contains(Part.pause)) {
            for (PauseBenchmark.Load each : PauseBenchmark.LOADS) {
                if (dirtyPages.contains(each.dirtyPages())) {
                    rows.add(PauseBenchmark.run(each, seconds, progress));
                }
            }
        }
        List<RemusResult.Redis> redis =
                parts.contains(Part.redis)
                        ? RedisBenchmark.run(Math.max(1, seconds / 5.0), progress)
                        : null;
        RemusResult.Failover failover = failovers(Part.failover, Death.KILLED, progress);
        RemusResult.Failover silent = failovers(Part.silent, Death.SILENT, progress);
        RemusResult.Pause first = rows.isEmpty() ? null : rows.getFirst().pause();
        return new RemusResult(
                "remus",
                new RemusResult.Machine(
                        Runtime.getRuntime().availableProcessors(),
                        BenchGuest.MEMORY_MIB,
                        "tcg",
                        QemuVersionText.get(),
                        Math.round(load * 10) / 10.0),
                first == null ? null : rows.getFirst().tracker(),
                first == null
                        ? null
                        : new RemusResult.Quantiles(first.floorP50Micros(), first.floorP99Micros()),
                rows.isEmpty() ? null : rows.stream().map(PauseBenchmark.Row::pause).toList(),
                redis,
                failover,
                silent,
                rows.isEmpty() ? null : rows.stream().map(PauseBenchmark.Row::encoding).toList());
    }

    private RemusResult.Failover failovers(Part part, Death death, PrintStream progress)
            throws IOException {
        return parts.contains(part) ? FailoverBenchmark.run(failovers, death, progress) : null;
    }
}
