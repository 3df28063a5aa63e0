package holdfast.bench;

import java.io.PrintStream;
import java.util.Locale;
import java.util.Map;

/** The result for people. */
final class RemusTable {
    private RemusTable() {}

    static void print(RemusResult result, PrintStream out) {
        RemusResult.Machine machine = result.machine();
        line(
                out,
                "%d CPUs, guest %d MiB, %s, QEMU %s, load %.1f",
                machine.cpus(),
                machine.guestMemoryMib(),
                machine.accelerator(),
                machine.qemu(),
                machine.loadAverage());
        if (result.pause() != null) {
            pause(result, out);
            encoding(result, out);
        }
        if (result.redis() != null) {
            redis(result, out);
        }
        if (result.failover() != null) {
            failover("fail-over", result.failover(), out);
        }
        if (result.silentFailover() != null) {
            failover("fail-over of a silent host", result.silentFailover(), out);
        }
    }

    private static void failover(String what, RemusResult.Failover failover, PrintStream out) {
        line(out, "");
        line(
                out,
                "%s: p50 %.0f ms, max %.0f ms, %d of %d connections survived, heartbeat deadline %d"
                        + " ms, %d acknowledged writes lost",
                what,
                failover.p50Millis(),
                failover.maxMillis(),
                failover.survived(),
                failover.runs(),
                failover.deadlineMillis(),
                failover.lostAckedWrites());
    }

    private static void pause(RemusResult result, PrintStream out) {
        line(out, "");
        line(out, "guest stopped per checkpoint, tracker %s (p50 / p99, ms)", result.tracker());
        line(
                out,
                "%8s %8s %15s %15s %8s %10s %15s",
                "written",
                "found",
                "pause",
                "floor",
                "ratio",
                "per second",
                "until release");
        for (RemusResult.Pause row : result.pause()) {
            line(
                    out,
                    "%8d %8.0f %7.2f/%7.2f %7.2f/%7.2f %8.2f %10.1f %7.2f/%7.2f",
                    row.dirtyPages(),
                    row.dirtyPagesFound(),
                    row.p50Micros() / 1000,
                    row.p99Micros() / 1000,
                    row.floorP50Micros() / 1000,
                    row.floorP99Micros() / 1000,
                    row.vsFloor(),
                    row.checkpointsPerSecond(),
                    row.releaseMicros().p50() / 1000,
                    row.releaseMicros().p99() / 1000);
        }
        line(out, "");
        line(out, "stages (p50 / p99, ms)");
        for (RemusResult.Pause row : result.pause()) {
            line(out, "%8d%s", row.dirtyPages(), stages(row.stages()));
            line(out, "%8s%s", "floor", stages(row.floorStages()));
        }
    }

    private static String stages(Map<String, RemusResult.Quantiles> each) {
        StringBuilder text = new StringBuilder();
        each.forEach(
                (name, micros) ->
                        text.append(
                                String.format(
                                        Locale.ROOT,
                                        "  %s %.2f/%.2f",
                                        name,
                                        micros.p50() / 1000,
                                        micros.p99() / 1000)));
        return text.toString();
    }

    private static void encoding(RemusResult result, PrintStream out) {
        line(out, "");
        line(
                out,
                "%8s %14s %14s %8s %20s",
                "written",
                "raw bytes",
                "on the link",
                "gain",
                "applied in (p50/p99)");
        for (RemusResult.Encoding row : result.encoding()) {
            line(
                    out,
                    "%8d %14.0f %14.0f %8.1f %8.2f/%8.2f ms",
                    row.dirtyPages(),
                    row.rawBytes(),
                    row.streamBytes(),
                    row.gain(),
                    row.applyP50Micros() / 1000,
                    row.applyP99Micros() / 1000);
        }
    }

    private static void redis(RemusResult result, PrintStream out) {
        line(out, "");
        line(
                out,
                "%12s %8s %18s %15s %16s %8s",
                "interval",
                "clients",
                "SETs per second",
                "vs unprotected",
                "pause p50/p99",
                "pages");
        for (RemusResult.Redis row : result.redis()) {
            line(
                    out,
                    "%12s %8d %18.0f %15.3f %16s",
                    row.intervalMillis() == 0 ? "unprotected" : row.intervalMillis() + " ms",
                    row.clients(),
                    row.requestsPerSecond(),
                    row.vsUnprotected(),
                    row.checkpoints() == null ? "" : checkpoints(row.checkpoints()));
        }
    }

    private static String checkpoints(RemusResult.Checkpoints checkpoints) {
        return String.format(
                Locale.ROOT,
                "%7.2f/%5.2f ms %8.0f",
                checkpoints.pauseMicros().p50() / 1000,
                checkpoints.pauseMicros().p99() / 1000,
                checkpoints.dirtyPages());
    }

    private static void line(PrintStream out, String format, Object... values) {
        out.println(String.format(Locale.ROOT, format, values));
    }
}
