package holdfast.engine.migrate;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.engine.migrate.PrecopyPolicy.Convergence;
import holdfast.engine.migrate.PrecopyPolicy.Course;
import holdfast.engine.migrate.PrecopyPolicy.Decision;
import holdfast.engine.migrate.PrecopyPolicy.Measured;

import org.junit.jupiter.api.Test;

class PrecopyPolicyTest {
    private static final long MILLI = 1_000_000;
    private final PrecopyPolicy policy = new PrecopyPolicy(20 * MILLI, 10, Convergence.THROTTLED);

    /** A thousand pages in 100 ms. */
    private static Measured round(int round, long dirtyPages) {
        return new Measured(round, 1000, 4_096_000, 100 * MILLI, dirtyPages);
    }

    @Test
    void the_rest_that_fits_the_downtime_ends_the_rounds_and_one_page_more_does_not() {
        assertThat(policy.decide(Course.BEGIN, round(0, 200))).isInstanceOf(Decision.Enough.class);
        assertThat(policy.decide(Course.BEGIN, round(0, 201))).isInstanceOf(Decision.Again.class);
    }

    @Test
    void the_last_round_ends_them_whatever_is_left() {
        assertThat(policy.decide(Course.BEGIN, round(8, 900))).isInstanceOf(Decision.Again.class);
        assertThat(policy.decide(Course.BEGIN, round(9, 900))).isInstanceOf(Decision.Enough.class);
    }

    @Test
    void a_guest_that_keeps_up_is_slowed_down_after_two_rounds_and_further_but_never_stopped() {
        PrecopyPolicy patient = new PrecopyPolicy(MILLI, 1000, Convergence.THROTTLED);
        Course course = Course.BEGIN;
        int most = 0;
        for (int i = 0; i < 40; i++) {
            course = ((Decision.Again) patient.decide(course, round(i, 1000))).course();
            assertThat(course.throttlePercent()).isGreaterThanOrEqualTo(most);
            most = course.throttlePercent();
            if (i == 0) {
                assertThat(most).isZero();
            }
            if (i == 1) {
                assertThat(most).isEqualTo(20);
            }
        }
        assertThat(most).isEqualTo(PrecopyPolicy.THROTTLE_PERCENT_MAX);
    }

    /** What each round leaves of the pages that the one before left, until the end. */
    private static Decision after(PrecopyPolicy policy, long... left) {
        Course course = Course.BEGIN;
        long sent = 100_000;
        Decision decision = new Decision.Again(course);
        for (int i = 0; i < left.length; i++) {
            if (!(decision instanceof Decision.Again(Course next))) {
                throw new AssertionError("over before round " + i + ": " + decision);
            }
            course = next;
            // A page takes 10 microseconds.
            decision =
                    policy.decide(
                            course, new Measured(i, sent, sent * 4096, sent * 10_000, left[i]));
            sent = left[i];
        }
        return decision;
    }

    @Test
    void without_leave_it_is_not_slowed_down() {
        PrecopyPolicy asIs = new PrecopyPolicy(MILLI, 1000, Convergence.AS_IS);
        Course course = Course.BEGIN;
        for (int i = 0; i < 10; i++) {
            course = ((Decision.Again) asIs.decide(course, round(i, 1000))).course();
        }
        assertThat(course.throttlePercent()).isZero();
    }

    @Test
    void rounds_that_do_not_shrink_are_given_up_where_the_pause_is_bearable() {
        PrecopyPolicy asIs = new PrecopyPolicy(20 * MILLI, 1000, Convergence.AS_IS);
        // 20,000 pages are 200 ms, ten times the wanted 20 ms.
        assertThat(after(asIs, 20_000, 20_000, 20_000, 20_000)).isInstanceOf(Decision.Again.class);
        assertThat(after(asIs, 20_000, 20_000, 20_000, 20_000, 20_000))
                .isInstanceOf(Decision.Enough.class);
        assertThat(after(asIs, 20_000, 20_000, 20_000, 20_000, 22_000))
                .as("a little more than that is worth waiting for")
                .isInstanceOf(Decision.Again.class);
    }

    @Test
    void rounds_that_shrink_go_on_until_the_rest_fits() {
        PrecopyPolicy asIs = new PrecopyPolicy(20 * MILLI, 1000, Convergence.AS_IS);
        assertThat(after(asIs, 20_000, 17_000, 14_000, 12_000, 10_000, 8_000, 6_000, 4_000))
                .isInstanceOf(Decision.Again.class);
        assertThat(after(asIs, 20_000, 17_000, 14_000, 12_000, 10_000, 8_000, 6_000, 4_000, 2_000))
                .isInstanceOf(Decision.Enough.class);
    }

    @Test
    void rounds_that_swing_do_not_count_as_shrinking() {
        PrecopyPolicy asIs = new PrecopyPolicy(20 * MILLI, 1000, Convergence.AS_IS);
        assertThat(after(asIs, 10_000, 15_000, 10_000, 15_000, 10_000))
                .isInstanceOf(Decision.Enough.class);
    }

    @Test
    void a_guest_that_may_be_slowed_down_is_not_given_up() {
        PrecopyPolicy throttled = new PrecopyPolicy(20 * MILLI, 1000, Convergence.THROTTLED);
        assertThat(after(throttled, 20_000, 20_000, 20_000, 20_000, 20_000, 20_000))
                .isInstanceOf(Decision.Again.class);
    }

    @Test
    void figures_of_an_empty_round_are_zero() {
        Measured empty = new Measured(1, 0, 0, 0, 0);
        assertThat(empty.bytesPerSecond()).isZero();
        assertThat(empty.dirtyPagesPerSecond()).isZero();
        assertThat(empty.restNanos()).isZero();
        assertThat(policy.decide(Course.BEGIN, empty)).isInstanceOf(Decision.Enough.class);
    }
}
