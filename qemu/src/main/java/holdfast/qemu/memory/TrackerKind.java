package holdfast.qemu.memory;

import java.util.Optional;

/** The ways to find dirty pages, best first. */
public enum TrackerKind {
    /** The kernel notes the first write to each protected page of QEMU. */
    WRITE_PROTECT("write-protect"),
    /** The kernel's soft-dirty bit in QEMU's page tables. */
    SOFT_DIRTY("soft-dirty"),
    /** Comparing all of memory with a copy of it. */
    COMPARE("compare");

    private final String label;

    TrackerKind(String label) {
        this.label = label;
    }

    /** The name for configuration, logs and status. */
    public String label() {
        return label;
    }

    /** The kind of that name, if there is one. */
    public static Optional<TrackerKind> named(String label) {
        for (TrackerKind kind : values()) {
            if (kind.label.equals(label)) {
                return Optional.of(kind);
            }
        }
        return Optional.empty();
    }
}
