package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;

import holdfast.engine.HypervisorException;
import holdfast.node.nbd.ExtentSink;
import holdfast.node.nbd.MemoryExport;
import holdfast.node.nbd.NbdException;
import holdfast.node.nbd.NbdExport;
import holdfast.node.nbd.NbdLimits;
import holdfast.node.nbd.NbdServer;
import holdfast.qemu.disk.DiskMirror;
import holdfast.qemu.disk.RescueMonitor;
import holdfast.qemu.launch.Accelerator;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.QemuCommandLine;
import holdfast.qemu.launch.QemuFiles;
import holdfast.qemu.launch.QemuProcess;
import holdfast.qemu.net.GuestStop;
import holdfast.qemu.qmp.QmpClient;
import holdfast.wire.nbd.NbdError;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Mirrors whose target fails or hangs, under a guest that writes without a pause. {@code
 * -Dholdfast.kills=all} for more of each.
 */
@Tag("qemu")
@Timeout(300)
class DiskMirrorTest {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final int LOADED_MIB = 4;
    private static final int DISK_BYTES = 8 << 20;
    private static final int ROUNDS = "all".equals(System.getProperty("holdfast.kills")) ? 24 : 8;

    /** A QEMU whose guest checks what it writes to disk 0, and loads disk 1. */
    private static final class Loaded implements AutoCloseable {
        final TestHosts hosts = new TestHosts();
        final DiskGuest guest = DiskGuest.in(hosts, "g");
        final QemuProcess process;
        private Optional<NbdServer> source = Optional.empty();
        final QmpClient qmp;
        RescueMonitor rescue;

        /** Names of events that say whether the guest runs, and of jobs that ended. */
        final List<String> told = Collections.synchronizedList(new ArrayList<>());

        Loaded() throws Exception {
            this(Optional.empty());
        }

