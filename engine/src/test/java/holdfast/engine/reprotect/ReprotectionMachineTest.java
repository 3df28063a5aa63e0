package holdfast.engine.reprotect;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.engine.reprotect.ReprotectionEffect.Forget;
import holdfast.engine.reprotect.ReprotectionEffect.Protect;
import holdfast.engine.reprotect.ReprotectionEffect.Remember;
import holdfast.engine.reprotect.ReprotectionEffect.Schedule;
import holdfast.engine.reprotect.ReprotectionEvent.AttemptFailed;
import holdfast.engine.reprotect.ReprotectionEvent.Failure;
import holdfast.engine.reprotect.ReprotectionEvent.Gone;
import holdfast.engine.reprotect.ReprotectionEvent.IsSelf;
import holdfast.engine.reprotect.ReprotectionEvent.NotNow;
import holdfast.engine.reprotect.ReprotectionEvent.ProtectedNow;
import holdfast.engine.reprotect.ReprotectionEvent.SessionEnded;
import holdfast.engine.reprotect.ReprotectionEvent.TryDue;
import holdfast.engine.reprotect.ReprotectionEvent.Wished;
import holdfast.engine.reprotect.ReprotectionEvent.Withdrawn;
import holdfast.engine.reprotect.ReprotectionState.Looking;
import holdfast.engine.reprotect.ReprotectionState.Off;
import holdfast.engine.reprotect.ReprotectionState.Protected;
import holdfast.engine.reprotect.ReprotectionState.Trying;

import org.junit.jupiter.api.Test;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;

class ReprotectionMachineTest {
    private static final List<String> TWO = List.of("b", "c");
    private static final long NOW = 1_000_000_000_000L;
    private static final double MIDDLE = 0.5;
    private static final long HALF_SECOND = 500_000_000L;

    private static ReprotectionMachine.Step step(ReprotectionState state, ReprotectionEvent event) {
        return ReprotectionMachine.step(state, event);
    }

    private static Trying trying(int next, int attempts) {
        return new Trying(TWO, next, new InVain(attempts, 0), NOW, Optional.empty());
    }

    @Test
    void a_lost_secondary_is_looked_for_at_once_the_preferred_node_first() {
        var lost =
                step(
                        new Protected(TWO, NOW, 0, new InVain(0, 0)),
                        new SessionEnded("b is lost", NOW + 1, MIDDLE));
        assertThat(lost.state())
                .isEqualTo(
                        new Looking(TWO, 0, new InVain(1, 1), NOW + 1, Optional.of("b is lost")));
        assertThat(lost.effects()).containsExactly(new Schedule(NOW + 1));
        var due = step(lost.state(), new TryDue(NOW + 1));
        assertThat(due.effects()).containsExactly(new Protect("b"));
    }

    @Test
    void nodes_take_turns_and_the_time_between_attempts_doubles_with_each_round() {
        ReprotectionState state = step(new Off(), new Wished(TWO, NOW)).state();
        long now = NOW;
        List<String> tried = new ArrayList<>();
        List<Long> waits = new ArrayList<>();
        for (int i = 0; i < 16; i++) {
            var due = step(state, new TryDue(now));
            String node = ((Protect) due.effects().getFirst()).node();
            tried.add(node);
            var failed =
                    step(due.state(), new AttemptFailed(node, Failure.REFUSED, "no", now, MIDDLE));
            long next = ((Looking) failed.state()).dueNanos();
            waits.add((next - now) / 1_000_000);
            now = next;
            state = failed.state();
        }
        assertThat(tried).startsWith("b", "c", "b", "c");
        assertThat(waits)
                .containsExactly(
                        500L, 500L, 1000L, 1000L, 2000L, 2000L, 4000L, 4000L, 8000L, 8000L, 16000L,
                        16000L, 30000L, 30000L, 30000L, 30000L);
    }

