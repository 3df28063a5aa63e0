package holdfast.node;

import holdfast.qemu.domain.QemuStandby;
import holdfast.qemu.launch.DomainSpec;

import java.time.Duration;

/** Starts a QEMU that waits with an empty main memory. */
final class StandbyStart {
    static final Duration LIMIT = Duration.ofSeconds(20);

    private StandbyStart() {}

    /**
     * @param spec with a resolved accelerator; its taps exist
     */
    static QemuStandby start(DomainSpec spec, DomainPlace place) {
        return QemuStandby.start(
                spec, place.files(), spec.accelerator(), place.deviceState(), LIMIT);
    }
}
