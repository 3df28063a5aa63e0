package holdfast.qemu.launch;

/** What executes the guest's instructions. */
public enum Accelerator {
    /** The best one that works here, see {@link Accelerators}. Never reaches a command line. */
    AUTO,
    /** The processor, through {@code /dev/kvm}. */
    KVM,
    /** QEMU's own translator: everywhere, and slower. */
    TCG;

    String qemuName() {
        return switch (this) {
            case AUTO -> throw new IllegalStateException("resolve AUTO with Accelerators first");
            case KVM -> "kvm";
            case TCG -> "tcg";
        };
    }
}