    @Test
    void a_node_that_does_not_answer_is_asked_more_often_and_chance_moves_it_by_a_quarter() {
        assertThat(Backoff.nanos(1000, 1, Failure.UNREACHABLE, MIDDLE)).isEqualTo(5_000_000_000L);
        assertThat(Backoff.nanos(1000, 1, Failure.UNREACHABLE, 0)).isEqualTo(3_750_000_000L);
        assertThat(Backoff.nanos(1000, 1, Failure.UNREACHABLE, 1)).isEqualTo(6_250_000_000L);
        assertThat(Backoff.nanos(1, 1, Failure.UNREACHABLE, MIDDLE)).isEqualTo(HALF_SECOND);
        assertThat(Backoff.nanos(Integer.MAX_VALUE, 1, Failure.REFUSED, MIDDLE))
                .isEqualTo(30_000_000_000L);
    }

    @Test
    void protection_that_ends_again_and_again_is_not_renewed_in_a_hot_loop() {
        ReprotectionState state = new Protected(TWO, NOW, 0, new InVain(0, 0));
        long now = NOW;
        List<Long> waits = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            var ended = step(state, new SessionEnded("again", now, MIDDLE));
            Looking looking = (Looking) ended.state();
            waits.add((looking.dueNanos() - now) / 1_000_000);
            now = looking.dueNanos();
            state = step(looking, new TryDue(now)).state();
            state = step(state, new ProtectedNow(TWO, now)).state();
        }
        assertThat(waits).containsExactly(0L, 500L, 1000L, 1000L, 2000L, 2000L);
        long sound = now + Backoff.SOUND_NANOS;
        assertThat(step(state, new SessionEnded("late", sound, MIDDLE)).state())
                .isEqualTo(new Looking(TWO, 0, InVain.NOTHING, sound, Optional.of("late")));
    }

    private static final long HOUR = 3_600_000_000_000L;
    private static final long MINUTE = 60_000_000_000L;

    /** How long nothing is copied after each of some copies in vain, of that length. */
    private static List<Long> pausesMillis(List<String> nodes, long copyNanos, int copies) {
        ReprotectionState state = step(new Off(), new Wished(nodes, NOW)).state();
        long now = NOW;
        List<Long> pauses = new ArrayList<>();
        for (int i = 0; i < copies; i++) {
            state = step(state, new TryDue(now)).state();
            now += copyNanos;
            state = step(state, new SessionEnded("no room", now, MIDDLE)).state();
            long due = ((Looking) state).dueNanos();
            pauses.add((due - now) / 1_000_000);
            now = due;
        }
        return pauses;
    }

    @Test
    void a_node_that_failed_a_copy_gets_another_one_and_then_fewer_and_fewer() {
        List<String> one = List.of("b");
        assertThat(pausesMillis(one, MINUTE, 8))
                .as("twice as long each time")
                .containsExactly(
                        500L, 60_000L, 120_000L, 240_000L, 480_000L, 960_000L, 960_000L, 960_000L);
        assertThat(pausesMillis(one, HOUR, 5))
                .as("never more than half of the time")
                .containsExactly(500L, 3_600_000L, 3_600_000L, 3_600_000L, 3_600_000L);
        assertThat(pausesMillis(one, 10 * MINUTE, 5))
                .as("half an hour is enough")
                .containsExactly(500L, 600_000L, 1_200_000L, 1_800_000L, 1_800_000L);
        assertThat(pausesMillis(one, 100_000_000L, 9))
                .as("a quick one is like any other attempt")
                .containsExactly(500L, 1000L, 2000L, 4000L, 8000L, 16000L, 30000L, 30000L, 30000L);
        assertThat(pausesMillis(TWO, MINUTE, 5))
                .as("each node its own first one")
                .containsExactly(500L, 500L, 60_000L, 60_000L, 120_000L);
    }

    @Test
    void a_node_that_was_away_for_long_is_forgiven_the_first_copy_in_vain() {
        Trying late =
                new Trying(List.of("b"), 0, new InVain(200, 0), NOW, Optional.of("timed out"));
        var failed = step(late, new SessionEnded("no room", NOW + HOUR, MIDDLE));
        assertThat(((Looking) failed.state()).inVain()).isEqualTo(new InVain(201, 1));
        assertThat(((Looking) failed.state()).dueNanos() - NOW - HOUR)
                .isEqualTo(Backoff.REFUSED_NANOS_MAX);
    }

    @Test
    void protection_is_sound_when_it_lasts_longer_than_its_copy_took() {
        Trying trying = new Trying(List.of("b"), 0, new InVain(3, 3), NOW, Optional.empty());
        ReprotectionState is = step(trying, new ProtectedNow(List.of("b"), NOW + HOUR)).state();
        assertThat(is).isEqualTo(new Protected(List.of("b"), NOW + HOUR, HOUR, new InVain(3, 3)));
        var soon = step(is, new SessionEnded("full", NOW + 2 * HOUR - 1, MIDDLE));
        assertThat(soon.state())
                .isEqualTo(
                        new Looking(
                                List.of("b"),
                                0,
                                new InVain(4, 4),
                                NOW + 3 * HOUR - 1,
                                Optional.of("full")));
        var sound = step(is, new SessionEnded("lost", NOW + 2 * HOUR, MIDDLE));
        assertThat(sound.state())
                .isEqualTo(
                        new Looking(
                                List.of("b"),
                                0,
                                InVain.NOTHING,
                                NOW + 2 * HOUR,
                                Optional.of("lost")));
    }

    @Test
    void what_the_operator_ended_stays_ended_whatever_news_come_late() {
        for (ReprotectionState state :
                List.of(
                        new Protected(TWO, NOW, 0, new InVain(0, 0)),
                        new Looking(TWO, 0, InVain.NOTHING, NOW, Optional.empty()),
                        trying(0, 0),
                        new Off())) {
            var ended = step(state, new Withdrawn());
            assertThat(ended.state()).isEqualTo(new Off());
            assertThat(ended.effects()).containsExactly(new Forget());
        }
        for (ReprotectionEvent late :
                List.of(
                        new TryDue(NOW),
                        new NotNow(NOW),
                        new SessionEnded("over", NOW, MIDDLE),
                        new AttemptFailed("b", Failure.REFUSED, "no", NOW, MIDDLE),
                        new IsSelf("b", NOW),
                        new Gone())) {
            assertThat(step(new Off(), late).state()).isEqualTo(new Off());
            assertThat(step(new Off(), late).effects()).isEmpty();
        }
    }

    @Test
    void a_node_that_is_this_one_is_never_asked_again() {
        var without = step(trying(0, 0), new IsSelf("b", NOW));
        assertThat(without.state())
                .isEqualTo(new Looking(List.of("c"), 0, InVain.NOTHING, NOW, Optional.empty()));
        assertThat(without.effects())
                .containsExactly(new Remember(List.of("c")), new Schedule(NOW));
        var none =
                step(
                        new Trying(List.of("b"), 0, InVain.NOTHING, NOW, Optional.empty()),
                        new IsSelf("b", NOW));
        assertThat(none.state()).isEqualTo(new Off());
        assertThat(none.effects()).containsExactly(new Forget());
    }

    @Test
    void an_operation_in_work_postpones_the_attempt_and_does_not_count() {
        assertThat(step(trying(1, 3), new NotNow(NOW)).state())
                .isEqualTo(
                        new Looking(TWO, 1, new InVain(3, 0), NOW + HALF_SECOND, Optional.empty()));
    }

    @Test
    void a_domain_that_is_let_go_on_after_a_broken_session_is_looked_after_again() {
        assertThat(
                        step(new Protected(TWO, NOW, 0, new InVain(3, 3)), new Wished(TWO, NOW + 1))
                                .state())
                .isEqualTo(new Looking(TWO, 0, InVain.NOTHING, NOW + 1, Optional.empty()));
    }

    @Test
    void a_timer_that_goes_off_early_is_set_again() {
        Looking looking = new Looking(TWO, 0, InVain.NOTHING, NOW, Optional.empty());
        var early = step(looking, new TryDue(NOW - 1));
        assertThat(early.state()).isEqualTo(looking);
        assertThat(early.effects()).containsExactly(new Schedule(NOW));
    }

    /**
     * Random events in every state, against what must hold whatever comes: one attempt at a time, a
     * pending attempt for every {@code Looking}, none after {@code Withdrawn} or {@code Gone}, and
     * never more than a bounded number of attempts in a time.
     */
    @Test
    void random_events_never_break_the_promises() {
        long seed = System.nanoTime();
        System.out.println("seed " + seed);
        SplittableRandom random = new SplittableRandom(seed);
        for (int run = 0; run < 2_000; run++) {
            randomRun(new SplittableRandom(random.nextLong()), seed);
        }
    }

    private static void randomRun(SplittableRandom random, long seed) {
        ReprotectionState state = new Off();
        long now = random.nextLong();
        boolean wanted = false;
        long timer = 0;
        boolean set = false;
        for (int i = 0; i < 100; i++) {
            now += random.nextLong(2_000_000_000L);
            ReprotectionEvent event = event(random, state, now);
            switch (event) {
                case Wished wished -> wanted = !wished.nodes().isEmpty();
                case ProtectedNow _ -> wanted = true;
                case Withdrawn _, Gone _ -> wanted = false;
                case SessionEnded _, TryDue _, NotNow _, AttemptFailed _, IsSelf _ -> {}
            }
            boolean tried = state instanceof Trying;
            var step = step(state, event);
            for (ReprotectionEffect effect : step.effects()) {
                switch (effect) {
                    case Protect(String node) -> {
                        assertThat(tried).as("two attempts, seed %d", seed).isFalse();
                        assertThat(wanted).as("unwanted, seed %d", seed).isTrue();
                        assertThat(step.state().nodes()).contains(node);
                        assertThat(now - ((Looking) state).dueNanos())
                                .as("before its time, seed %d", seed)
                                .isNotNegative();
                    }
                    case Schedule(long due) -> {
                        timer = due;
                        set = true;
                    }
                    case Remember(List<String> nodes) ->
                            assertThat(nodes).isEqualTo(step.state().nodes());
                    case Forget _ -> assertThat(step.state()).isEqualTo(new Off());
                }
            }
            state = step.state();
            if (!wanted) {
                assertThat(state).as("seed %d", seed).isEqualTo(new Off());
            }
            if (state instanceof Looking looking) {
                assertThat(set).isTrue();
                assertThat(timer).as("no timer, seed %d", seed).isEqualTo(looking.dueNanos());
                assertThat(looking.dueNanos() - now)
                        .as("too late, seed %d", seed)
                        .isLessThanOrEqualTo(Backoff.COPIED_NANOS_MAX * 5 / 4);
            }
        }
    }

    private static ReprotectionEvent event(
            SplittableRandom random, ReprotectionState state, long now) {
        List<String> nodes = List.of("b", "c", "d").subList(0, random.nextInt(1, 4));
        String node =
                state.nodes().isEmpty()
                        ? "b"
                        : state.nodes().get(random.nextInt(state.nodes().size()));
        return switch (random.nextInt(12)) {
            case 0 -> new Wished(nodes, now);
            case 1 -> new ProtectedNow(nodes, now);
            case 2, 3 -> new SessionEnded("ended", now, random.nextDouble());
            case 4, 5, 6 -> new TryDue(now);
            case 7 -> new NotNow(now);
            case 8 ->
                    new AttemptFailed(
                            node, Failure.UNREACHABLE, "silent", now, random.nextDouble());
            case 9 -> new AttemptFailed(node, Failure.REFUSED, "no", now, random.nextDouble());
            case 10 -> new IsSelf(node, now);
            default -> random.nextBoolean() ? new Withdrawn() : new Gone();
        };
    }
}
