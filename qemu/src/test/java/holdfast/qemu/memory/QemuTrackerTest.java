package holdfast.qemu.memory;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.engine.memory.PfnSet;
import holdfast.engine.port.DirtyTracker;
import holdfast.qemu.GuestImage;
import holdfast.qemu.qmp.QmpClient;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * A real QEMU whose firmware runs, or Linux boots: what the write-protect tracker reports is
 * compared with what really differs, the guest suspended at each look.
 */
@Tag("qemu")
@Timeout(180)
class QemuTrackerTest {
    /** What the guest does between two looks. */
    private enum Stretch {
        /**
         * Runs for as long as two monitor commands take, and is reset now and then to have work.
         */
        FIRMWARE_WITH_RESETS,
        /** Boots a kernel, for an epoch of 25 ms. */
        LINUX_BOOTING
    }

    private static final long EPOCH_NANOS = 25_000_000;

    @Test
    void firmware_every_page_that_differs_was_reported_and_few_others() throws Exception {
        checkWith(64L << 20, Stretch.FIRMWARE_WITH_RESETS, 100, List.of());
    }

    @Test
    void linux_every_page_that_differs_was_reported_and_few_others() throws Exception {
        GuestImage guest = GuestImage.find();
        checkWith(
                192L << 20,
                Stretch.LINUX_BOOTING,
                60,
                List.of(
                        "-kernel",
                        guest.kernel().toString(),
                        "-initrd",
                        guest.initrd().toString(),
                        "-append",
                        "quiet"));
    }

    private static void checkWith(long bytes, Stretch stretch, int rounds, List<String> options)
            throws Exception {
        Path directory = Files.createTempDirectory("hf-qemu-track-");
        try (TemporaryRam ram = new TemporaryRam(bytes)) {
            long pid = startQemu(directory, ram.memory(), options);
            ProcessHandle qemu = ProcessHandle.of(pid).orElseThrow();
            try (QmpClient monitor =
                    QmpClient.connect(directory.resolve("qmp"), Duration.ofSeconds(10))) {
                compareMany(pid, ram.memory(), monitor, stretch, rounds);
                assertThat(
                                monitor.execute("query-status").get("running").asBoolean()
                                        && qemu.isAlive())
                        .as("QEMU runs on after its trackers are closed")
                        .isTrue();
            } finally {
                qemu.destroyForcibly();
                qemu.onExit().get(20, TimeUnit.SECONDS);
            }
        } finally {
            for (String name : List.of("qmp", "pid")) {
                Files.deleteIfExists(directory.resolve(name));
            }
            Files.delete(directory);
        }
    }

    private static long startQemu(Path directory, MappedMemory memory, List<String> options)
            throws Exception {
        long bytes = memory.bytes().byteSize();
        List<String> command = new ArrayList<>();
        command.addAll(List.of("qemu-system-x86_64", "-daemonize", "-pidfile"));
        command.add(directory.resolve("pid").toString());
        command.addAll(List.of("-accel", "tcg", "-machine", "q35,memory-backend=ram", "-object"));
        command.add(
                "memory-backend-file,id=ram,size=%d,mem-path=%s,share=on"
                        .formatted(bytes, memory.path()));
        command.addAll(List.of("-m", (bytes >> 20) + "M", "-display", "none", "-nodefaults"));
        command.addAll(List.of("-qmp", "unix:" + directory.resolve("qmp") + ",server=on,wait=off"));
        command.addAll(options);
        Process start = new ProcessBuilder(command).inheritIO().start();
        if (!start.waitFor(20, TimeUnit.SECONDS) || start.exitValue() != 0) {
            start.destroyForcibly();
            throw new IllegalStateException("QEMU did not start");
        }
        return Long.parseLong(Files.readString(directory.resolve("pid")).strip());
    }

    private static void compareMany(
            long pid, MappedMemory memory, QmpClient monitor, Stretch stretch, int rounds) {
        GuestActivity suspended = () -> GuestActivity.State.SUSPENDED;
        List<Long> scanNanos = new ArrayList<>();
        long reported = 0;
        long differing = 0;
        monitor.execute("stop");
        // Opened while the guest stands still: both trackers begin at the same content. Several in
        // a row: the second works too.
        for (int attempt = 0; attempt < 2; attempt++) {
            try (DirtyTracker tracker =
                            DirtyTrackers.open(
                                            pid,
                                            memory,
                                            suspended,
                                            Optional.of(TrackerKind.WRITE_PROTECT))
                                    .tracker();
                    DirtyTracker oracle =
                            DirtyTrackers.open(
                                            pid,
                                            memory,
                                            suspended,
                                            Optional.of(TrackerKind.COMPARE))
                                    .tracker()) {
                oracle.collect(new PfnSet(memory.pages()));
                SplittableRandom random = new SplittableRandom(attempt);
                for (int round = 0; round < rounds; round++) {
                    monitor.execute("cont");
                    switch (stretch) {
                        case LINUX_BOOTING -> LockSupport.parkNanos(EPOCH_NANOS);
                        case FIRMWARE_WITH_RESETS -> {
                            if (random.nextInt(8) == 0) {
                                monitor.execute("system_reset");
                            }
                        }
                    }
                    monitor.execute("stop");
                    PfnSet found = new PfnSet(memory.pages());
                    long before = System.nanoTime();
                    tracker.collect(found);
                    scanNanos.add(System.nanoTime() - before);
                    PfnSet expected = new PfnSet(memory.pages());
                    oracle.collect(expected);
                    reported += found.count();
                    differing += expected.count();
                    PfnSet missed = new PfnSet(memory.pages());
                    missed.addAll(expected);
                    missed.removeAll(found);
                    assertThat(missed.next(0)).as("a page missed in round %d", round).isEqualTo(-1);
                }
            }
        }
        monitor.execute("cont");
        Collections.sort(scanNanos);
        System.out.printf(
                "qemu %s: %d rounds, %d pages differed, %d reported, scan p50 %d us%n",
                stretch,
                scanNanos.size(),
                differing,
                reported,
                scanNanos.get(scanNanos.size() / 2) / 1000);
        assertThat(differing).as("pages that differed, to make this a test").isPositive();
        // Reported and equal: written with what stood there, which firmware does when it clears
        // memory.
        assertThat(reported).isLessThanOrEqualTo(8 * differing + 64L * scanNanos.size());
    }
}
