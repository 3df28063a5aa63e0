package holdfast.bench;

import holdfast.engine.remus.PrimaryObserver;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.Taps;

import java.io.IOException;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Redis requests per second, unprotected and with its output held at several intervals, in turns on
 * one guest. Guest and client meet at a bridge in this process's own network namespace.
 */
final class RedisBenchmark {
    private static final String BRIDGE = "hfbench";
    private static final String HOST_ADDRESS = "10.77.1.1/24";
    private static final String GUEST_ADDRESS = "10.77.1.10";
    private static final int REDIS_PORT = 6379;
    private static final int UNPROTECTED = 0;
    private static final int[] INTERVALS_MILLIS = {UNPROTECTED, 10, 25, 100};
    private static final int[] CLIENTS = {1, 20};
    private static final int ROUNDS = 3;

    /** A row's key. */
    private record Setting(int intervalMillis, int clients) {}

    private final Map<Setting, Samples> rates = new LinkedHashMap<>();
    private final Map<Setting, Tally> tallies = new LinkedHashMap<>();
    private final double secondsEach;
    private final PrintStream progress;

    private RedisBenchmark(double secondsEach, PrintStream progress) {
        this.secondsEach = secondsEach;
        this.progress = progress;
    }

    /**
     * @param secondsEach for one rate, of which there are 24
     */
    static List<RemusResult.Redis> run(double secondsEach, PrintStream progress)
            throws IOException, InterruptedException {
        if (System.getenv("HOLDFAST_BENCH_NETWORK") == null) {
            throw new BenchException(
                    "start this by ./bench: it makes a bridge and taps, which belong in a network"
                            + " namespace of their own");
        }
        RedisBenchmark benchmark = new RedisBenchmark(secondsEach, progress);
        try (Cleanup cleanup = new Cleanup()) {
            benchmark.measure(cleanup);
        }
        return benchmark.result();
    }

    private void measure(Cleanup cleanup) throws IOException, InterruptedException {
        ip("link", "add", BRIDGE, "type", "bridge", "forward_delay", "0");
        cleanup.add(() -> ip("link", "delete", BRIDGE));
        ip("addr", "add", HOST_ADDRESS, "dev", BRIDGE);
        ip("link", "set", BRIDGE, "up");
        for (String tap : List.of("hfbench-a", "hfbench-b")) {
            Taps.create(tap, Optional.of(BRIDGE));
            cleanup.add(() -> Taps.remove(tap));
        }
        progress.println("redis: booting");
        Scratch scratch = cleanup.add(Scratch.create());
        BenchGuest guest =
                cleanup.add(
                        BenchGuest.boot(
                                "redis",
                                scratch,
                                "hf.ip=" + GUEST_ADDRESS + "/24 hf.redis=on",
                                List.of(
                                        new DomainSpec.TapNic(
                                                "52:54:00:68:66:02",
                                                "hfbench-a",
                                                Optional.of(BRIDGE)))));
        InetSocketAddress redis = new InetSocketAddress(GUEST_ADDRESS, REDIS_PORT);
        RespLoad.requestsPerSecond(redis, CLIENTS[CLIENTS.length - 1], secondsEach);
        for (int round = 0; round < ROUNDS; round++) {
            for (int interval : INTERVALS_MILLIS) {
                progress.printf(
                        "redis: round %d of %d, %s%n",
                        round + 1,
                        ROUNDS,
                        interval == UNPROTECTED ? "unprotected" : interval + " ms");
                if (interval == UNPROTECTED) {
                    load(redis, interval, Optional.empty());
                } else {
                    underProtection(guest, redis, interval);
                }
            }
        }
    }

    private void underProtection(BenchGuest guest, InetSocketAddress redis, int interval)
            throws IOException, InterruptedException {
        Tally tally = new Tally();
        try (Protection protection =
                Protection.start(
                        guest,
                        guest.spec().withTaps(List.of("hfbench-b")),
                        new MeasuredGuest(guest.domain(), guest.scratch().files(), tally),
                        Duration.ofMillis(interval))) {
            load(redis, interval, Optional.of(tally));
            protection.requireAlive();
        }
    }

    private void load(InetSocketAddress redis, int interval, Optional<Tally> tally)
            throws IOException, InterruptedException {
        for (int clients : CLIENTS) {
            Setting setting = new Setting(interval, clients);
            tally.ifPresent(each -> each.into(tallies.computeIfAbsent(setting, _ -> new Tally())));
            rates.computeIfAbsent(setting, _ -> new Samples())
                    .add(RespLoad.requestsPerSecond(redis, clients, secondsEach));
        }
    }

    private List<RemusResult.Redis> result() {
        List<RemusResult.Redis> rows = new ArrayList<>();
        rates.forEach(
                (setting, rate) -> {
                    double unprotected =
                            rates.get(new Setting(UNPROTECTED, setting.clients())).median();
                    Tally tally = tallies.getOrDefault(setting, new Tally());
                    rows.add(
                            new RemusResult.Redis(
                                    setting.intervalMillis(),
                                    setting.clients(),
                                    Math.round(rate.median() * 10) / 10.0,
                                    Math.round(rate.median() / unprotected * 1000) / 1000.0,
                                    setting.intervalMillis() == UNPROTECTED
                                            ? null
                                            : tally.checkpoints()));
                });
        return rows;
    }

    /** What checkpoints were like under a load; the session's thread adds, another reads. */
    private static final class Tally implements MeasuredGuest.Listener {
        private final Samples pause = new Samples();
        private final Samples dirty = new Samples();
        private Tally into = this;

        synchronized void into(Tally other) {
            into = other;
        }

        @Override
        public void due() {}

        @Override
        public synchronized void paused(PrimaryObserver.Pause measured) {
            into.add(measured);
        }

        private synchronized void add(PrimaryObserver.Pause measured) {
            pause.add(measured.totalNanos());
            dirty.add(measured.dirtyPages());
        }

        @Override
        public void released(long epoch, long nanos) {}

        synchronized RemusResult.Checkpoints checkpoints() {
            return new RemusResult.Checkpoints(
                    RemusResult.Quantiles.ofNanos(pause), dirty.median());
        }
    }

    private static void ip(String... words) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of("ip"));
        command.addAll(List.of(words));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (process.waitFor() != 0) {
            throw new BenchException(String.join(" ", command) + " failed: " + said.strip());
        }
    }
}
