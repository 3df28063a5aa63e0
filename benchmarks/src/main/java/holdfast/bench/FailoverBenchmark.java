package holdfast.bench;

import holdfast.cli.demo.Death;
import holdfast.cli.demo.DemoException;
import holdfast.cli.demo.DemoResult;
import holdfast.cli.demo.DemoRun;
import holdfast.cli.demo.Ending;
import holdfast.cli.demo.Storage;
import holdfast.node.api.ApiException;

import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * How long a client waits when the host dies: the demo's job, several times, each with nodes, guest
 * and client of its own.
 */
final class FailoverBenchmark {
    private static final int WRITING_SECONDS = 2;
    private static final int INTERVAL_MILLIS = 25;

    private FailoverBenchmark() {}

    static RemusResult.Failover run(int runs, Death death, PrintStream progress)
            throws IOException {
        String command = System.getProperty("holdfast.command");
        if (command == null) {
            throw new BenchException("start this by ./bench: fail-over needs the holdfast command");
        }
        Samples millis = new Samples();
        long lost = 0;
        int survived = 0;
        int deadlineMillis = 0;
        for (int run = 0; run < runs; run++) {
            DemoResult result;
            try {
                result = once(Path.of(command), death);
            } catch (DemoException | ApiException e) {
                // It counts among the runs and not among the survived; the others still tell.
                progress.printf(
                        "%s: run %d of %d failed: %s%n",
                        name(death), run + 1, runs, e.getMessage());
                continue;
            }
            deadlineMillis = result.deadlineMillis();
            lost += Math.max(0, result.lostAckedWrites());
            if (result.connectionSurvived()) {
                survived++;
                millis.add(result.failoverMillis());
            }
            progress.printf(
                    "%s: run %d of %d: %.1f ms, connection %s, %d of %d acknowledged writes"
                            + " lost%n",
                    name(death),
                    run + 1,
                    runs,
                    result.failoverMillis(),
                    result.connectionSurvived() ? "survived" : "lost",
                    result.lostAckedWrites(),
                    result.ackedWrites());
        }
        if (survived == 0) {
            throw new BenchException("no connection survived any of " + runs + " fail-overs");
        }
        return new RemusResult.Failover(
                millis.median(),
                millis.quantile(1),
                runs,
                survived,
                INTERVAL_MILLIS,
                deadlineMillis,
                lost);
    }

    private static String name(Death death) {
        return switch (death) {
            case KILLED -> "failover";
            case SILENT -> "failover of a silent host";
        };
    }

    private static DemoResult once(Path command, Death death) {
        try (Cleanup cleanup = new Cleanup();
                PrintStream quiet =
                        new PrintStream(
                                OutputStream.nullOutputStream(), false, StandardCharsets.UTF_8)) {
            DemoRun run =
                    cleanup.add(
                            DemoRun.open(
                                    command,
                                    BenchGuest.imageDirectory(),
                                    WRITING_SECONDS,
                                    INTERVAL_MILLIS,
                                    BenchGuest.MEMORY_MIB,
                                    Storage.MEMORY,
                                    death,
                                    Ending.SURVIVED,
                                    quiet));
            DemoResult result = run.run();
            run.close();
            run.deleteLogs();
            return result;
        }
    }
}
