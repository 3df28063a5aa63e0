package holdfast.node.link;

import holdfast.engine.migrate.Feature;

import java.util.List;
import java.util.Map;

/**
 * Begin: what a source has and wants.
 *
 * @param version of all cookies of a migration
 * @param qemu the source's QEMU version
 * @param description the domain's, as JSON
 * @param cpuFeatures what the guest's CPU has, by CPUID register
 * @param features in the order they are brought up
 * @param probes files that the source made beside the disks' images: who sees them has the same
 *     storage
 */
public record BeginCookie(
        int version,
        String qemu,
        String description,
        Map<String, Long> cpuFeatures,
        List<Feature> features,
        List<String> probes) {
    public BeginCookie {
        cpuFeatures = cpuFeatures == null ? Map.of() : Map.copyOf(cpuFeatures);
        features = features == null ? List.of() : List.copyOf(features);
        probes = probes == null ? List.of() : List.copyOf(probes);
    }
}
