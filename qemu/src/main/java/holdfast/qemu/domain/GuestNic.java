package holdfast.qemu.domain;

import holdfast.qemu.net.Nic;

/**
 * A NIC of a running domain.
 *
 * @param index from 0, in QEMU's order
 * @param netdevId the host's end, which filters attach to
 * @param type of the host's end: {@code tap}, {@code user}, ...
 * @param mac the guest's address, lower case with colons
 * @param vnetHeader whether frames at a filter begin with a virtio-net header
 */
public record GuestNic(int index, String netdevId, String type, String mac, VnetHeader vnetHeader) {
    /** Whether there is a virtio-net header in front of each frame. */
    public enum VnetHeader {
        /** A filter must be made with {@code vnet_hdr_support}. */
        PRESENT,
        ABSENT
    }

    /** virtio 1.0's header with its buffer count, which QEMU's taps use. */
    private static final int VNET_HEADER_BYTES = 12;

    /** What net filters need to know of it. */
    public Nic filterEnd() {
        return new Nic(index, netdevId, vnetHeader == VnetHeader.PRESENT ? VNET_HEADER_BYTES : 0);
    }
}
