package holdfast.qemu.net;

/**
 * One NIC of a domain as the net filters see it.
 *
 * @param index position among the domain's NICs, from 0, equal on both nodes
 * @param netdev id of its back end in QEMU
 * @param vnetHeaderBytes length of the virtio-net header in front of each of its frames: 12 on a
 *     tap, 0 on user networking
 */
public record Nic(int index, String netdev, int vnetHeaderBytes) {
    /** The longest virtio-net header QEMU's back ends use (with hash report). */
    public static final int VNET_HEADER_BYTES_MAX = 20;

    public Nic {
        if (index < 0) {
            throw new IllegalArgumentException("nic index " + index);
        }
        if (netdev.isEmpty()) {
            throw new IllegalArgumentException("nic " + index + " has an empty netdev id");
        }
        if (vnetHeaderBytes < 0 || vnetHeaderBytes > VNET_HEADER_BYTES_MAX) {
            throw new IllegalArgumentException(
                    "virtio-net header of " + vnetHeaderBytes + " bytes on " + netdev);
        }
    }
}
