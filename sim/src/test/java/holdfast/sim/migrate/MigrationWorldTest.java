package holdfast.sim.migrate;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.engine.migrate.FeaturePlan;
import holdfast.engine.migrate.FeatureReport;
import holdfast.engine.migrate.Storage;
import holdfast.sim.migrate.MigrationWorld.Copy;
import holdfast.sim.migrate.MigrationWorld.End;
import holdfast.sim.migrate.MigrationWorld.Plan;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;

class MigrationWorldTest {
    private static final Predicate<Copy> COPY_RUNS = copy -> copy == Copy.RUNS;

    private static final FeaturePlan FEATURES =
            FeaturePlan.of(
                    FeaturePlan.Policy.DEFAULT,
                    List.of("hook:vdp"),
                    List.of("hook:lb"),
                    List.of(FeaturePlan.Part.DISKS, FeaturePlan.Part.NICS));

    private static Plan plan(MigrationFault fault, int step, long seed) {
        return plan(fault, step, seed, Storage.SHARED);
    }

    private static Plan plan(MigrationFault fault, int step, long seed, Storage storage) {
        return new Plan(FEATURES, fault, step, Set.of(), Set.of(), seed, storage);
    }

    @ParameterizedTest
    @EnumSource(Storage.class)
    void without_a_fault_the_guest_moves_whole(Storage storage) {
        for (long seed = 0; seed < 50; seed++) {
            End end = MigrationWorld.run(plan(MigrationFault.NONE, 0, seed, storage));
            assertThat(end.destination()).isEqualTo(Copy.RUNS);
            assertThat(end.source()).isEqualTo(Copy.GONE);
            assertThat(end.reports()).allMatch(r -> r.result() == FeatureReport.Result.UP);
        }
    }

    /** The checks are in the world: after each step, and at the end. */
    @ParameterizedTest
    @EnumSource(MigrationFault.class)
    void whatever_fails_after_whichever_step_one_copy_runs_or_a_state_says_whose_it_is(
            MigrationFault fault) {
        for (Storage storage : Storage.values()) {
            int steps = MigrationWorld.run(plan(MigrationFault.NONE, 0, 1, storage)).steps();
            assertThat(steps).isGreaterThan(20);
            for (int step = 0; step <= steps; step++) {
                for (long seed = 0; seed < 3; seed++) {
                    MigrationWorld.run(plan(fault, step, seed, storage));
                }
            }
        }
    }

    @Test
    void a_disk_that_cannot_be_copied_leaves_the_guest_where_it_is() {
        int steps = MigrationWorld.run(plan(MigrationFault.NONE, 0, 1, Storage.COPIED)).steps();
        Set<Copy> ends = new HashSet<>();
        for (MigrationFault fault :
                List.of(
                        MigrationFault.MIRROR_BREAKS,
                        MigrationFault.DESTINATION_DISK_FULL,
                        MigrationFault.DISK_CONNECTION_BREAKS)) {
            for (int step = 0; step <= steps; step++) {
                End end = MigrationWorld.run(plan(fault, step, 1, Storage.COPIED));
                assertThat(List.of(end.source(), end.destination()).stream().filter(COPY_RUNS))
                        .as("%s after step %d: %s", fault, step, end)
                        .hasSize(1);
                ends.add(end.source());
            }
        }
        // Early enough it stays, late enough it has moved by then.
        assertThat(ends).containsExactlyInAnyOrder(Copy.RUNS, Copy.GONE);
        End refused =
                MigrationWorld.run(plan(MigrationFault.DETACH_REFUSED_ONCE, 0, 1, Storage.COPIED));
        assertThat(refused.source()).isEqualTo(Copy.RUNS);
    }

