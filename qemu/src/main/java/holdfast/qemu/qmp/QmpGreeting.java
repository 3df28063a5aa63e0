package holdfast.qemu.qmp;

import java.util.Set;

/**
 * What QEMU says before the first command.
 *
 * @param version of the QEMU binary
 * @param packaging the distributor's version text, often empty
 * @param capabilities what the monitor offers, such as {@code oob}
 */
public record QmpGreeting(QemuVersion version, String packaging, Set<String> capabilities) {
    /** The monitor capability that lets single commands overtake a blocked one. */
    static final String OUT_OF_BAND = "oob";

    public QmpGreeting {
        capabilities = Set.copyOf(capabilities);
    }
}
