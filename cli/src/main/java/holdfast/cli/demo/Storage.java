package holdfast.cli.demo;

/** Where the demo's Redis keeps what it is told. */
public enum Storage {
    /** On ext4 on a virtio disk, forced there before each answer. */
    DISK,
    /** In memory alone. */
    MEMORY
}
