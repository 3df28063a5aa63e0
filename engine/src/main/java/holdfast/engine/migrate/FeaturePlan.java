package holdfast.engine.migrate;

import holdfast.engine.migrate.Feature.Necessity;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Which features a migration brings up, in this order; taken down in the reverse one.
 *
 * @param features each once
 */
public record FeaturePlan(List<Feature> features) {
    /** A wish that goes for all features alike. */
    public enum Policy {
        /** Disk and network are required; hooks as named. */
        DEFAULT,
        /** Evacuate now: everything is best effort that a guest can run without. */
        URGENT,
        /** Everything is required. */
        STRICT
    }

    /** What a domain has that needs something on the destination. */
    public enum Part {
        DISKS,
        NICS
    }

    public FeaturePlan {
        features = List.copyOf(features);
    }

    /** Whether this feature is brought up, and the migration goes on without it where it fails. */
    public boolean isBestEffort(String name) {
        return features.stream()
                .anyMatch(
                        feature ->
                                feature.name().equals(name)
                                        && feature.necessity() == Necessity.BEST_EFFORT);
    }

    /**
     * The plan for these wishes.
     *
     * @param require names that must be up; {@code net} stands for {@code network}
     * @param bestEffort names that should be
     * @param parts what the domain has
     * @throws IllegalArgumentException if a name is unknown or two wishes contradict each other
     */
    public static FeaturePlan of(
            Policy policy, List<String> require, List<String> bestEffort, List<Part> parts) {
        if (policy == Policy.URGENT && !require.isEmpty()) {
            throw new IllegalArgumentException(
                    "--urgent makes every feature best effort, --require "
                            + String.join(",", require)
                            + " says otherwise; leave one of them out");
        }
        if (policy == Policy.STRICT && !bestEffort.isEmpty()) {
            throw new IllegalArgumentException(
                    "--strict makes every feature required, --best-effort "
                            + String.join(",", bestEffort)
                            + " says otherwise; leave one of them out");
        }
        Map<String, Necessity> wishes = new LinkedHashMap<>();
        for (String each : require) {
            wishes.put(known(each), Necessity.REQUIRED);
        }
        for (String each : bestEffort) {
            String name = known(each);
            if (name.equals(Feature.MEMORY) || name.equals(Feature.DEVICES)) {
                throw new IllegalArgumentException(
                        "--best-effort " + name + ": no guest runs without it; it stays required");
            }
            if (wishes.put(name, Necessity.BEST_EFFORT) == Necessity.REQUIRED) {
                throw new IllegalArgumentException(
                        name + " is both required and best effort; say it once");
            }
        }
        List<Feature> plan = new ArrayList<>();
        plan.add(new Feature(Feature.MEMORY, Necessity.REQUIRED));
        plan.add(new Feature(Feature.DEVICES, Necessity.REQUIRED));
        Necessity usual = policy == Policy.URGENT ? Necessity.BEST_EFFORT : Necessity.REQUIRED;
        if (parts.contains(Part.DISKS) || wishes.containsKey(Feature.DISK)) {
            plan.add(new Feature(Feature.DISK, wishes.getOrDefault(Feature.DISK, usual)));
        }
        if (wishes.containsKey(Feature.DISK_CACHE)) {
            plan.add(new Feature(Feature.DISK_CACHE, wishes.get(Feature.DISK_CACHE)));
        }
        if (parts.contains(Part.NICS) || wishes.containsKey(Feature.NETWORK)) {
            plan.add(new Feature(Feature.NETWORK, wishes.getOrDefault(Feature.NETWORK, usual)));
        }
        wishes.forEach(
                (name, necessity) -> {
                    if (name.startsWith(Feature.HOOK_PREFIX)) {
                        plan.add(new Feature(name, necessity));
                    }
                });
        return new FeaturePlan(plan);
    }

    private static String known(String name) {
        String full = name.equals("net") ? Feature.NETWORK : name;
        return new Feature(full, Necessity.REQUIRED).name();
    }
}