    @Test
    void a_broken_link_never_ends_a_guest() {
        int steps = MigrationWorld.run(plan(MigrationFault.NONE, 0, 1)).steps();
        for (int step = 0; step <= steps; step++) {
            for (MigrationFault fault :
                    List.of(
                            MigrationFault.LINK_BREAKS,
                            MigrationFault.NETWORK_BREAKS,
                            MigrationFault.CANCELLED,
                            MigrationFault.SOURCE_DAEMON_DIES,
                            MigrationFault.DESTINATION_DAEMON_DIES,
                            MigrationFault.RUN_REFUSED,
                            MigrationFault.RUN_REFUSED_AND_DAEMON_DIES,
                            MigrationFault.RESUME_REFUSED_ONCE,
                            MigrationFault.SAVE_FAILS,
                            MigrationFault.SAVE_WRITES,
                            MigrationFault.BYTES_DAMAGED)) {
                End end = MigrationWorld.run(plan(fault, step, 3));
                assertThat(
                                List.of(end.source(), end.destination()).stream()
                                        .filter(copy -> copy == Copy.RUNS))
                        .as("%s after step %d: %s", fault, step, end)
                        .hasSize(1);
            }
        }
    }

    @Test
    void a_guest_whose_memory_is_written_by_the_save_of_its_devices_stays() {
        End end = MigrationWorld.run(plan(MigrationFault.SAVE_WRITES, 0, 1));
        assertThat(end.source()).isEqualTo(Copy.RUNS);
        assertThat(end.destination()).isEqualTo(Copy.GONE);
    }

    @Test
    void where_nobody_can_know_whether_it_ran_no_copy_runs_and_the_state_says_so() {
        End end = MigrationWorld.run(plan(MigrationFault.RUN_UNKNOWN, 0, 1));
        assertThat(end.source()).isEqualTo(Copy.STANDS_STILL);
        assertThat(end.undecided()).hasValueSatisfying(text -> assertThat(text).contains("8"));
    }

    @Test
    void a_required_feature_that_fails_takes_the_others_down_in_reverse_and_a_second_try_moves() {
        for (String failing : List.of("memory", "devices", "disk", "network", "hook:vdp")) {
            End end =
                    MigrationWorld.run(
                            new Plan(
                                    FEATURES,
                                    MigrationFault.NONE,
                                    0,
                                    Set.of(failing),
                                    Set.of(),
                                    5));
            assertThat(end.source()).as(failing).isEqualTo(Copy.RUNS);
            assertThat(end.destination()).isEqualTo(Copy.GONE);
            List<String> up =
                    end.hooks().stream()
                            .filter(h -> h.startsWith("init "))
                            .map(h -> h.substring(5))
                            .filter(name -> !name.equals(failing))
                            .toList();
            List<String> down =
                    end.hooks().stream()
                            .filter(h -> h.startsWith("deinit "))
                            .map(h -> h.substring(7))
                            .toList();
            assertThat(down).isEqualTo(up.reversed());
            assertThat(MigrationWorld.run(plan(MigrationFault.NONE, 0, 5)).destination())
                    .isEqualTo(Copy.RUNS);
        }
    }

    @Test
    void a_feature_that_cannot_be_taken_down_keeps_no_other_from_it_and_is_reported() {
        End end =
                MigrationWorld.run(
                        new Plan(
                                FEATURES,
                                MigrationFault.NONE,
                                0,
                                Set.of("hook:vdp"),
                                Set.of("network"),
                                5));
        assertThat(end.source()).isEqualTo(Copy.RUNS);
        assertThat(end.hooks())
                .endsWith("deinit network", "deinit disk", "deinit devices", "deinit memory");
        assertThat(end.reports())
                .anyMatch(
                        r ->
                                r.name().equals("network")
                                        && r.result() == FeatureReport.Result.DOWN_FAILED);
    }

    @Test
    void a_best_effort_feature_that_fails_is_reported_and_the_guest_moves() {
        End end =
                MigrationWorld.run(
                        new Plan(FEATURES, MigrationFault.NONE, 0, Set.of("hook:lb"), Set.of(), 5));
        assertThat(end.destination()).isEqualTo(Copy.RUNS);
        assertThat(end.reports())
                .anyMatch(
                        r ->
                                r.name().equals("hook:lb")
                                        && r.result() == FeatureReport.Result.FAILED);
    }
}
