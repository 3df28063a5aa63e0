package holdfast.bench;

import com.fasterxml.jackson.databind.ObjectMapper;

import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;

/** {@code ./bench disk-apply}. */
@Command(
        name = "disk-apply",
        description =
                "Committing and applying an epoch of disk writes on the secondary, beside pwrite"
                        + " and fdatasync of the same writes.",
        mixinStandardHelpOptions = true)
final class DiskApplyCommand implements Callable<Integer> {
    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Option(
            names = "--directory",
            paramLabel = "DIR",
            defaultValue = "target",
            description =
                    "On the file system to measure; takes 700 MiB (default ${DEFAULT-VALUE}).")
    private Path directory;

    @Option(
            names = "--epochs",
            paramLabel = "N",
            defaultValue = "100",
            description = "Epochs of each size (default ${DEFAULT-VALUE}).")
    private int epochs;

    @Override
    public Integer call() throws Exception {
        if (epochs < 1) {
            System.err.println("bench: --epochs must be at least 1");
            return 2;
        }
        DiskApplyBenchmark.Result result = DiskApplyBenchmark.run(directory, epochs);
        if (json) {
            System.out.println(new ObjectMapper().writeValueAsString(result));
            return 0;
        }
        System.out.printf(
                Locale.ROOT,
                "%s, load average %.1f; milliseconds, p50 / p99%n%10s %10s %19s %19s %19s %8s%n",
                result.directory(),
                result.loadAverage(),
                "bytes",
                "buffer",
                "commit",
                "apply",
                "pwrite+fdatasync",
                "ratio");
        for (DiskApplyBenchmark.Row row : result.rows()) {
            System.out.printf(
                    Locale.ROOT,
                    "%10d %10.2f %9.2f /%8.2f %9.2f /%8.2f %9.2f /%8.2f %8.2f%n",
                    row.epochBytes(),
                    row.bufferP50Micros() / 1e3,
                    row.commitP50Micros() / 1e3,
                    row.commitP99Micros() / 1e3,
                    row.applyP50Micros() / 1e3,
                    row.applyP99Micros() / 1e3,
                    row.plainP50Micros() / 1e3,
                    row.plainP99Micros() / 1e3,
                    row.commitVsPlain());
        }
        return 0;
    }
}
