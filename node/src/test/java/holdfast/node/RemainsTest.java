package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.engine.migrate.Feature;
import holdfast.engine.migrate.FeaturePlan;
import holdfast.engine.migrate.FeatureReport;
import holdfast.engine.migrate.FeatureReport.Result;

import org.junit.jupiter.api.Test;

import java.util.List;

class RemainsTest {
    private final Remains remains =
            new Remains(
                    FeaturePlan.of(
                            FeaturePlan.Policy.URGENT,
                            List.of(),
                            List.of(),
                            List.of(FeaturePlan.Part.DISKS)));

    @Test
    void what_is_left_takes_the_place_of_the_word_that_it_is_down() {
        remains.add(Feature.MEMORY, "f is left: busy");
        assertThat(remains.in(List.of(report(Feature.MEMORY, Result.DOWN, "ends with its QEMU"))))
                .containsExactly(report(Feature.MEMORY, Result.DOWN_FAILED, "f is left: busy"));
    }

    @Test
    void what_failed_before_is_still_told() {
        remains.add(Feature.DISK, "a is left");
        remains.add(Feature.DISK, "b is left");
        assertThat(remains.in(List.of(report(Feature.DISK, Result.FAILED, "no lock"))))
                .containsExactly(
                        report(Feature.DISK, Result.DOWN_FAILED, "no lock; a is left; b is left"));
    }

    @Test
    void a_feature_that_was_never_tried_is_told_of_with_its_plans_necessity() {
        remains.add(Feature.DISK, "a is left");
        FeatureReport devices = report(Feature.DEVICES, Result.DOWN, "ends with its QEMU");
        assertThat(remains.in(List.of(devices)))
                .containsExactly(
                        devices,
                        new FeatureReport(
                                Feature.DISK,
                                Feature.Necessity.BEST_EFFORT,
                                Result.DOWN_FAILED,
                                "a is left",
                                0));
    }

    private static FeatureReport report(String name, Result result, String detail) {
        return new FeatureReport(name, Feature.Necessity.REQUIRED, result, detail, 0);
    }
}
