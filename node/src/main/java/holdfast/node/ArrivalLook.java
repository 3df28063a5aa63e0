package holdfast.node;

import holdfast.engine.migrate.Feature;
import holdfast.engine.migrate.FeaturePlan;
import holdfast.node.api.ApiException;
import holdfast.node.api.DomainStatus;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.Taps;

import java.util.List;
import java.util.Optional;

/**
 * What can be seen of whether a domain could come here. A replica of it that is here does not stand
 * in its way: it is discarded before the domain comes.
 */
final class ArrivalLook {
    private final Registry registry;
    private final DomainSpec spec;

    ArrivalLook(Registry registry, DomainSpec spec) {
        this.registry = registry;
        this.spec = spec;
    }

    /**
     * Looks where nothing is to begin yet; what a beginning would find out is found out, as far as
     * no QEMU is needed.
     *
     * @throws ApiException if it could not come
     */
    void requireAll(List<Feature> features, ArrivingFeatures.HookPlace hooks) {
        HostedDomain present = registry.byName().get(spec.name());
        if (present != null && present.view().isLive() && replica().isEmpty()) {
            throw ApiException.exists(spec.name());
        }
        registry.requireRoom(spec, replica().map(DomainSpec::memoryBytes).orElse(0L));
        GuestFiles.requireBoot(spec);
        if (!new FeaturePlan(features).isBestEffort(Feature.NETWORK)) {
            requireBridges();
        }
        for (Feature feature : features) {
            if (feature.necessity() == Feature.Necessity.REQUIRED
                    && feature.name().startsWith(Feature.HOOK_PREFIX)) {
                requireHook(feature, hooks);
            }
        }
    }

    private Optional<DomainSpec> replica() {
        return Optional.ofNullable(registry.byName().get(spec.name()))
                .map(HostedDomain::view)
                .filter(view -> view.role() == DomainStatus.Role.SECONDARY && view.isLive())
                .map(HostedDomain.View::spec)
                .filter(replicated -> replicated.uuid().equals(spec.uuid()));
    }

    private void requireHook(Feature feature, ArrivingFeatures.HookPlace hooks) {
        String missing =
                hooks.named(feature.name().substring(Feature.HOOK_PREFIX.length())).missing();
        if (!missing.isEmpty()) {
            throw ApiException.badRequest(
                    "required feature "
                            + feature.name()
                            + " on node "
                            + registry.self().name()
                            + ": "
                            + missing);
        }
    }

    private void requireBridges() {
        for (DomainSpec.Nic nic : spec.nics()) {
            if (nic instanceof DomainSpec.TapNic(String _, String tap, Optional<String> bridge)
                    && bridge.isPresent()
                    && !Taps.exists(tap)
                    && !Taps.exists(bridge.get())) {
                throw ApiException.badRequest(
                        "bridge "
                                + bridge.get()
                                + ", which "
                                + tap
                                + " is to be on, does not exist on node "
                                + registry.self().name()
                                + "; make it there");
            }
        }
    }
}
