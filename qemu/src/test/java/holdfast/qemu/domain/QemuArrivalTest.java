package holdfast.qemu.domain;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.HypervisorException;
import holdfast.engine.port.DeviceState;
import holdfast.qemu.ScratchFiles;
import holdfast.qemu.launch.Accelerator;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.QemuCommandLine;
import holdfast.qemu.launch.QemuFiles;
import holdfast.qemu.launch.QemuProcess;
import holdfast.qemu.memory.MappedMemory;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/** What a QEMU that waits for a domain makes of streams that no QEMU has saved. */
@Tag("qemu")
@Timeout(120)
class QemuArrivalTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);
    private static final DomainSpec SPEC = DomainSpec.of("arriving", 64);
    private static final byte NOTHING_KNOWN = (byte) 0xff;

    private ScratchFiles scratch;
    private QemuDomain source;

    @BeforeEach
    void start() throws IOException {
        scratch = ScratchFiles.create();
        QemuProcess process =
                scratch.owns(
                        QemuProcess.start(
                                SPEC,
                                scratch.files("a"),
                                Accelerator.TCG,
                                QemuCommandLine.Start.PAUSED,
                                LIMIT));
        source = QemuDomain.attach(process, scratch.memory().resolve("a"));
    }

    @AfterEach
    void end() throws IOException {
        source.close();
        scratch.close();
    }

    private QemuArrival arrival() {
        QemuFiles files = scratch.files("b");
        MappedMemory memory = MappedMemory.createUnreserved(files.ram(), SPEC.memoryBytes());
        memory.reserve();
        QemuArrival arrival =
                QemuArrival.start(
                        SPEC, files, memory, Accelerator.TCG, scratch.memory().resolve("b"), LIMIT);
        scratch.owns(arrival.process());
        return arrival;
    }

    /** Whole sections, more behind their end, and another end. */
    private static MemorySegment withMore(MemorySegment sections, long bytes, Arena arena) {
        MemorySegment hostile = arena.allocate(sections.byteSize() + bytes + 1);
        hostile.copyFrom(sections);
        hostile.asSlice(sections.byteSize(), bytes).fill(NOTHING_KNOWN);
        return hostile;
    }

    @Test
    void whole_sections_are_loaded() {
        DeviceState state = source.saveDeviceState();
        try (QemuArrival arrival = arrival()) {
            arrival.offerBase(state.base().bytes());
            arrival.offerSections(state.base().bytes(), state.sections());
            assertThat(arrival.load()).isEqualTo(state.sections().byteSize());
        }
    }

    /** QEMU takes no more than it has wanted: the socket is full, or broken. */
    @Test
    void much_behind_the_end_of_the_sections_is_told_as_what_it_is() {
        DeviceState state = source.saveDeviceState();
        try (QemuArrival arrival = arrival();
                Arena arena = Arena.ofConfined()) {
            arrival.offerBase(state.base().bytes());
            MemorySegment hostile = withMore(state.sections(), 4 << 20, arena);
            assertThatThrownBy(
                            () -> {
                                arrival.offerSections(state.base().bytes(), hostile);
                                arrival.load();
                            })
                    .isInstanceOf(HypervisorException.class)
                    .hasMessageContaining("QEMU ended its load before the end of the device state");
        }
    }

    @Test
    void little_behind_the_end_of_the_sections_is_told_as_what_it_is() {
        DeviceState state = source.saveDeviceState();
        try (QemuArrival arrival = arrival();
                Arena arena = Arena.ofConfined()) {
            arrival.offerBase(state.base().bytes());
            MemorySegment hostile = withMore(state.sections(), 16, arena);
            arrival.offerSections(state.base().bytes(), hostile);
            awaitLoaded(arrival);
            assertThatThrownBy(arrival::load)
                    .isInstanceOf(HypervisorException.class)
                    .hasMessageContaining("QEMU ended its load before the end of the device state");
        }
    }

    private static void awaitLoaded(QemuArrival arrival) {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (!arrival.qmp()
                .execute("query-migrate")
                .path("status")
                .asText()
                .equals("completed")) {
            assertThat(System.nanoTime()).as("loaded within 30 s").isLessThan(until);
            LockSupport.parkNanos(5_000_000);
        }
    }

    @Test
    void sections_that_are_none_are_told_with_qemus_words() {
        DeviceState state = source.saveDeviceState();
        try (QemuArrival arrival = arrival();
                Arena arena = Arena.ofConfined()) {
            arrival.offerBase(state.base().bytes());
            MemorySegment broken = arena.allocate(state.sections().byteSize());
            broken.copyFrom(state.sections());
            broken.asSlice(64, broken.byteSize() - 65).fill(NOTHING_KNOWN);
            assertThatThrownBy(
                            () -> {
                                arrival.offerSections(state.base().bytes(), broken);
                                arrival.load();
                            })
                    .isInstanceOf(HypervisorException.class)
                    .hasMessageContaining("QEMU ended itself over it");
        }
    }
}
