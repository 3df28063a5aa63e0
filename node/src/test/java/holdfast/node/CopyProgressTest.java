package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.engine.remus.PrimaryState;
import holdfast.node.api.Progress;

import org.junit.jupiter.api.Test;

class CopyProgressTest {
    private static final long MIB = 1 << 20;
    private static final long SECOND = 1_000_000_000L;

    private final CopyProgress progress = new CopyProgress(256 * MIB, 0);

    @Test
    void says_round_amount_and_rate_since_the_copying_began() {
        progress.at(new PrimaryState.Starting(), 0, 3 * SECOND);
        Progress now = progress.at(new PrimaryState.Copying(0, 0), 128 * MIB, 5 * SECOND);
        assertThat(now.text()).endsWith("round 0, 128.0 of 256.0 MiB, 64.0 MiB/s");
        assertThat(now.doneBytes()).isEqualTo(128 * MIB);
        assertThat(now.totalBytes()).isEqualTo(256 * MIB);
    }

    @Test
    void a_later_round_counts_its_own_pages_from_its_own_begin() {
        progress.at(new PrimaryState.Copying(0, 0), 256 * MIB, 2 * SECOND);
        progress.at(new PrimaryState.Copying(1, 512), 256 * MIB, 2 * SECOND);
        Progress now = progress.at(new PrimaryState.Copying(1, 512), 257 * MIB, 3 * SECOND);
        assertThat(now.text()).endsWith("round 1, 1.0 of 2.0 MiB, 1.0 MiB/s");
    }

    @Test
    void a_stream_longer_than_the_pages_is_not_more_than_all() {
        Progress now = progress.at(new PrimaryState.Copying(0, 0), 300 * MIB, SECOND);
        assertThat(now.doneBytes()).isEqualTo(now.totalBytes());
    }
}
