package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;

import holdfast.node.nbd.MemoryExport;
import holdfast.node.nbd.NbdLimits;
import holdfast.node.nbd.NbdServer;
import holdfast.qemu.disk.DiskMirror;
import holdfast.qemu.launch.Accelerator;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.QemuCommandLine;
import holdfast.qemu.launch.QemuFiles;
import holdfast.qemu.launch.QemuProcess;
import holdfast.qemu.net.GuestStop;
import holdfast.qemu.qmp.QmpClient;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.net.UnixDomainSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Mirrors whose target fails, under a guest that writes without a pause. {@code
 * -Dholdfast.kills=all} for more of each.
 */
@Tag("qemu")
@Timeout(300)
class DiskMirrorTest {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final int LOADED_MIB = 4;
    private static final int ROUNDS = "all".equals(System.getProperty("holdfast.kills")) ? 24 : 8;

    /** A QEMU whose guest checks what it writes to disk 0, and loads disk 1. */
    private static final class Loaded implements AutoCloseable {
        final TestHosts hosts = new TestHosts();
        final DiskGuest guest = DiskGuest.in(hosts, "g");
        final QemuProcess process;
        final QmpClient qmp;

        /** Names of events that say whether the guest runs, and of jobs that ended. */
        final List<String> told = Collections.synchronizedList(new ArrayList<>());

        Loaded() throws Exception {
            Path load = hosts.directory.resolve("load.img");
            for (Path image : List.of(guest.image(), load)) {
                try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
                    file.setLength(8 << 20);
                }
            }
            Path boot = DiskGuest.bootFiles();
            DomainSpec spec =
                    DomainSpec.of("g", UUID.randomUUID(), 96)
                            .withAccelerator(Accelerator.TCG)
                            .withBoot(
                                    new DomainSpec.Kernel(
                                            boot.resolve("vmlinuz"),
                                            Optional.of(boot.resolve("initrd.gz")),
                                            "console=ttyS0 quiet panic=1 hf.diskwriter=vda,"
                                                    + DiskGuest.SLOTS
                                                    + ",1 hf.diskload=vdb,"
                                                    + LOADED_MIB))
                            .withDisks(List.of(disk(guest.image()), disk(load)))
                            .withSerial(guest.serial());
            process =
                    QemuProcess.start(
                            spec,
                            new QemuFiles(hosts.directory.resolve("q"), hosts.ram.resolve("q.ram")),
                            Accelerator.TCG,
                            QemuCommandLine.Start.RUNNING,
                            LIMIT);
            qmp = QmpClient.connect(process.files().qmp(), LIMIT);
            qmp.subscribe(
                    event -> {
                        String status = event.data().path("status").asText();
                        switch (event.name()) {
                            case "STOP", "RESUME" -> told.add(event.name());
                            case "JOB_STATUS_CHANGE" -> {
                                if (status.equals("null")) {
                                    told.add("job gone");
                                }
                            }
                            default -> {}
                        }
                    });
            guest.awaitWrites();
        }

        private static DomainSpec.Disk disk(Path image) {
            return new DomainSpec.Disk(image, DomainSpec.Format.RAW, DomainSpec.Access.READ_WRITE);
        }

        Mirrored mirror(int disk) throws IOException {
            return new Mirrored(this, disk);
        }

        void requireAlive() throws Exception {
            assertThat(process.alive()).isTrue();
            assertThat(qmp.execute("query-status").path("status").asText()).isEqualTo("running");
            assertThat(jobs()).isEmpty();
            guest.awaitWrites();
        }

        List<JsonNode> jobs() {
            List<JsonNode> jobs = new ArrayList<>();
            qmp.execute("query-block-jobs").forEach(jobs::add);
            return jobs;
        }

