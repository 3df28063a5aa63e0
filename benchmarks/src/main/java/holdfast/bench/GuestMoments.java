package holdfast.bench;

import holdfast.engine.HypervisorException;
import holdfast.qemu.qmp.QmpClient;
import holdfast.qemu.qmp.QmpEvent;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/**
 * When guests stood still and went on, by the STOP and RESUME events of the QEMUs that two daemons
 * run: the way in which QEMU's own migrations are measured. It listens at the out-of-band monitors,
 * which the daemons leave alone, and finds a new QEMU long before its guest can run.
 */
final class GuestMoments implements AutoCloseable {
    private static final Duration LIMIT = Duration.ofSeconds(5);
    private static final long LOOK_MILLIS = 30;
    private static final long CLOCKS_APART_NANOS_MAX = 50_000;
    private static final String MONITOR = "qmp-oob.sock";

    private final List<Path> runDirectories;
    private final Map<Path, QmpClient> monitors = new HashMap<>();
    private final Thread looking;
    private volatile boolean over;
    private volatile String unreachable = "all that were seen were listened to";

    // Guarded by this.
    private Optional<Path> stopped = Optional.empty();
    private long stoppedNanos;
    private long pausedNanos;
    private long resumedNanos;

    /**
     * @param runDirectories of the daemons; each QEMU has a directory in one of them
     */
    static GuestMoments of(List<Path> runDirectories) throws IOException {
        GuestMoments moments = new GuestMoments(runDirectories);
        moments.look();
        moments.looking.start();
        return moments;
    }

    private GuestMoments(List<Path> runDirectories) {
        this.runDirectories = runDirectories;
        this.looking = Thread.ofPlatform().name("guest-moments").daemon().unstarted(this::run);
    }

    /** A guest's last pause. */
    record Pause(long resumedNanos, long nanos) {}

    /** Waits for a RESUME on another QEMU than the last one that has said STOP. */
    synchronized Pause awaitMoved(long afterNanos) {
        long until = System.nanoTime() + LIMIT.toNanos();
        try {
            while (resumedNanos - afterNanos < 0) {
                long left = until - System.nanoTime();
                if (left <= 0) {
                    throw new BenchException(
                            "no QEMU said that the moved guest went on; " + unreachable);
                }
                TimeUnit.NANOSECONDS.timedWait(this, left);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new BenchException("interrupted", e);
        }
        return new Pause(resumedNanos, pausedNanos);
    }

    private void run() {
        try {
            while (!over) {
                look();
                TimeUnit.MILLISECONDS.sleep(LOOK_MILLIS);
            }
        } catch (IOException e) {
            throw new BenchException("cannot look for QEMUs", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void look() throws IOException {
        for (Path run : runDirectories) {
            try (DirectoryStream<Path> places = Files.newDirectoryStream(run)) {
                for (Path place : places) {
                    Path monitor = place.resolve(MONITOR);
                    if (!monitors.containsKey(monitor) && Files.exists(monitor)) {
                        listen(monitor);
                    }
                }
            }
        }
    }

    private void listen(Path monitor) {
        try {
            QmpClient client = QmpClient.connectOutOfBand(monitor, LIMIT);
            client.subscribe(event -> heard(monitor, event));
            monitors.put(monitor, client);
        } catch (HypervisorException notYet) {
            // It does not listen yet, or no longer; a measurement that misses it fails by that.
            unreachable = notYet.getMessage();
        }
    }

    /**
     * When QEMU says that it happened, on the clock of {@link System#nanoTime()}: whoever hears of
     * it waits for a core first, as everything does that wakes up in the pause.
     */
    static long nanos(QmpEvent event) {
        long before;
        long after;
        Instant now;
        do {
            before = System.nanoTime();
            now = Instant.now();
            after = System.nanoTime();
            // The two clocks must be read together: on a busy host a thread is put aside anywhere.
        } while (after - before > CLOCKS_APART_NANOS_MAX);
        long nowMicros =
                TimeUnit.SECONDS.toMicros(now.getEpochSecond())
                        + TimeUnit.NANOSECONDS.toMicros(now.getNano());
        return after - TimeUnit.MICROSECONDS.toNanos(nowMicros - event.timestampMicros());
    }

    private synchronized void heard(Path monitor, QmpEvent event) {
        long now = nanos(event);
        switch (event.name()) {
            case "STOP" -> {
                stoppedNanos = now;
                stopped = Optional.of(monitor);
            }
            case "RESUME" -> {
                if (stopped.isPresent() && !stopped.get().equals(monitor)) {
                    resumedNanos = now;
                    pausedNanos = now - stoppedNanos;
                    notifyAll();
                }
            }
            default -> {}
        }
    }

    @Override
    public void close() {
        over = true;
        looking.interrupt();
        try {
            looking.join(LIMIT);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        monitors.values().forEach(QmpClient::close);
    }
}
