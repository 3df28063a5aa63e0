package holdfast.engine.disk;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.DiskException;
import holdfast.wire.ProtocolException;
import holdfast.wire.disk.JournalHeader;
import holdfast.wire.disk.JournalRecord;

import org.junit.jupiter.api.Test;

import java.nio.ByteBuffer;
import java.util.List;
import java.util.OptionalLong;
import java.util.UUID;

class RedoScanTest {
    private static final UUID SESSION = UUID.randomUUID();
    private static final List<JournalHeader.Disk> DISKS =
            List.of(new JournalHeader.Disk("/r/a.img", 4096));

    private final RedoScan scan = new RedoScan();
    private long segment;

    private RedoScanTest begin(long number, OptionalLong committed) {
        scan.segment(new JournalHeader(number, SESSION, "web", committed, DISKS));
        segment = number;
        return this;
    }

    private RedoScanTest batch(long epoch, long number) {
        scan.record(new JournalRecord.Batch(segment, epoch, number, 32, 0));
        return this;
    }

    private RedoScanTest commit(long epoch, long batches) {
        scan.record(new JournalRecord.Commit(segment, epoch, batches));
        return this;
    }

    private RedoScanTest end() {
        scan.record(new JournalRecord.End(segment));
        return this;
    }

    private void refuses(Runnable step) {
        OptionalLong before = scan.committed();
        assertThatThrownBy(step::run).isInstanceOf(ProtocolException.class);
        assertThat(scan.committed()).isEqualTo(before);
    }

    @Test
    void an_epoch_counts_with_its_commit() {
        begin(1, OptionalLong.empty()).batch(1, 0);
        assertThat(scan.committed()).isEmpty();
        commit(0, 0);
        assertThat(scan.committed()).hasValue(0);
        batch(1, 1).commit(1, 2);
        assertThat(scan.committed()).hasValue(1);
    }

    @Test
    void the_next_epoch_may_begin_before_the_commit() {
        begin(1, OptionalLong.empty()).commit(0, 0).batch(1, 0).batch(2, 0).commit(1, 1);
        assertThat(scan.committed()).hasValue(1);
        batch(2, 1).commit(2, 2);
        assertThat(scan.committed()).hasValue(2);
    }

    @Test
    void epochs_without_writes_leave_no_trace() {
        begin(1, OptionalLong.empty()).commit(0, 0).batch(5, 0).commit(5, 1).batch(9, 0);
        assertThat(scan.committed()).hasValue(5);
    }

    @Test
    void a_commit_that_misses_a_batch_does_not_count() {
        begin(1, OptionalLong.empty()).commit(0, 0).batch(1, 0);
        refuses(() -> commit(1, 2));
        refuses(() -> commit(1, 0));
        refuses(() -> commit(2, 1));
    }

    @Test
    void a_batch_that_is_out_of_order_is_refused() {
        begin(1, OptionalLong.empty());
        refuses(() -> batch(1, 1));
        commit(0, 0).batch(1, 0);
        refuses(() -> batch(1, 2));
        refuses(() -> batch(1, 0));
        batch(2, 0);
        refuses(() -> batch(1, 1));
        refuses(() -> batch(3, 0));
        commit(1, 1);
        refuses(() -> batch(1, 1));
        refuses(() -> commit(1, 1));
    }

    @Test
    void what_an_older_use_of_the_file_left_is_refused() {
        begin(4, OptionalLong.of(6)).batch(7, 0);
        refuses(() -> scan.record(new JournalRecord.Batch(3, 7, 1, 32, 0)));
        end();
        refuses(() -> commit(7, 1));
    }

    @Test
    void an_epoch_may_have_begun_in_a_segment_that_was_removed() {
        begin(4, OptionalLong.of(6)).batch(7, 3).batch(7, 4).commit(7, 5);
        assertThat(scan.committed()).hasValue(7);
        refuses(() -> batch(8, 1));
    }

    @Test
    void all_of_an_epoch_but_its_commit_may_have_been_removed() {
        begin(4, OptionalLong.of(6)).commit(7, 12).batch(8, 0).commit(8, 1);
        assertThat(scan.committed()).hasValue(8);
    }

    @Test
    void segments_follow_each_other_behind_their_ends() {
        begin(1, OptionalLong.empty()).commit(0, 0).batch(1, 0).end();
        begin(2, OptionalLong.of(0)).batch(1, 1).commit(1, 2);
        assertThat(scan.committed()).hasValue(1);
        refuses(() -> begin(3, OptionalLong.of(1)));
        end();
        refuses(() -> begin(4, OptionalLong.of(1)));
        refuses(
                () ->
                        scan.segment(
                                new JournalHeader(
                                        3, UUID.randomUUID(), "web", OptionalLong.of(1), DISKS)));
    }

    @Test
    void nothing_is_written_outside_of_a_disk() {
        DiskSizes sizes = new DiskSizes(DISKS);
        sizes.require(0, 0, 4096);
        sizes.require(0, 4096, 0);
        for (long[] bad :
                new long[][] {
                    {0, 1, 4096},
                    {0, -1, 1},
                    {0, 0, 4097},
                    {1, 0, 1},
                    {-1, 0, 1},
                    {0, Long.MAX_VALUE, 1},
                    {0, 1, Long.MAX_VALUE},
                    {0, 0, -1}
                }) {
            assertThatThrownBy(() -> sizes.require((int) bad[0], bad[1], bad[2]))
                    .isInstanceOf(DiskException.class);
        }
    }

    @Test
    void memory_is_bounded_and_what_is_written_is_given_up() {
        EpochBuffer buffer = new EpochBuffer(1, 3, () -> ByteBuffer.allocateDirect(512));
        for (int i = 0; i < 3; i++) {
            EpochBatch batch = buffer.nextBatch().orElseThrow();
            assertThat(batch.put(0, 0, ByteBuffer.allocate(400), 0)).isEqualTo(400);
            assertThat(batch.put(0, 0, ByteBuffer.allocate(400), 0)).isZero();
        }
        assertThat(buffer.nextBatch()).isEmpty();
        List<EpochBatch> oldest = buffer.oldestUnwritten(1);
        assertThat(oldest).hasSize(1);
        buffer.written(oldest, List.of(new JournalPlace(1, 100)));
        assertThat(buffer.nextBatch()).isPresent();
        assertThat(buffer.lend(oldest.getFirst())).isFalse();
        buffer.boundary(1);
        assertThatThrownBy(() -> buffer.boundary(2)).isInstanceOf(DiskException.class);
        assertThatThrownBy(() -> buffer.closing(2)).isInstanceOf(DiskException.class);
        assertThat(buffer.closing(1).batches()).hasSize(4);
        assertThat(buffer.unwrittenOfClosing()).hasSize(3);
    }
}
