package holdfast.node.link;

import static org.assertj.core.api.Assertions.assertThat;

import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;

class LinkDrainTest {
    private static final long ROUND_TRIP_NANOS = 300_000;

    private final LinkDrain drain = new LinkDrain();
    private long now = 1_000_000_000;

    /** A checkpoint that the link takes so long for once it is written; what a byte costs then. */
    private double checkpoint(long bytes, long linkNanos) {
        drain.asked(now);
        now += ROUND_TRIP_NANOS;
        drain.answered(now);
        drain.wrote(bytes, now);
        now += ROUND_TRIP_NANOS + linkNanos;
        return drain.committed(now);
    }

    private double settled(long bytes, double nanosPerByte) {
        double found = 0;
        for (int i = 0; i < LinkDrain.NEWEST; i++) {
            found = checkpoint(bytes, (long) (bytes * nanosPerByte));
        }
        return found;
    }

    @Test
    void a_slow_link_is_found_to_cost_what_it_does() {
        // 10 MB/s.
        assertThat(settled(150_000, 100)).isCloseTo(100, Offset.offset(0.01));
    }

    @Test
    void a_fast_link_costs_nothing_whatever_a_busy_node_does_once_in_a_while() {
        assertThat(settled(150_000, 1)).isZero();
        assertThat(checkpoint(150_000, 50_000_000)).isZero();
        assertThat(checkpoint(150_000, 100_000)).isZero();
    }

    @Test
    void checkpoints_that_shrink_below_notice_do_not_make_a_slow_link_fast() {
        settled(150_000, 100);
        assertThat(settled(15_000, 100)).isCloseTo(100, Offset.offset(0.01));
    }

    @Test
    void a_link_that_has_become_fast_is_noticed_at_the_first_checkpoint_that_shows_it() {
        settled(150_000, 100);
        assertThat(checkpoint(4_000_000, 1_000_000)).isLessThanOrEqualTo(0.5);
    }

    @Test
    void nothing_is_said_before_a_round_trip_is_known() {
        drain.wrote(150_000, now);
        assertThat(drain.committed(now + 1_000_000_000)).isZero();
    }
}
