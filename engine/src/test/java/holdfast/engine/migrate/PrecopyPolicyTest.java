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
    void figures_of_an_empty_round_are_zero() {
        Measured empty = new Measured(1, 0, 0, 0, 0);
        assertThat(empty.bytesPerSecond()).isZero();
        assertThat(empty.dirtyPagesPerSecond()).isZero();
        assertThat(empty.restNanos()).isZero();
        assertThat(policy.decide(Course.BEGIN, empty)).isInstanceOf(Decision.Enough.class);
    }
}
