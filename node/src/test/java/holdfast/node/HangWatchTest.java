package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.HangWatch.Look;
import holdfast.node.HangWatch.Remedy;
import holdfast.node.HangWatch.State;

import org.junit.jupiter.api.Test;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.LongFunction;

class HangWatchTest {
    private static final HangWatch JUDGE = new HangWatch(Duration.ofSeconds(6));
    private static final long STEP_MILLIS = 100;

    /**
     * Remedies of looks, STEP_MILLIS apart, as {@code time: remedy}; those without are left out.
     */
    private static List<String> remedies(long untilMillis, LongFunction<Look> looks) {
        List<String> all = new ArrayList<>();
        State state = HangWatch.begin(0);
        for (long millis = STEP_MILLIS; millis <= untilMillis; millis += STEP_MILLIS) {
            HangWatch.Step step = JUDGE.step(state, looks.apply(millis));
            state = step.state();
            if (step.remedy() != Remedy.NONE) {
                all.add(millis + ": " + step.remedy());
            }
        }
        return all;
    }

    private static Look look(
            long millis, long requestMillis, long requests, long commandMillis, boolean forgets) {
        return new Look(
                TimeUnit.MILLISECONDS.toNanos(millis),
                TimeUnit.MILLISECONDS.toNanos(requestMillis),
                requests,
                TimeUnit.MILLISECONDS.toNanos(commandMillis),
                forgets);
    }

    @Test
    void a_request_that_hangs_is_forgotten_at_the_limit_and_cut_once_a_second_after_it() {
        assertThat(remedies(9000, millis -> look(millis, millis, 1, 0, millis > 6000)))
                .containsExactly("6000: FORGET", "7000: CUT", "8000: CUT", "9000: CUT");
    }

    @Test
    void a_request_that_goes_on_when_writes_are_forgotten_is_not_cut() {
        assertThat(
                        remedies(
                                20_000,
                                millis ->
                                        millis <= 6000
                                                ? look(millis, millis, 1, millis, false)
                                                : look(millis, 0, 2, 0, true)))
                .containsExactly("6000: FORGET");
    }

    @Test
    void requests_below_the_limit_one_after_the_other_are_no_hang() {
        assertThat(remedies(60_000, millis -> look(millis, millis % 5900, millis / 5900, 0, false)))
                .isEmpty();
    }

    @Test
    void a_command_that_waits_for_many_short_requests_is_a_hang() {
        assertThat(remedies(6500, millis -> look(millis, 50, millis, millis, false)))
                .containsExactly("6000: FORGET");
        assertThat(remedies(6500, millis -> look(millis, 0, millis, millis, false)))
                .as("none is met at work, but their number grows")
                .containsExactly("6000: FORGET");
    }

    @Test
    void a_command_that_waits_while_no_request_is_at_work_is_not_the_exports_fault() {
        assertThat(remedies(60_000, millis -> look(millis, 0, 7, millis, false))).isEmpty();
        assertThat(
                        remedies(
                                60_000,
                                millis -> look(millis, 0, Math.min(millis, 5000), millis, false)))
                .as("they ended before the limit")
                .isEmpty();
    }

    @Test
    void where_writes_are_forgotten_already_a_hang_is_cut_after_the_grace_alone() {
        assertThat(remedies(1500, millis -> look(millis, millis, 1, millis, true)))
                .containsExactly("1100: CUT");
    }

    @Test
    void what_is_forgotten_and_goes_on_is_left_alone() {
        assertThat(remedies(60_000, millis -> look(millis, 20, millis, 0, true))).isEmpty();
    }

    /** A process that was stopped finds everything old when it goes on. */
    @Test
    void time_in_which_nobody_looked_does_not_count() {
        State state = HangWatch.begin(0);
        state = JUDGE.step(state, look(100, 50, 1, 50, false)).state();
        HangWatch.Step late = JUDGE.step(state, look(60_000, 59_950, 1, 59_950, false));
        assertThat(late.remedy()).isEqualTo(Remedy.NONE);
        List<String> after = new ArrayList<>();
        state = late.state();
        for (long millis = 60_100; millis <= 67_000; millis += STEP_MILLIS) {
            HangWatch.Step step = JUDGE.step(state, look(millis, millis, 1, millis, false));
            state = step.state();
            if (step.remedy() != Remedy.NONE) {
                after.add(millis + ": " + step.remedy());
            }
        }
        assertThat(after).containsExactly("66000: FORGET", "67000: CUT");
    }
}
