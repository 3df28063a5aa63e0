package holdfast.engine.port;

import java.lang.foreign.MemorySegment;

/**
 * A domain on the secondary that waits, started and stopped, with the replica as its main memory.
 * Nothing it does before {@link #takeOver} is visible outside.
 */
public interface Standby extends AutoCloseable {
    /**
     * The replica. Written by the secondary alone, and only with whole committed checkpoints once
     * there is one.
     */
    GuestMemory replica();

    /**
     * Loads a device state without letting the guest run, to prove that {@link #takeOver} would.
     * The replica must hold the memory of the same epoch, and is not changed. May be repeated.
     *
     * @throws holdfast.engine.HypervisorException if the state cannot be loaded
     */
    void rehearse(MemorySegment base, MemorySegment sections);

    /**
     * Goes on as the domain: loads the device state, lets the guest run, announces its addresses
     * and feeds it the frames that came in since the last commit.
     *
     * @param base newest committed bytes of {@link DeviceState.DeviceBase}
     * @param sections device state of the committed epoch
     * @param inbound frames toward the guest since that epoch, in their link framing; may be empty
     * @throws holdfast.engine.HypervisorException if the guest does not run, and will not: once it
     *     runs, nothing that fails is a reason to throw
     */
    Domain takeOver(MemorySegment base, MemorySegment sections, InboundFrames inbound);

    /** Discards the waiting domain and the replica. No effect after {@link #takeOver}. */
    @Override
    void close();
}
