package holdfast.bench;

import com.fasterxml.jackson.databind.ObjectMapper;

import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

import java.util.Locale;
import java.util.concurrent.Callable;

/** {@code ./bench nbd}. */
@Command(
        name = "nbd",
        description = {
            "The NBD server beside nbdkit's memory plug-in and qemu-nbd (on a file in /dev/shm):"
                    + " sequential 1 MiB and random 4 KiB, reading and writing.",
            "Takes about four minutes."
        },
        mixinStandardHelpOptions = true)
final class NbdCommand implements Callable<Integer> {
    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Option(
            names = "--rounds",
            paramLabel = "N",
            defaultValue = "5",
            description = "Turns of each server at each workload (default ${DEFAULT-VALUE}).")
    private int rounds;

    @Option(
            names = "--seconds",
            paramLabel = "N",
            defaultValue = "3",
            description = "Time of each turn (default ${DEFAULT-VALUE}).")
    private int seconds;

    @Option(
            names = "--size-mib",
            paramLabel = "MIB",
            defaultValue = "512",
            description = "Size of each export (default ${DEFAULT-VALUE}).")
    private int sizeMib;

    @Override
    public Integer call() throws Exception {
        if (rounds < 1 || seconds < 1 || sizeMib < 16) {
            System.err.println(
                    "bench: --rounds and --seconds must be at least 1, --size-mib at least 16");
            return 2;
        }
        try {
            NbdResult result = NbdBenchmark.run(rounds, seconds, (long) sizeMib << 20, System.err);
            if (json) {
                System.out.println(new ObjectMapper().writeValueAsString(result));
            } else {
                print(result);
            }
            return 0;
        } catch (BenchException e) {
            System.err.println("bench: " + e.getMessage());
            return 1;
        }
    }

    private static void print(NbdResult result) {
        System.out.printf(
                "%-17s %7s %20s %20s %20s %9s %12s%n",
                "workload", "block", "holdfast", "nbdkit", "qemu-nbd", "vs nbdkit", "vs qemu-nbd");
        for (NbdResult.Row row : result.rows()) {
            System.out.printf(
                    Locale.ROOT,
                    "%-17s %7d %s %s %s %9.2f %12.2f%n",
                    row.workload(),
                    row.blockBytes(),
                    text(row.holdfast()),
                    text(row.nbdkit()),
                    text(row.qemuNbd()),
                    row.vsNbdkit(),
                    row.vsQemuNbd());
        }
    }

    private static String text(NbdResult.Rate rate) {
        return String.format(
                Locale.ROOT, "%7.0f MiB/s %6.0f/s", rate.mibPerSecond(), rate.requestsPerSecond());
    }
}
