package holdfast.qemu.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.HypervisorException;
import holdfast.engine.memory.PfnSet;
import holdfast.engine.port.DirtyTracker;
import holdfast.qemu.linux.FrozenProcess;
import holdfast.qemu.linux.ProcessStatus;
import holdfast.qemu.linux.SoftDirtyBits;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.lang.foreign.ValueLayout;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

@Timeout(120)
class DirtyTrackersTest {
    /** No promise of speed: on a busy machine a thread waits long for its turn to stop. */
    private static final Duration LIMIT = Duration.ofSeconds(20);

    private static final long PAGES = 1024;

    private TemporaryRam ram;
    private Writer writer;
    private GuestActivity.State activity = GuestActivity.State.SUSPENDED;

    @BeforeEach
    void startWriter() throws Exception {
        ram = new TemporaryRam(PAGES * 4096);
        writer = Writer.start(ram.memory());
    }

    @AfterEach
    void endWriter() throws Exception {
        try {
            writer.close();
        } finally {
            ram.close();
        }
    }

    private TrackerChoice open(Optional<TrackerKind> forced) {
        return DirtyTrackers.open(writer.pid(), ram.memory(), () -> activity, forced);
    }

    private static PfnSet collect(DirtyTracker tracker) {
        PfnSet set = new PfnSet(PAGES);
        tracker.collect(set);
        return set;
    }

    @Test
    void the_best_kind_is_chosen_and_every_better_one_has_its_reason() {
        TrackerChoice choice = open(Optional.empty());
        try (DirtyTracker tracker = choice.tracker()) {
            System.out.println("tracker chosen here: " + choice.kind() + " " + choice.refusals());
            assertThat(tracker.kind()).isEqualTo(choice.kind().label());
            assertThat(choice.refusals()).hasSize(choice.kind().ordinal());
        }
    }

    @Test
    void a_forced_kind_is_opened_or_refused_with_its_reason() {
        for (TrackerKind kind : TrackerKind.values()) {
            try (DirtyTracker tracker = open(Optional.of(kind)).tracker()) {
                collect(tracker);
                writer.write(3, kind.ordinal() + 100);
                assertThat(collect(tracker).contains(3)).isTrue();
                assertThat(collect(tracker).contains(3)).isFalse();
            } catch (HypervisorException e) {
                assertThat(kind == TrackerKind.SOFT_DIRTY && SoftDirtyBits.kept()).isFalse();
                assertThat(kind).isNotEqualTo(TrackerKind.COMPARE);
                assertThat(e).hasMessageContaining(kind.label()).hasMessageContaining("kernel");
            }
        }
    }

    @Test
    void kinds_are_found_by_their_labels() {
        for (TrackerKind kind : TrackerKind.values()) {
            assertThat(TrackerKind.named(kind.label())).contains(kind);
        }
        assertThat(TrackerKind.named("magic")).isEmpty();
    }

    @Test
    void a_file_that_the_process_does_not_map_is_refused() throws Exception {
        try (TemporaryRam other = new TemporaryRam(PAGES * 4096)) {
            assertThatThrownBy(
                            () ->
                                    DirtyTrackers.open(
                                            writer.pid(),
                                            other.memory(),
                                            () -> activity,
                                            Optional.empty()))
                    .isInstanceOf(HypervisorException.class)
                    .hasMessageContaining("does not map")
                    .hasMessageContaining("share=on");
        }
    }

    @Test
    void a_private_mapping_is_refused() throws Exception {
        try (Writer other = Writer.start(ram.memory(), "private")) {
            assertThatThrownBy(
                            () ->
                                    DirtyTrackers.open(
                                            other.pid(),
                                            ram.memory(),
                                            () -> activity,
                                            Optional.of(TrackerKind.COMPARE)))
                    .isInstanceOf(HypervisorException.class)
                    .hasMessageContaining("share=on");
        }
    }

    @Test
    void a_child_of_this_process_is_refused_before_it_is_touched() throws Exception {
        Process child = new ProcessBuilder("sleep", "60").start();
        try {
            assertThatThrownBy(() -> holdfast.qemu.linux.Userfaultfd.plant(child.pid(), LIMIT))
                    .isInstanceOf(HypervisorException.class)
                    .hasMessageContaining("direct child");
        } finally {
            child.destroyForcibly().waitFor();
        }
    }

    @Test
    void with_no_time_left_the_process_goes_on_and_a_second_attempt_works() {
        for (int i = 0; i < 20; i++) {
            assertThatThrownBy(
                            () ->
                                    WriteProtectTracker.open(
                                            writer.pid(), ram.memory(), Duration.ofNanos(-1)))
                    .isInstanceOf(HypervisorException.class)
                    .hasMessageContaining("did not stop");
            writer.write(1, i);
            assertThat(writer.read(1)).isEqualTo(i);
        }
        try (WriteProtectTracker tracker =
                WriteProtectTracker.open(writer.pid(), ram.memory(), LIMIT)) {
            writer.write(2, 1);
            assertThat(collect(tracker).contains(2)).isTrue();
        }
    }

