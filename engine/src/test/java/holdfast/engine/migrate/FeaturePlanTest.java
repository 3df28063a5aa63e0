package holdfast.engine.migrate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.migrate.Feature.Necessity;
import holdfast.engine.migrate.FeaturePlan.Part;
import holdfast.engine.migrate.FeaturePlan.Policy;

import org.junit.jupiter.api.Test;

import java.util.List;

class FeaturePlanTest {
    private static final List<Part> BOTH = List.of(Part.DISKS, Part.NICS);

    private static List<String> names(FeaturePlan plan, Necessity necessity) {
        return plan.features().stream()
                .filter(f -> f.necessity() == necessity)
                .map(Feature::name)
                .toList();
    }

    @Test
    void by_default_disk_and_network_are_required_where_the_domain_has_them() {
        FeaturePlan plan = FeaturePlan.of(Policy.DEFAULT, List.of(), List.of(), BOTH);
        assertThat(names(plan, Necessity.REQUIRED))
                .containsExactly("memory", "devices", "disk", "network");
        assertThat(
                        names(
                                FeaturePlan.of(Policy.DEFAULT, List.of(), List.of(), List.of()),
                                Necessity.REQUIRED))
                .containsExactly("memory", "devices");
    }

    @Test
    void wishes_change_single_features_and_hooks_come_last_in_their_order() {
        FeaturePlan plan =
                FeaturePlan.of(
                        Policy.DEFAULT,
                        List.of("net", "hook:vdp"),
                        List.of("disk-cache", "hook:lb", "disk"),
                        BOTH);
        assertThat(plan.features().stream().map(Feature::name))
                .containsExactly(
                        "memory",
                        "devices",
                        "disk",
                        "disk-cache",
                        "network",
                        "hook:vdp",
                        "hook:lb");
        assertThat(names(plan, Necessity.BEST_EFFORT))
                .containsExactly("disk", "disk-cache", "hook:lb");
    }

    @Test
    void urgent_leaves_required_only_what_no_guest_runs_without() {
        FeaturePlan plan = FeaturePlan.of(Policy.URGENT, List.of(), List.of("hook:lb"), BOTH);
        assertThat(names(plan, Necessity.REQUIRED)).containsExactly("memory", "devices");
    }

    @Test
    void contradictions_and_unknown_names_are_refused_with_the_words_that_contradict() {
        refused(Policy.URGENT, List.of("net"), List.of(), "--urgent");
        refused(Policy.STRICT, List.of(), List.of("net"), "--strict");
        refused(Policy.DEFAULT, List.of("net"), List.of("network"), "both required");
        refused(Policy.DEFAULT, List.of(), List.of("memory"), "no guest runs without");
        refused(Policy.DEFAULT, List.of("teleport"), List.of(), "hook:NAME");
        refused(Policy.DEFAULT, List.of("hook:../../bin/sh"), List.of(), "hook:NAME");
    }

    private static void refused(
            Policy policy, List<String> require, List<String> effort, String words) {
        assertThatThrownBy(() -> FeaturePlan.of(policy, require, effort, BOTH))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining(words);
    }
}
