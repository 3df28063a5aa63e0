package holdfast.cli.demo;

import holdfast.node.api.ApiClient;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * The guest is moved to the other host and back, again and again, while the client writes to it
 * over one TCP connection; in the end every write that was acknowledged is read back.
 */
final class MigrationDemo {
    private MigrationDemo() {}

    /**
     * What {@code ./demo migrate --json} prints as its last line. Names are a contract with
     * people's scripts.
     *
     * @param job always {@code migrate}
     * @param migrations that moved the guest
     * @param ackedWrites writes that the client got an answer to
     * @param lostAckedWrites of those, how many the guest does not have in the end; -1 when it
     *     could not be asked
     * @param connectionSurvived whether the one TCP connection carried all of it
     * @param downtimeMillis how long the guest stood still, from the order to stop on the source
     *     until the source heard that it runs on the destination
     * @param totalMillis of a migration, the start of the destination's QEMU included
     * @param memoryVerified after how many migrations the guest found every page that it watches to
     *     be what it had written
     * @param silenceMillis the longest time in which the client got no answer
     */
    record Result(
            String job,
            int migrations,
            long ackedWrites,
            long lostAckedWrites,
            boolean connectionSurvived,
            Spread downtimeMillis,
            Spread totalMillis,
            int memoryVerified,
            double silenceMillis) {
        boolean good() {
            return connectionSurvived
                    && lostAckedWrites == 0
                    && ackedWrites > 0
                    && memoryVerified == migrations;
        }
    }

    /** Milliseconds. */
    record Spread(double p50, double max) {
        static Spread of(List<Double> values) {
            List<Double> sorted = new ArrayList<>(values);
            Collections.sort(sorted);
            return new Spread(sorted.get((sorted.size() - 1) / 2), sorted.getLast());
        }
    }

    static Result run(Demo demo, int migrations) {
        if (migrations < 1) {
            throw new DemoException("--migrations " + migrations + ": allowed 1 or more");
        }
        MemoryVerdicts verdicts = new MemoryVerdicts(demo.directory().resolve("console.log"));
        return demo.withGuest(
                new Demo.GuestExtra(verdicts.commandLine(), verdicts.yaml()),
                (_, client) -> moveAround(demo, client, verdicts, migrations));
    }

    private static Result moveAround(
            Demo demo, Worker client, MemoryVerdicts verdicts, int migrations) {
        List<Double> downtimes = new ArrayList<>();
        List<Double> totals = new ArrayList<>();
        Lab.Host from = Lab.Host.A;
        Lab.Host to = Lab.Host.B;
        long pause = Math.max(200, demo.options().seconds() * 1000L / migrations);
        verdicts.await();
        for (int i = 0; i < migrations; i++) {
            Demo.sleep(pause);
            ApiClient node = demo.node(from);
            MigrateResult result =
                    node.migrate(
                            MigrateRequest.of(Demo.DOMAIN, to.address()),
                            progress -> demo.timeline().working(progress.text()));
            if (!result.moved()) {
                throw new DemoException("the guest was not moved: " + result.reason());
            }
            verdicts.await();
            downtimes.add(result.downtimeMillis());
            totals.add(result.totalMillis());
            demo.timeline()
                    .happened(
                            String.format(
                                    Locale.ROOT,
                                    "moved from %s to %s: stood still %.1f ms, %.0f ms in all, its"
                                            + " memory is whole; %s",
                                    from,
                                    to,
                                    result.downtimeMillis(),
                                    result.totalMillis(),
                                    client.latest(line -> line.startsWith("acked "), "acked 0")));
            Lab.Host was = from;
            from = to;
            to = was;
        }
        client.tell("stop");
        Map<String, String> end =
                Demo.fields(client.await(line -> line.startsWith("result "), "the result", 60));
        double silence =
                (Long.parseLong(end.get("gapEnd")) - Long.parseLong(end.get("gapStart"))) / 1e6;
        demo.timeline()
                .happened(
                        end.get("failure").isEmpty()
                                ? "%s writes acknowledged, each read back: %s lost"
                                        .formatted(end.get("acked"), end.get("lost"))
                                : "the connection did not survive: " + end.get("failure"));
        return new Result(
                "migrate",
                migrations,
                Long.parseLong(end.get("acked")),
                Long.parseLong(end.get("lost")),
                end.get("failure").isEmpty(),
                Spread.of(downtimes),
                Spread.of(totals),
                downtimes.size(),
                Math.round(silence * 10) / 10.0);
    }

    static String summary(Result result) {
        return String.format(
                Locale.ROOT,
                "%s moved %d times, stood still %.1f ms (at most %.1f), %.0f ms each in all, %d"
                        + " acknowledged writes, %d lost, the client waited %.0f ms at most.",
                result.good() ? "Nothing was lost:" : "Something was lost:",
                result.migrations(),
                result.downtimeMillis().p50(),
                result.downtimeMillis().max(),
                result.totalMillis().p50(),
                result.ackedWrites(),
                result.lostAckedWrites(),
                result.silenceMillis());
    }
}