    @Test
    void a_process_that_is_traced_already_is_refused_and_goes_on() {
        FrozenProcess.during(
                writer.pid(),
                LIMIT,
                () ->
                        assertThatThrownBy(
                                        () ->
                                                WriteProtectTracker.open(
                                                        writer.pid(), ram.memory(), LIMIT))
                                .isInstanceOf(HypervisorException.class)
                                .hasMessageContaining("already traced by process")
                                .hasMessageContaining(
                                        Long.toString(ProcessHandle.current().pid())));
        writer.write(1, 5);
        assertThat(writer.read(1)).isEqualTo(5);
    }

    @Test
    void a_process_stopped_by_job_control_is_tracked_and_stays_stopped() throws Exception {
        writer.signal("STOP");
        try (WriteProtectTracker tracker =
                WriteProtectTracker.open(writer.pid(), ram.memory(), LIMIT)) {
            assertThat(ProcessStatus.read(writer.pid()).state()).startsWith("T");
            writer.signal("CONT");
            writer.write(9, 1);
            assertThat(collect(tracker).next(0)).isEqualTo(9);
        }
    }

    @Test
    void nothing_is_written_while_a_process_is_frozen() {
        writer.startStorm(64, 1);
        for (int i = 0; i < 20; i++) {
            FrozenProcess.during(
                    writer.pid(),
                    LIMIT,
                    () -> {
                        byte[] once = ram.memory().bytes().toArray(ValueLayout.JAVA_BYTE);
                        byte[] again = ram.memory().bytes().toArray(ValueLayout.JAVA_BYTE);
                        assertThat(once).isEqualTo(again);
                    });
        }
        writer.stopStorm();
    }

    @Test
    void when_the_tracking_process_is_killed_the_tracked_one_goes_on() throws Exception {
        Path directory = Files.createTempDirectory("hf-holder-");
        Path address = directory.resolve("s");
        Path log = directory.resolve("log");
        try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            server.bind(UnixDomainSocketAddress.of(address));
            List<String> command = Writer.detached(log, TrackerHolderMain.class);
            command.addAll(
                    List.of(
                            address.toString(),
                            Long.toString(writer.pid()),
                            ram.memory().path().toString(),
                            Long.toString(PAGES * 4096)));
            Writer.run(command);
            try (SocketChannel socket = Writer.accept(server, directory)) {
                ByteBuffer pid = ByteBuffer.allocate(8);
                while (pid.hasRemaining() && socket.read(pid) >= 0) {
                    continue;
                }
                ProcessHandle holder = ProcessHandle.of(pid.getLong(0)).orElseThrow();
                writer.write(1, 1);
                holder.destroyForcibly();
                holder.onExit().get(20, TimeUnit.SECONDS);
            }
            writer.write(1, 2);
            assertThat(writer.read(1)).isEqualTo(2);
            try (WriteProtectTracker tracker =
                    WriteProtectTracker.open(writer.pid(), ram.memory(), LIMIT)) {
                writer.write(4, 1);
                assertThat(collect(tracker).contains(4)).isTrue();
            }
        } finally {
            Files.deleteIfExists(address);
            Files.deleteIfExists(log);
            Files.delete(directory);
        }
    }

    @Test
    void comparison_reports_what_differs_and_all_of_memory_at_its_first_suspended_look() {
        try (DirtyTracker tracker = open(Optional.of(TrackerKind.COMPARE)).tracker()) {
            activity = GuestActivity.State.RUNNING;
            writer.write(5, 1);
            assertThat(collect(tracker).count()).isOne();
            activity = GuestActivity.State.SUSPENDED;
            assertThat(collect(tracker).count()).isEqualTo(PAGES);
            assertThat(collect(tracker).isEmpty()).isTrue();
        }
    }

    @Test
    void comparison_reports_a_page_that_was_read_between_and_written_back() {
        try (DirtyTracker tracker = open(Optional.of(TrackerKind.COMPARE)).tracker()) {
            collect(tracker);
            activity = GuestActivity.State.RUNNING;
            writer.write(5, 1);
            assertThat(collect(tracker).contains(5)).isTrue();
            writer.write(5, 2); // read here by whoever sends the page
            writer.write(5, 1);
            activity = GuestActivity.State.SUSPENDED;
            PfnSet last = collect(tracker);
            assertThat(last.contains(5)).isTrue();
            assertThat(last.count()).isOne();
            assertThat(collect(tracker).isEmpty()).isTrue();
        }
    }

    @Test
    void a_replica_fed_by_comparison_while_the_writer_runs_ends_equal() throws Exception {
        try (TemporaryRam replica = new TemporaryRam(PAGES * 4096);
                DirtyTracker tracker = open(Optional.of(TrackerKind.COMPARE)).tracker()) {
            for (int session = 0; session < 5; session++) {
                activity = GuestActivity.State.RUNNING;
                writer.startStorm(200, session);
                for (int round = 0; round < 100; round++) {
                    copy(collect(tracker), replica.memory());
                }
                writer.stopStorm();
                activity = GuestActivity.State.SUSPENDED;
                copy(collect(tracker), replica.memory());
                assertThat(ram.memory().bytes().mismatch(replica.memory().bytes())).isEqualTo(-1);
            }
        }
    }

    private void copy(PfnSet pages, MappedMemory replica) {
        pages.forEachRun(
                (first, end) ->
                        replica.bytes()
                                .asSlice(first * 4096, (end - first) * 4096)
                                .copyFrom(
                                        ram.memory()
                                                .bytes()
                                                .asSlice(first * 4096, (end - first) * 4096)));
    }
}