        /**
         * @param loaded what disk 1 is, where it is no file
         */
        Loaded(Optional<NbdExport> loaded) throws Exception {
            Path load = hosts.directory.resolve("load.img");
            for (Path image : List.of(guest.image(), load)) {
                try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
                    file.setLength(DISK_BYTES);
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
            if (loaded.isPresent()) {
                Path socket = hosts.directory.resolve("source.sock");
                source =
                        Optional.of(
                                NbdServer.open(
                                        UnixDomainSocketAddress.of(socket),
                                        NbdLimits.DEFAULT,
                                        Optional.empty()));
                source.get().add(loaded.get());
                spec = remote(spec, guest.image(), socket, loaded.get().name());
            }
            process =
                    QemuProcess.start(
                            spec,
                            new QemuFiles(hosts.directory.resolve("q"), hosts.ram.resolve("q.ram")),
                            Accelerator.TCG,
                            QemuCommandLine.Start.RUNNING,
                            LIMIT);
            qmp = QmpClient.connect(process.files().qmp(), LIMIT);
            rescue = RescueMonitor.open(qmp, process.files().qmpOutOfBand());
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

        /** As {@code spec}, but disk 1 is what an NBD server serves. */
        private static DomainSpec remote(DomainSpec spec, Path image, Path socket, String export) {
            String node = QemuCommandLine.diskNode(1);
            return spec.withDisks(List.of(disk(image)))
                    .withExtra(
                            List.of(
                                    "-blockdev",
                                    "driver=nbd,node-name=%s,server.type=unix,server.path=%s,export=%s"
                                            .formatted(node, socket, export),
                                    "-device",
                                    "virtio-blk-pci,drive=" + node));
        }

        private static DomainSpec.Disk disk(Path image) {
            return new DomainSpec.Disk(image, DomainSpec.Format.RAW, DomainSpec.Access.READ_WRITE);
        }

        Mirrored mirror(int disk) throws IOException {
            return mirror(disk, DISK_BYTES);
        }

        /**
         * @param bytes of the export
         */
        Mirrored mirror(int disk, int bytes) throws IOException {
            return new Mirrored(this, disk, bytes);
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
            rescue.close();
            qmp.close();
            process.kill(LIMIT);
            if (source.isPresent()) {
                source.get().close();
            }
            hosts.close();
        }
    }

    private static final class Told implements DiskMirror.Listener {
        final CountDownLatch ready = new CountDownLatch(1);
        final CountDownLatch failed = new CountDownLatch(1);

        @Override
        public void ready() {
            ready.countDown();
        }

        @Override
        public void failed(String reason) {
            failed.countDown();
        }
    }

    /** A disk in sync with an export that fails when told to. */
    private static final class Mirrored implements AutoCloseable {
        final FaultyExport export;
        final DiskMirror mirror;
        private final MemoryExport memory;
        private final NbdServer server;
        final Told told = new Told();

        Mirrored(Loaded loaded, int disk, int bytes) throws IOException {
            Path socket = loaded.hosts.directory.resolve("disk" + disk + ".sock");
            Files.deleteIfExists(socket);
            memory = new MemoryExport("disk" + disk, bytes);
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
                            loaded.rescue,
                            disk,
                            QemuCommandLine.diskNode(disk),
                            socket,
                            export.name(),
                            told);
        }

        void awaitSync() throws InterruptedException {
            await(told.ready);
        }

        void die() throws IOException {
            server.close();
        }

        @Override
        public void close() throws IOException {
            export.release();
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
                    await(writer.told.failed);
                    await(load.told.failed);
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

    @Test
    void a_mirror_whose_export_hangs_is_removed_and_the_guest_goes_on() throws Exception {
        try (Loaded loaded = new Loaded()) {
            try (Mirrored mirrored = loaded.mirror(1)) {
                mirrored.awaitSync();
                mirrored.export.hang(1);
                await(mirrored.export.hung);
                long begun = System.nanoTime();
                remove(loaded, mirrored);
                assertThat(Duration.ofNanos(System.nanoTime() - begun))
                        .isLessThan(QmpClient.COMMAND_LIMIT.plusSeconds(5));
                loaded.requireAlive();
            }
            try (Mirrored again = loaded.mirror(1)) {
                again.awaitSync();
                remove(loaded, again);
            }
            loaded.requireAlive();
        }
    }

    @Test
    void a_guest_that_waits_for_an_export_goes_on_as_soon_as_that_is_cut() throws Exception {
        try (Loaded loaded = new Loaded();
                Mirrored writer = loaded.mirror(0);
                Mirrored load = loaded.mirror(1)) {
            writer.awaitSync();
            load.awaitSync();
            writer.export.hang(1);
            load.export.hang(50);
            await(writer.export.hung);
            await(load.export.hung);
            // All of QEMU but the rescue monitor waits from here on.
            CompletableFuture<?> stopping =
                    CompletableFuture.runAsync(() -> loaded.qmp.execute("stop"));
            assertThatThrownBy(() -> stopping.get(2, TimeUnit.SECONDS))
                    .isInstanceOf(TimeoutException.class);
            assertThat(loaded.qmp.unansweredNanos()).isGreaterThan(1_500_000_000L);
            long begun = System.nanoTime();
            DiskMirror.cut(loaded.rescue, 0);
            DiskMirror.cut(loaded.rescue, 1);
            stopping.get(2, TimeUnit.SECONDS);
            System.out.println("stopped nanos=" + (System.nanoTime() - begun));
            assertThat(loaded.qmp.unansweredNanos()).isZero();
            assertThat(writer.mirror.failure()).isPresent();
            assertThat(load.mirror.failure()).isPresent();
            loaded.qmp.execute("cont");
            loaded.guest.awaitWrites();
            DiskMirror.remove(List.of(writer.mirror, load.mirror), GuestStop.alone(loaded.qmp));
            loaded.requireAlive();
            loaded.process.kill(LIMIT);
            loaded.guest.requirePattern(loaded.guest.image());
        }
    }

    @Test
    void an_export_that_accepts_and_says_nothing_is_refused_and_the_guest_goes_on()
            throws Exception {
        try (Loaded loaded = new Loaded()) {
            try (ServerSocketChannel silent =
                    ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
                Path socket = loaded.hosts.directory.resolve("silent.sock");
                silent.bind(UnixDomainSocketAddress.of(socket));
                long begun = System.nanoTime();
                assertThatThrownBy(
                                () ->
                                        DiskMirror.start(
                                                loaded.qmp,
                                                GuestStop.alone(loaded.qmp),
                                                loaded.rescue,
                                                1,
                                                QemuCommandLine.diskNode(1),
                                                socket,
                                                "disk1",
                                                new Told()))
                        .isInstanceOf(HypervisorException.class)
                        .hasMessageContaining("blockdev-add")
                        .hasMessageContaining("timeout");
                assertThat(Duration.ofNanos(System.nanoTime() - begun))
                        .isLessThan(Duration.ofSeconds(8));
                loaded.requireAlive();
            }
            try (Mirrored again = loaded.mirror(1)) {
                again.awaitSync();
                remove(loaded, again);
            }
            loaded.requireAlive();
        }
    }

    /** As one whose memory or whose look at the disks fails at its start: it ends by itself. */
    @Test
    void a_job_that_ends_at_its_start_is_noticed_at_once_and_the_guest_goes_on() throws Exception {
        try (Loaded loaded = new Loaded()) {
            for (int round = 0; round < ROUNDS; round++) {
                try (Mirrored mirrored = loaded.mirror(1, DISK_BYTES - 65536)) {
                    await(mirrored.told.failed);
                    assertThat(mirrored.mirror.failure().orElseThrow())
                            .contains("it ended: Source and target image have different sizes");
                    assertThat(loaded.jobs()).isEmpty();
                    remove(loaded, mirrored);
                }
                try (Mirrored again = loaded.mirror(1)) {
                    again.awaitSync();
                    remove(loaded, again);
                }
            }
            loaded.requireAlive();
        }
    }

    @Test
    void a_disk_that_does_not_say_what_it_holds_is_copied_whole() throws Exception {
        MemoryExport holds = new MemoryExport("source", DISK_BYTES);
        CountDownLatch asked = new CountDownLatch(1);
        NbdExport mute =
                new FaultyExport(holds) {
                    @Override
                    public void blockStatus(long offset, long lengthBytes, ExtentSink sink)
                            throws IOException {
                        asked.countDown();
                        throw new NbdException(NbdError.EIO, "cannot say");
                    }
                };
        try (Loaded loaded = new Loaded(Optional.of(mute))) {
            try (Mirrored mirrored = loaded.mirror(1)) {
                mirrored.awaitSync();
                await(asked);
                loaded.qmp.execute("stop");
                assertThat(mirrored.mirror.failure()).isEmpty();
                assertThat(content(mirrored.memory)).isEqualTo(content(holds));
                loaded.qmp.execute("cont");
                remove(loaded, mirrored);
            }
            loaded.requireAlive();
        } finally {
            holds.close();
        }
    }

    private static byte[] content(MemoryExport export) throws IOException {
        ByteBuffer all = ByteBuffer.allocateDirect(DISK_BYTES);
        export.read(0, all);
        byte[] bytes = new byte[DISK_BYTES];
        all.flip().get(bytes);
        return bytes;
    }

    private static int removeLeftovers(Loaded loaded) {
        // As after a daemon's death: its monitors are free.
        loaded.rescue.close();
        Path outOfBand = loaded.process.files().qmpOutOfBand();
        int removed = DiskMirror.removeLeftovers(loaded.qmp, outOfBand);
        loaded.rescue = RescueMonitor.open(loaded.qmp, outOfBand);
        return removed;
    }
}
