package holdfast.bench;

import holdfast.engine.remus.PrimaryObserver;
import holdfast.node.session.PrimaryFigures;
import holdfast.node.session.SecondaryFigures;
import holdfast.qemu.launch.DomainSpec;

import java.io.IOException;
import java.io.PrintStream;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * How long a checkpoint stops the guest, stage by stage, beside the same QEMU's bare {@code stop},
 * state save and {@code cont}. Blocks of checkpoints and blocks of bare ones take turns on one
 * guest that writes all the time.
 */
final class PauseBenchmark {
    /**
     * @param dirtyPages what the guest writes in each of its rounds
     * @param writerMillis pause between two rounds of the guest's writer
     * @param intervalMillis between two checkpoints
     */
    record Load(int dirtyPages, int writerMillis, int intervalMillis) {}

    /** A row of each table. */
    record Row(String tracker, RemusResult.Pause pause, RemusResult.Encoding encoding) {}

    static final List<Load> LOADS =
            List.of(new Load(200, 2, 8), new Load(2_000, 5, 25), new Load(20_000, 20, 150));

    private static final int PAGE_BYTES = 4096;
    private static final double WARM_SHARE = 0.25;
    private static final double SUSTAINED_SHARE = 0.35;

    private PauseBenchmark() {}

    /**
     * @param seconds for all phases together, boot and live stage apart
     */
    static Row run(Load load, int seconds, PrintStream progress)
            throws IOException, InterruptedException {
        progress.printf("pause: %d dirty pages: booting%n", load.dirtyPages());
        try (Cleanup cleanup = new Cleanup()) {
            Scratch scratch = cleanup.add(Scratch.create());
            DomainSpec.Nic nic = new DomainSpec.UserNic("52:54:00:68:66:01", List.of());
            BenchGuest guest =
                    cleanup.add(
                            BenchGuest.boot(
                                    "pause" + load.dirtyPages(),
                                    scratch,
                                    "hf.ip=10.0.2.15/24 hf.writer=%d,%d"
                                            .formatted(load.dirtyPages(), load.writerMillis()),
                                    List.of(nic)));
            BareMonitor bare =
                    cleanup.add(
                            new BareMonitor(
                                    guest.process().files().qmpOutOfBand(),
                                    scratch.memory().resolve("floor")));
            return measure(load, seconds, guest, bare, cleanup, progress);
        }
    }

    private static Row measure(
            Load load,
            int seconds,
            BenchGuest guest,
            BareMonitor bare,
            Cleanup cleanup,
            PrintStream progress)
            throws IOException, InterruptedException {
        Turns turns = new Turns(load, bare);
        Protection protection =
                cleanup.add(
                        Protection.start(
                                guest,
                                guest.spec(),
                                new MeasuredGuest(guest.domain(), guest.scratch().files(), turns),
                                Duration.ofMillis(load.intervalMillis())));
        progress.printf("pause: %d dirty pages: warming up%n", load.dirtyPages());
        Thread.sleep((long) (1000 * seconds * WARM_SHARE));
        progress.printf("pause: %d dirty pages: measuring%n", load.dirtyPages());
        turns.begin();
        Thread.sleep((long) (1000 * seconds * (1 - WARM_SHARE - SUSTAINED_SHARE)));
        turns.end();
        protection.requireAlive();
        progress.printf("pause: %d dirty pages: sustained rate%n", load.dirtyPages());
        long begin = System.nanoTime();
        PrimaryFigures before = protection.primary();
        long pagesBefore = turns.pagesTotal();
        Thread.sleep((long) (1000 * seconds * SUSTAINED_SHARE));
        PrimaryFigures after = protection.primary();
        double elapsed = (System.nanoTime() - begin) / 1e9;
        double checkpoints = after.epochsCommitted() - before.epochsCommitted();
        double raw = PAGE_BYTES * (turns.pagesTotal() - pagesBefore) / checkpoints;
        double stream = (after.streamBytes() - before.streamBytes()) / checkpoints;
        SecondaryFigures applied = protection.secondary();
        protection.requireAlive();
        return new Row(
                protection.tracker(),
                turns.result(Math.round(checkpoints / elapsed * 10) / 10.0),
                new RemusResult.Encoding(
                        load.dirtyPages(),
                        Math.round(raw),
                        Math.round(stream),
                        Math.round(raw / stream * 10) / 10.0,
                        applied.applyMicrosP50(),
                        applied.applyMicrosP99()));
    }

