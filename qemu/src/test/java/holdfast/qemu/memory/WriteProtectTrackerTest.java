package holdfast.qemu.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.HypervisorException;
import holdfast.engine.memory.PfnSet;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import java.time.Duration;
import java.util.SplittableRandom;

/**
 * On a real process that is no child of ours. Needs Linux 6.7 and the right to trace; says so
 * loudly where it lacks.
 */
@Timeout(120)
class WriteProtectTrackerTest {
    private static final Duration LIMIT = Duration.ofSeconds(2);
    private static final long PAGES = 4096;

    private TemporaryRam ram;
    private Writer writer;

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

    private WriteProtectTracker open(WriteProtectTracker.Strategy strategy, int regions) {
        return WriteProtectTracker.open(writer.pid(), ram.memory(), LIMIT, strategy, regions);
    }

    private WriteProtectTracker open() {
        return WriteProtectTracker.open(writer.pid(), ram.memory(), LIMIT);
    }

    private static PfnSet collect(WriteProtectTracker tracker) {
        PfnSet set = new PfnSet(PAGES);
        tracker.collect(set);
        return set;
    }

    private static PfnSet setOf(long... pfns) {
        PfnSet set = new PfnSet(PAGES);
        for (long pfn : pfns) {
            set.add(pfn);
        }
        return set;
    }

    private static void assertSame(PfnSet found, PfnSet expected) {
        StringBuilder difference = new StringBuilder();
        for (long pfn = 0; pfn < expected.endPfn(); pfn++) {
            if (found.contains(pfn) != expected.contains(pfn)) {
                difference.append(found.contains(pfn) ? " +" : " -").append(pfn);
            }
        }
        assertThat(difference.toString()).isEmpty();
    }

    @ParameterizedTest
    @EnumSource(WriteProtectTracker.Strategy.class)
    void the_first_collect_reports_exactly_what_was_written_since_open(
            WriteProtectTracker.Strategy strategy) {
        writer.writeAllBelow(PAGES / 2, 1);
        try (WriteProtectTracker tracker = open(strategy, 1024)) {
            assertSame(collect(tracker), setOf());
            writer.write(7, 2);
            writer.write(8, 2);
            writer.write(PAGES - 1, 2);
            assertThat(writer.read(9)).isEqualTo(1);
            assertThat(writer.read(PAGES - 3)).isZero();
            assertSame(collect(tracker), setOf(7, 8, PAGES - 1));
            assertSame(collect(tracker), setOf());
            writer.write(8, 2);
            assertSame(collect(tracker), setOf(8));
        }
    }

    @ParameterizedTest
    @EnumSource(WriteProtectTracker.Strategy.class)
    void a_full_vector_is_continued_until_all_is_reported(WriteProtectTracker.Strategy strategy) {
        SplittableRandom random = new SplittableRandom(7);
        for (int regions : new int[] {1, 2, 3, 7, 512, 513}) {
            try (WriteProtectTracker tracker = open(strategy, regions)) {
                for (int round = 0; round < 3; round++) {
                    PfnSet expected = new PfnSet(PAGES);
                    for (int i = 0; i < 700; i++) {
                        long pfn = random.nextLong(PAGES);
                        expected.add(pfn);
                        writer.write(pfn, i);
                    }
                    assertSame(collect(tracker), expected);
                    assertSame(collect(tracker), setOf());
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(WriteProtectTracker.Strategy.class)
    void a_replica_fed_while_the_writer_runs_ends_equal(WriteProtectTracker.Strategy strategy)
            throws Exception {
        try (TemporaryRam replica = new TemporaryRam(PAGES * 4096);
                WriteProtectTracker tracker = open(strategy, 64)) {
            replica.memory().bytes().copyFrom(ram.memory().bytes());
            for (int session = 0; session < 5; session++) {
                writer.startStorm(300, session);
                for (int round = 0; round < 200; round++) {
                    copy(collect(tracker), replica.memory());
                }
                writer.stopStorm();
                PfnSet last = collect(tracker);
                copy(last, replica.memory());
                assertThat(ram.memory().bytes().mismatch(replica.memory().bytes()))
                        .as("first differing byte, session %d", session)
                        .isEqualTo(-1);
                assertThat(last.count()).isLessThanOrEqualTo(300);
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

    @Test
    void several_mappings_and_a_gap_are_tracked() throws Exception {
        try (Writer split = Writer.start(ram.memory(), "split");
                WriteProtectTracker tracker =
                        WriteProtectTracker.open(split.pid(), ram.memory(), LIMIT)) {
            split.write(PAGES / 2 - 1, 1);
            split.write(PAGES / 2 + 1, 1);
            split.write(PAGES - 1, 1);
            assertSame(collect(tracker), setOf(PAGES / 2 - 1, PAGES / 2 + 1, PAGES - 1));
        }
    }

    @Test
    void a_second_tracker_works_after_the_first_is_closed_and_not_before() {
        for (int attempt = 0; attempt < 3; attempt++) {
            try (WriteProtectTracker tracker = open()) {
                assertThatThrownBy(this::open)
                        .isInstanceOf(HypervisorException.class)
                        .hasMessageContaining("another userfaultfd watches it already");
                writer.write(attempt, 5);
                assertSame(collect(tracker), setOf(attempt));
            }
            writer.write(100, attempt);
            assertThat(writer.read(100)).isEqualTo(attempt);
        }
    }

    @Test
    void the_process_is_stopped_for_a_moment_only_and_keeps_no_descriptor() throws Exception {
        long before = descriptors();
        try (WriteProtectTracker tracker = open()) {
            assertThat(tracker.stopped()).isLessThan(Duration.ofMillis(500));
            assertThat(descriptors()).isEqualTo(before);
        }
    }

    private long descriptors() throws Exception {
        try (var all =
                java.nio.file.Files.list(java.nio.file.Path.of("/proc/" + writer.pid() + "/fd"))) {
            return all.count();
        }
    }

    @Test
    void a_process_that_ended_is_an_error_and_not_a_clean_guest() throws Exception {
        try (WriteProtectTracker tracker = open()) {
            writer.close();
            assertThatThrownBy(() -> collect(tracker))
                    .isInstanceOf(HypervisorException.class)
                    .hasMessageContaining("has ended");
        } finally {
            writer = Writer.start(ram.memory());
        }
    }

    @Test
    void a_set_of_another_size_is_refused() {
        try (WriteProtectTracker tracker = open()) {
            assertThatThrownBy(() -> tracker.collect(new PfnSet(PAGES - 1)))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }
}
