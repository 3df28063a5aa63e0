package holdfast.qemu.domain;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.GuestShutDownException;
import holdfast.engine.HypervisorException;
import holdfast.engine.port.DeviceState;
import holdfast.engine.port.InboundFrames;
import holdfast.qemu.GuestImage;
import holdfast.qemu.ScratchFiles;
import holdfast.qemu.launch.Accelerator;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.DomainSpec.Display;
import holdfast.qemu.launch.DomainSpec.Kernel;
import holdfast.qemu.launch.DomainSpec.UserNic;
import holdfast.qemu.launch.ProcessIdentity;
import holdfast.qemu.launch.QemuCommandLine;
import holdfast.qemu.launch.QemuFiles;
import holdfast.qemu.launch.QemuProcess;
import holdfast.qemu.qmp.QmpClient;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

@Tag("qemu")
@Timeout(120)
class QemuStateTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);
    private static final InboundFrames NO_FRAMES = new InboundFrames(List.of());
    private static final int MEMORY_MIB = 192;
    private static final int LOADS = 20;

    private ScratchFiles scratch;

    @BeforeEach
    void makeScratch() throws IOException {
        scratch = ScratchFiles.create();
    }

    @AfterEach
    void removeScratch() throws IOException {
        scratch.close();
    }

    @Test
    void one_process_loads_spliced_states_many_times_and_the_guest_runs_on() throws Exception {
        Path serial = scratch.directory().resolve("b.log");
        DomainSpec spec = linux("loads", "hf.writer=50,20").withDisplay(Display.STD);
        try (QemuDomain primary = start(spec, "a");
                QemuStandby standby = standby(spec.withSerial(serial), "b")) {
            List<Double> stops = new ArrayList<>();
            List<Double> saves = new ArrayList<>();
            List<Double> conts = new ArrayList<>();
            List<Double> loads = new ArrayList<>();
            MemorySegment before = Arena.ofAuto().allocate(spec.memoryBytes());
            Copied last = null;
            for (int i = 0; i < LOADS; i++) {
                long t0 = System.nanoTime();
                primary.suspend();
                long t1 = System.nanoTime();
                DeviceState state = primary.saveDeviceState();
                long t2 = System.nanoTime();
                standby.replica().bytes().copyFrom(primary.memory().bytes());
                last = Copied.of(state);
                long t3 = System.nanoTime();
                primary.resume();
                long t4 = System.nanoTime();
                before.copyFrom(standby.replica().bytes());
                long t5 = System.nanoTime();
                standby.rehearse(last.base(), last.sections());
                long t6 = System.nanoTime();
                assertThat(standby.replica().bytes().mismatch(before))
                        .as("load %d", i)
                        .isEqualTo(-1);
                stops.add((t1 - t0) / 1e6);
                saves.add((t2 - t1) / 1e6);
                conts.add((t4 - t3) / 1e6);
                loads.add((t6 - t5) / 1e6);
            }
            System.out.printf(
                    "median ms: stop %.2f, save %.2f, cont %.2f, load %.2f; base %d, sections %d"
                            + " bytes%n",
                    median(stops),
                    median(saves),
                    median(conts),
                    median(loads),
                    last.base().byteSize(),
                    last.sections().byteSize());
            primary.destroy();
            CountDownLatch resumed = new CountDownLatch(1);
            standby.qmp().subscribe(event -> countDownOn("RESUME", event.name(), resumed));
            long began = System.nanoTime();
            standby.qmp().subscribe(event -> printSince(began, event.name()));
            try (QemuDomain survivor = standby.takeOver(last.base(), last.sections(), NO_FRAMES)) {
                System.out.printf("took over in %.1f ms%n", (System.nanoTime() - began) / 1e6);
                assertThat(resumed.await(5, TimeUnit.SECONDS)).isTrue();
                assertThat(survivor.status()).isEqualTo("running");
                assertRuns(survivor);
                // The survivor is a primary like any other from here on.
                survivor.suspend();
                assertThat(survivor.saveDeviceState().base().number()).isPositive();
                survivor.resume();
                survivor.reset();
                await("reboot", () -> read(serial).contains(GuestImage.READY));
                survivor.destroy();
                assertThat(standby.process().alive()).isFalse();
            }
        }
    }

    @Test
    void what_could_fail_a_take_over_fails_the_standbys_start_or_is_no_reason_to_fail()
            throws Exception {
        DomainSpec spec =
                DomainSpec.of("outright", 64)
                        .withNics(List.of(new UserNic("52:54:00:aa:00:01", List.of())));
        InboundFrames forAnUnknownNic =
                new InboundFrames(List.of(new InboundFrames.Frame(9, 0, ByteBuffer.allocate(60))));
        // A saver cannot listen where a directory is, so a survivor could not be driven.
        Path obstacle = scratch.memory().resolve("b/base.sock/inside");
        Files.createDirectories(obstacle);
        assertThatThrownBy(() -> standby(spec, "b"))
                .isInstanceOf(HypervisorException.class)
                .hasMessageContaining("base.sock");
        Files.delete(obstacle);
        Files.delete(obstacle.getParent());

        try (QemuDomain primary = start(spec, "a");
                QemuStandby standby = standby(spec, "b")) {
            primary.suspend();
            DeviceState state = primary.saveDeviceState();
            standby.replica().bytes().copyFrom(primary.memory().bytes());
            try (QemuDomain survivor =
                    standby.takeOver(state.base().bytes(), state.sections(), forAnUnknownNic)) {
                assertThat(survivor.status()).isEqualTo("running");
            }
        }
    }

    @Test
    void the_screen_is_the_same_after_a_load() throws Exception {
        DomainSpec spec = DomainSpec.of("screen", 64).withDisplay(Display.STD);
        try (QemuDomain primary = start(spec, "a");
                QemuStandby standby = standby(spec, "b")) {
            String blank = dump(standby.qmp(), "blank");
            // SeaBIOS has written to the screen once it differs from that of a machine not started.
            await("text on the screen", () -> !dump(primary.qmp(), "early").equals(blank));
            primary.suspend();
            // Video memory is otherwise up to a second old.
            primary.deviceSetChanged();
            DeviceState state = primary.saveDeviceState();
            standby.replica().bytes().copyFrom(primary.memory().bytes());
            standby.rehearse(state.base().bytes(), state.sections());
            assertThat(dump(standby.qmp(), "b")).isEqualTo(dump(primary.qmp(), "a"));
            assertThat(dump(standby.qmp(), "b")).isNotEqualTo(blank);
        }
    }

    @Test
    void a_refused_state_leaves_the_standby_usable() throws Exception {
        DomainSpec spec = DomainSpec.of("refused", 64);
        try (QemuDomain primary = start(spec, "a");
                QemuDomain other =
                        start(
                                DomainSpec.of("other", 64)
                                        .withExtra(List.of("-device", "virtio-balloon-pci")),
                                "c");
                QemuStandby standby = standby(spec, "b")) {
            other.suspend();
            DeviceState foreign = other.saveDeviceState();
            assertThatThrownBy(() -> standby.rehearse(foreign.base().bytes(), foreign.sections()))
                    .isInstanceOf(HypervisorException.class)
                    .hasMessageContaining("snapshot-load: ");
            primary.suspend();
            DeviceState own = primary.saveDeviceState();
            standby.replica().bytes().copyFrom(primary.memory().bytes());
            standby.rehearse(own.base().bytes(), own.sections());
        }
    }

    @Test
    void an_unchanged_base_keeps_its_number_and_a_reset_brings_a_new_one() throws Exception {
        DomainSpec spec = DomainSpec.of("base", 64).withDisplay(Display.STD);
        QemuProcess process =
                scratch.owns(
                        QemuProcess.start(
                                spec,
                                scratch.files("a"),
                                Accelerator.TCG,
                                QemuCommandLine.Start.PAUSED,
                                LIMIT));
        try (QemuDomain domain = QemuDomain.attach(process, scratch.memory().resolve("a"))) {
            String blank = dump(domain.qmp(), "blank");
            long first = domain.saveDeviceState().base().number();
            assertThat(domain.saveDeviceState().base().number()).isEqualTo(first);
            domain.deviceSetChanged();
            assertThat(domain.saveDeviceState().base().number()).isEqualTo(first);
            domain.resume();
            await("text on the screen", () -> !dump(domain.qmp(), "text").equals(blank));
            domain.suspend();
            try (QmpClient.ExpectedEvent reset = domain.qmp().expect("RESET", _ -> true)) {
                domain.reset();
                reset.await(LIMIT);
            }
            long second = domain.saveDeviceState().base().number();
            assertThat(second).isGreaterThan(first);
            assertThat(domain.saveDeviceState().base().number()).isEqualTo(second);
        }
    }

    @Test
    void a_device_plugged_on_both_sides_travels_and_one_plugged_on_one_side_is_refused()
            throws Exception {
        List<String> port = List.of("-device", "pcie-root-port,id=rp0,chassis=1,slot=1");
        DomainSpec spec = DomainSpec.of("plug", 64).withExtra(port);
        Map<String, ?> device = Map.of("driver", "virtio-rng-pci", "bus", "rp0", "id", "hp0");
        try (QemuDomain primary = start(spec, "a");
                QemuStandby standby = standby(spec, "b")) {
            primary.qmp().execute("device_add", device);
            primary.deviceSetChanged();
            primary.suspend();
            Copied state = Copied.of(primary.saveDeviceState());
            standby.replica().bytes().copyFrom(primary.memory().bytes());
            assertThatThrownBy(() -> standby.rehearse(state.base(), state.sections()))
                    .isInstanceOf(HypervisorException.class);
            standby.qmp().execute("device_add", device);
            standby.rehearse(state.base(), state.sections());
        }
    }

    @Test
    void attaching_finds_everything_and_leaves_qemu_running() throws Exception {
        DomainSpec spec =
                DomainSpec.of("attached", 64)
                        .withNics(List.of(new UserNic("52:54:00:aa:00:01", List.of())));
        QemuFiles files = scratch.files("a");
        QemuProcess process =
                scratch.owns(
                        QemuProcess.start(
                                spec,
                                files,
                                Accelerator.TCG,
                                QemuCommandLine.Start.RUNNING,
                                LIMIT));
        for (int i = 0; i < 2; i++) {
            // What a daemon that died would have left.
            Files.createDirectories(scratch.memory().resolve("state"));
            Files.createFile(scratch.memory().resolve("state/base.sock"));
            Files.writeString(scratch.memory().resolve("state/sections"), "old");
            try (QemuDomain domain =
                    QemuDomain.attach(files.qmp(), scratch.memory().resolve("state"))) {
                assertThat(domain.name()).isEqualTo("attached");
                assertThat(domain.qemu().uuid()).isEqualTo(spec.uuid());
                assertThat(domain.qemu().process()).isEqualTo(process.identity());
                assertThat(domain.qemu().ramFile()).isEqualTo(files.ram());
                assertThat(domain.qemu().ramBytes()).isEqualTo(spec.memoryBytes());
                assertThat(domain.nics())
                        .containsExactly(
                                new GuestNic(
                                        0,
                                        "net0",
                                        "user",
                                        "52:54:00:aa:00:01",
                                        GuestNic.VnetHeader.ABSENT));
                assertThat(domain.status()).isEqualTo("running");
                assertThat(domain.memory().pages()).isEqualTo(spec.memoryBytes() / 4096);
            }
            assertThat(process.alive()).isTrue();
        }
        CountDownLatch died = new CountDownLatch(1);
        try (QemuDomain domain =
                QemuDomain.attach(files.qmp(), scratch.memory().resolve("state"))) {
            domain.onDeath(died::countDown);
            domain.destroy();
            assertThat(died.await(100, TimeUnit.MILLISECONDS)).isTrue();
            assertThat(process.alive()).isFalse();
            domain.destroy();
        }
    }

    @Test
    void a_qemu_that_cannot_be_protected_is_refused_with_the_option_it_lacks() throws Exception {
        for (Map.Entry<List<String>, String> row :
                Map.of(
                                List.of("-machine", "q35,suppress-vmdesc=on"),
                                "a private memory-backend-ram",
                                List.of(
                                        "-machine",
                                        "q35,suppress-vmdesc=on,memory-backend=m",
                                        "-object",
                                        "memory-backend-ram,id=m,size=64M"),
                                "share=on",
                                List.of(
                                        "-machine",
                                        "q35,suppress-vmdesc=on,memory-backend=m",
                                        "-object",
                                        "memory-backend-file,id=m,share=on,size=64M,mem-path="
                                                + scratch.memory()),
                                "is no file",
                                List.of(
                                        "-machine",
                                        "q35,suppress-vmdesc=on,memory-backend=m",
                                        "-object",
                                        "memory-backend-file,id=m,share=on,size=64M,mem-path="
                                                + scratch.memory().resolve("m")),
                                "migration.send-configuration=off")
                        .entrySet()) {
            Path socket = scratch.directory().resolve("q");
            List<String> command = new ArrayList<>(List.of(QemuProcess.BINARY));
            command.addAll(row.getKey());
            command.addAll(
                    List.of("-nodefaults", "-display", "none", "-accel", "tcg", "-m", "64M"));
            command.addAll(List.of("-qmp", "unix:" + socket + ",server=on,wait=off"));
            Path pidFile = scratch.directory().resolve("q.pid");
            command.addAll(List.of("-daemonize", "-pidfile", pidFile.toString()));
            Process launcher = new ProcessBuilder(command).redirectErrorStream(true).start();
            String said =
                    new String(launcher.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            assertThat(launcher.waitFor()).as(said).isZero();
            ProcessIdentity qemu =
                    ProcessIdentity.of(Long.parseLong(Files.readString(pidFile).strip()))
                            .orElseThrow();
            try {
                assertThatThrownBy(
                                () -> QemuDomain.attach(socket, scratch.memory().resolve("state")))
                        .isInstanceOf(HypervisorException.class)
                        .hasMessageContaining(row.getValue());
                assertThat(qemu.alive()).isTrue();
            } finally {
                qemu.kill(LIMIT);
                Files.deleteIfExists(socket);
            }
        }
    }

    @Test
    void a_guest_that_ended_itself_is_told_from_a_qemu_that_died() throws Exception {
        // Without a first process the kernel panics and resets, which ends QEMU.
        DomainSpec ending =
                DomainSpec.of("ending", 64)
                        .withBoot(
                                new Kernel(
                                        GuestImage.find().kernel(),
                                        Optional.empty(),
                                        "console=ttyS0 quiet panic=-1"))
                        .withExtra(List.of("-no-reboot"));
        QemuProcess process =
                scratch.owns(
                        QemuProcess.start(
                                ending,
                                scratch.files("a"),
                                Accelerator.TCG,
                                QemuCommandLine.Start.PAUSED,
                                LIMIT));
        try (QemuDomain domain = QemuDomain.attach(process, scratch.memory().resolve("a"))) {
            CountDownLatch gone = new CountDownLatch(1);
            domain.onDeath(gone::countDown);
            domain.resume();
            assertThat(gone.await(60, TimeUnit.SECONDS)).isTrue();
            assertThatThrownBy(domain::resume)
                    .isInstanceOf(GuestShutDownException.class)
                    .hasMessageContaining("guest-reset");
        }
        try (QemuDomain domain = start(DomainSpec.of("dying", 64), "b")) {
            domain.destroy();
            assertThatThrownBy(domain::resume).isExactlyInstanceOf(HypervisorException.class);
        }
    }

    private static void countDownOn(String wanted, String found, CountDownLatch latch) {
        if (found.equals(wanted)) {
            latch.countDown();
        }
    }

    private static void printSince(long began, String event) {
        if (event.equals("RESUME")) {
            System.out.printf("guest runs after %.1f ms%n", (System.nanoTime() - began) / 1e6);
        }
    }

    private DomainSpec linux(String name, String words) {
        GuestImage image = GuestImage.find();
        return DomainSpec.of(name, MEMORY_MIB)
                .withBoot(
                        new Kernel(
                                image.kernel(),
                                Optional.of(image.initrd()),
                                "console=ttyS0 quiet " + words))
                .withNics(List.of(new UserNic("52:54:00:aa:00:01", List.of())));
    }

    private QemuDomain start(DomainSpec spec, String name) {
        Path serial = scratch.directory().resolve(name + ".log");
        QemuProcess process =
                scratch.owns(
                        QemuProcess.start(
                                spec.withSerial(serial),
                                scratch.files(name),
                                Accelerator.TCG,
                                QemuCommandLine.Start.RUNNING,
                                LIMIT));
        if (spec.boot().isPresent()) {
            await("guest", () -> read(serial).contains(GuestImage.READY));
        }
        return QemuDomain.attach(process, scratch.memory().resolve(name));
    }

    private QemuStandby standby(DomainSpec spec, String name) {
        QemuStandby standby =
                QemuStandby.start(
                        spec.serial().isPresent()
                                ? spec
                                : spec.withSerial(scratch.directory().resolve(name + ".log")),
                        scratch.files(name),
                        Accelerator.TCG,
                        scratch.memory().resolve(name),
                        LIMIT);
        scratch.owns(standby.process());
        return standby;
    }

    /** The guest's writer changes pages as long as the guest runs. */
    private static void assertRuns(QemuDomain domain) {
        MemorySegment then = Arena.ofAuto().allocate(domain.memory().bytes().byteSize());
        then.copyFrom(domain.memory().bytes());
        await("the guest to write", () -> domain.memory().bytes().mismatch(then) >= 0);
    }

    private String dump(QmpClient qmp, String name) {
        Path file = scratch.memory().resolve(name + ".ppm");
        qmp.execute("screendump", Map.of("filename", file.toString()));
        try {
            return new String(Files.readAllBytes(file), StandardCharsets.ISO_8859_1);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String read(Path file) {
        try {
            return Files.exists(file) ? Files.readString(file, StandardCharsets.ISO_8859_1) : "";
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void await(String what, BooleanSupplier condition) {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() - until > 0) {
                throw new AssertionError("waited in vain for " + what);
            }
            LockSupport.parkNanos(5_000_000);
        }
    }

    private static double median(List<Double> values) {
        return values.stream().sorted().skip(values.size() / 2).findFirst().orElseThrow();
    }

    /** A device state in memory of its own: the domain's is gone with its next call. */
    private record Copied(MemorySegment base, MemorySegment sections) {
        static Copied of(DeviceState state) {
            return new Copied(copy(state.base().bytes()), copy(state.sections()));
        }

        private static MemorySegment copy(MemorySegment bytes) {
            return Arena.ofAuto().allocate(bytes.byteSize()).copyFrom(bytes);
        }
    }
}