        @Override
        public void close() throws IOException {
            qmp.close();
            process.kill(LIMIT);
            hosts.close();
        }
    }

    /** A disk in sync with an export that fails when told to. */
    private static final class Mirrored implements AutoCloseable {
        final FaultyExport export;
        final DiskMirror mirror;
        private final MemoryExport memory;
        private final NbdServer server;
        private final CountDownLatch ready = new CountDownLatch(1);
        final CountDownLatch failed = new CountDownLatch(1);

        Mirrored(Loaded loaded, int disk) throws IOException {
            Path socket = loaded.hosts.directory.resolve("disk" + disk + ".sock");
            Files.deleteIfExists(socket);
            memory = new MemoryExport("disk" + disk, 8 << 20);
            export = new FaultyExport(memory);
            server =
                    NbdServer.open(
                            UnixDomainSocketAddress.of(socket),
                            NbdLimits.DEFAULT,
                            Optional.empty());
            server.add(export);
            mirror =
                    DiskMirror.start(
                            loaded.qmp,
                            GuestStop.alone(loaded.qmp),
                            loaded.process.files().qmpOutOfBand(),
                            disk,
                            QemuCommandLine.diskNode(disk),
                            socket,
                            export.name(),
                            new DiskMirror.Listener() {
                                @Override
                                public void ready() {
                                    ready.countDown();
                                }

                                @Override
                                public void failed(String reason) {
                                    failed.countDown();
                                }
                            });
        }

        void awaitSync() throws InterruptedException {
            await(ready);
        }

        void die() throws IOException {
            server.close();
        }

        @Override
        public void close() throws IOException {
            die();
            memory.close();
        }
    }

    private static void await(CountDownLatch latch) throws InterruptedException {
        assertThat(latch.await(LIMIT.toSeconds(), TimeUnit.SECONDS)).isTrue();
    }

    private static void remove(Loaded loaded, Mirrored mirrored) {
        DiskMirror.remove(List.of(mirrored.mirror), GuestStop.alone(loaded.qmp));
    }

    @Test
    void a_lost_write_is_told_before_the_guest_stands_and_its_job_ends_only_then()
            throws Exception {
        long seed = System.nanoTime();
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        try (Loaded loaded = new Loaded()) {
            for (int round = 0; round < ROUNDS; round++) {
                try (Mirrored mirrored = loaded.mirror(1)) {
                    mirrored.awaitSync();
                    mirrored.export.lose(1 + random.nextInt(200));
                    boolean lost = false;
                    while (!lost) {
                        loaded.qmp.execute("stop");
                        lost = mirrored.export.lost.getCount() == 0;
                        assertThat(mirrored.mirror.failure().isPresent())
                                .as("round %d: lost %s", round, lost)
                                .isEqualTo(lost);
                        loaded.qmp.execute("cont");
                    }
                    assertThat(loaded.jobs()).hasSize(1);
                    assertThat(loaded.jobs().getFirst().path("paused").asBoolean()).isTrue();
                    if (round % 2 == 0) {
                        loaded.guest.awaitWrites();
                    }
                    assertThat(mirrored.mirror.failure()).isPresent();
                    loaded.told.clear();
                    remove(loaded, mirrored);
                    assertThat(loaded.told).containsExactly("STOP", "job gone", "RESUME");
                }
            }
            loaded.requireAlive();
            loaded.process.kill(LIMIT);
            loaded.guest.requirePattern(loaded.guest.image());
        }
    }

    @Test
    void what_a_killed_daemon_left_is_removed_while_the_guest_stands() throws Exception {
        try (Loaded loaded = new Loaded()) {
            for (int round = 0; round < ROUNDS; round++) {
                try (Mirrored writer = loaded.mirror(0);
                        Mirrored load = loaded.mirror(1)) {
                    writer.awaitSync();
                    load.awaitSync();
                    writer.die();
                    load.die();
                    await(writer.failed);
                    await(load.failed);
                    loaded.told.clear();
                    assertThat(removeLeftovers(loaded)).isEqualTo(2);
                    assertThat(loaded.told)
                            .containsExactly("STOP", "job gone", "job gone", "RESUME");
                }
            }
            loaded.requireAlive();

            try (Mirrored left = loaded.mirror(1)) {
                left.awaitSync();
                loaded.qmp.execute("stop");
                loaded.told.clear();
                assertThat(removeLeftovers(loaded)).isEqualTo(1);
                assertThat(loaded.told)
                        .as("a suspended guest stays so")
                        .containsExactly("job gone");
            }
            assertThat(removeLeftovers(loaded)).isZero();
            loaded.qmp.execute("cont");
            loaded.requireAlive();
        }
    }

    private static int removeLeftovers(Loaded loaded) {
        return DiskMirror.removeLeftovers(loaded.qmp, loaded.process.files().qmpOutOfBand());
    }
}
