package holdfast.engine.port;

import java.lang.foreign.MemorySegment;

/**
 * What a hypervisor needs besides main memory to go on with a guest.
 *
 * @param base the part that rarely changes
 * @param sections the state of all devices at one instant, opaque; borrowed from whoever returned
 *     it
 */
public record DeviceState(DeviceBase base, MemorySegment sections) {
    /**
     * RAM blocks outside main memory (video memory, firmware) and the framing that goes with them,
     * opaque.
     *
     * @param number grows by at least one whenever the bytes change; equal numbers of one domain
     *     mean equal bytes
     * @param bytes borrowed, valid as long as this number is the newest
     */
    public record DeviceBase(long number, MemorySegment bytes) {}
}
