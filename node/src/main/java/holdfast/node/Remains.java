package holdfast.node;

import holdfast.engine.migrate.Feature;
import holdfast.engine.migrate.FeaturePlan;
import holdfast.engine.migrate.FeatureReport;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What of a domain that did not come could not be given back, by the feature it belongs to. The
 * source's operator is told: nobody looks for it here.
 */
final class Remains {
    private final FeaturePlan plan;
    private final Map<String, List<String>> left = new LinkedHashMap<>();

    Remains(FeaturePlan plan) {
        this.plan = plan;
    }

    /**
     * @param what it is, why it is still there
     */
    void add(String feature, String what) {
        left.computeIfAbsent(feature, _ -> new ArrayList<>()).add(what);
    }

    /** {@code reports} with what is left; features that had not been brought up included. */
    List<FeatureReport> in(List<FeatureReport> reports) {
        List<FeatureReport> all = new ArrayList<>();
        for (FeatureReport report : reports) {
            List<String> here = left.getOrDefault(report.name(), List.of());
            all.add(here.isEmpty() ? report : downFailed(report, here));
        }
        left.forEach(
                (feature, what) -> {
                    if (reports.stream().noneMatch(report -> report.name().equals(feature))) {
                        all.add(
                                new FeatureReport(
                                        feature,
                                        necessity(feature),
                                        FeatureReport.Result.DOWN_FAILED,
                                        String.join("; ", what),
                                        0));
                    }
                });
        return all;
    }

    private static FeatureReport downFailed(FeatureReport report, List<String> what) {
        List<String> words = new ArrayList<>();
        switch (report.result()) {
            // Taken down it is not: what was said of that is wrong.
            case UP, DOWN -> {}
            case FAILED, DOWN_FAILED -> words.add(report.detail());
        }
        words.addAll(what);
        return new FeatureReport(
                report.name(),
                report.necessity(),
                FeatureReport.Result.DOWN_FAILED,
                String.join("; ", words),
                report.micros());
    }

    private Feature.Necessity necessity(String feature) {
        return plan.features().stream()
                .filter(each -> each.name().equals(feature))
                .map(Feature::necessity)
                .findFirst()
                .orElse(Feature.Necessity.REQUIRED);
    }
}
