package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.engine.remus.PrimaryState;
import holdfast.node.api.Progress;
import holdfast.node.session.ProtectedGuest;

import org.junit.jupiter.api.Test;

import java.util.List;

class CopyProgressTest {
    private static final long MIB = 1 << 20;
    private static final long SECOND = 1_000_000_000L;

    private final CopyProgress progress = new CopyProgress(256 * MIB, 0);

    @Test
    void says_round_amount_and_rate_since_the_copying_began() {
        progress.at(new PrimaryState.Starting(), 0, List.of(), 3 * SECOND);
        Progress now =
                progress.at(new PrimaryState.Copying(0, 0), 128 * MIB, List.of(), 5 * SECOND);
        assertThat(now.text()).endsWith("round 0, 128.0 of 256.0 MiB, 64.0 MiB/s");
        assertThat(now.doneBytes()).isEqualTo(128 * MIB);
        assertThat(now.totalBytes()).isEqualTo(256 * MIB);
    }

    @Test
    void a_later_round_counts_its_own_pages_from_its_own_begin() {
        progress.at(new PrimaryState.Copying(0, 0), 256 * MIB, List.of(), 2 * SECOND);
        progress.at(new PrimaryState.Copying(1, 512), 256 * MIB, List.of(), 2 * SECOND);
        Progress now =
                progress.at(new PrimaryState.Copying(1, 512), 257 * MIB, List.of(), 3 * SECOND);
        assertThat(now.text()).endsWith("round 1, 1.0 of 2.0 MiB, 1.0 MiB/s");
    }

    @Test
    void disks_are_told_by_the_one_that_is_being_copied() {
        progress.at(new PrimaryState.Starting(), 0, List.of(), SECOND);
        Progress now =
                progress.at(
                        new PrimaryState.Synchronising(),
                        0,
                        List.of(
                                new ProtectedGuest.DiskFigures(
                                        0, ProtectedGuest.DiskState.IN_SYNC, MIB, MIB, MIB),
                                new ProtectedGuest.DiskFigures(
                                        1,
                                        ProtectedGuest.DiskState.COPYING,
                                        1024 * MIB,
                                        4096 * MIB,
                                        1024 * MIB)),
                        6 * SECOND);
        assertThat(now.text())
                .isEqualTo("copying disk1 while the guest runs: 1.0 of 4.0 GiB, 205.0 MiB/s");
        assertThat(now.doneBytes()).isEqualTo(1025 * MIB);
        assertThat(now.totalBytes()).isEqualTo(4097 * MIB);
    }

    @Test
    void a_stream_longer_than_the_pages_is_not_more_than_all() {
        Progress now = progress.at(new PrimaryState.Copying(0, 0), 300 * MIB, List.of(), SECOND);
        assertThat(now.doneBytes()).isEqualTo(now.totalBytes());
    }
}