    /** Whose turn it is. The session's thread calls it; other threads begin, end and read. */
    private static final class Turns implements MeasuredGuest.Listener {
        private static final int BLOCK_CHECKPOINTS = 100;
        private static final int BLOCK_FLOORS = 50;

        /** A guest of many pages takes seconds for a full block. */
        private static final long BLOCK_NANOS = 1_000_000_000L;

        private final Load load;
        private final BareMonitor bare;
        private final Samples floor = new Samples();
        private final Samples total = new Samples();
        private final Samples dirty = new Samples();
        private final Samples release = new Samples();
        private final Map<String, Samples> stages = new LinkedHashMap<>();
        private final Map<String, Samples> floorStages = new LinkedHashMap<>();
        private boolean measuring;
        private boolean afterFloor;
        private int inBlock;
        private long blockBegan;
        private long pagesTotal;
        private Exception failure;

        Turns(Load load, BareMonitor bare) {
            this.load = load;
            this.bare = bare;
        }

        synchronized void begin() {
            measuring = true;
            inBlock = BLOCK_CHECKPOINTS;
        }

        synchronized void end() {
            measuring = false;
        }

        synchronized long pagesTotal() {
            return pagesTotal;
        }

        @Override
        public synchronized void due() {
            long now = System.nanoTime();
            boolean blockOver = inBlock >= BLOCK_CHECKPOINTS || now - blockBegan > BLOCK_NANOS;
            if (!measuring || failure != null || !blockOver) {
                return;
            }
            try {
                for (int i = 0; i < BLOCK_FLOORS && System.nanoTime() - now < BLOCK_NANOS; i++) {
                    BareMonitor.Floor one = bare.floor();
                    floor.add(one.totalNanos());
                    add(floorStages, "stop", one.stopNanos());
                    add(floorStages, "save", one.saveNanos());
                    add(floorStages, "cont", one.contNanos());
                    // The guest runs between two of them as it does between two checkpoints.
                    Thread.sleep(load.intervalMillis());
                }
            } catch (IOException | InterruptedException e) {
                failure = e;
            }
            inBlock = 0;
            blockBegan = System.nanoTime();
            afterFloor = true;
        }

        @Override
        public synchronized void paused(PrimaryObserver.Pause pause) {
            pagesTotal += pause.dirtyPages();
            if (!measuring) {
                return;
            }
            inBlock++;
            if (afterFloor) {
                // Its epoch was as long as the whole block before it.
                afterFloor = false;
                return;
            }
            total.add(pause.totalNanos());
            dirty.add(pause.dirtyPages());
            add(stages, "suspend", pause.suspendNanos());
            add(stages, "state", pause.stateNanos());
            add(stages, "output", pause.outputNanos());
            add(stages, "track", pause.trackNanos());
            add(stages, "copy", pause.copyNanos());
            add(stages, "resume", pause.resumeNanos());
        }

        private static void add(Map<String, Samples> to, String name, long nanos) {
            to.computeIfAbsent(name, _ -> new Samples()).add(nanos);
        }

        private static Map<String, RemusResult.Quantiles> quantiles(Map<String, Samples> of) {
            Map<String, RemusResult.Quantiles> found = new LinkedHashMap<>();
            of.forEach((name, nanos) -> found.put(name, RemusResult.Quantiles.ofNanos(nanos)));
            return found;
        }

        @Override
        public synchronized void released(long epoch, long nanos) {
            if (measuring && !afterFloor) {
                release.add(nanos);
            }
        }

        synchronized RemusResult.Pause result(double checkpointsPerSecond) {
            if (failure != null) {
                throw new BenchException("the floor could not be measured", failure);
            }
            if (total.count() == 0 || floor.count() == 0) {
                throw new BenchException(
                        "no checkpoint was measured: give the measurement more --seconds");
            }
            RemusResult.Quantiles pause = RemusResult.Quantiles.ofNanos(total);
            RemusResult.Quantiles bareFloor = RemusResult.Quantiles.ofNanos(floor);
            return new RemusResult.Pause(
                    load.dirtyPages(),
                    dirty.median(),
                    load.intervalMillis(),
                    total.count(),
                    floor.count(),
                    pause.p50(),
                    pause.p99(),
                    bareFloor.p50(),
                    bareFloor.p99(),
                    Math.round(pause.p50() / bareFloor.p50() * 100) / 100.0,
                    quantiles(stages),
                    quantiles(floorStages),
                    RemusResult.Quantiles.ofNanos(release),
                    checkpointsPerSecond);
        }
    }
}
