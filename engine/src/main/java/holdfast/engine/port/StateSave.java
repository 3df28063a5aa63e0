package holdfast.engine.port;

import java.lang.foreign.MemorySegment;
import java.util.Optional;

/**
 * A suspended guest's device state while it is being saved: what is there can be used before all
 * is. Used by the thread that drives the domain.
 */
public interface StateSave {
    /** RAM blocks outside main memory; known from the start. */
    DeviceState.DeviceBase base();

    /**
     * Waits for more of the device sections.
     *
     * @return the next of their bytes, at least one, valid until the next call; empty once all were
     *     returned and the disks' images are let go of
     * @throws holdfast.engine.HypervisorException if the state cannot be saved: what was returned
     *     is of no use then
     */
    Optional<MemorySegment> next();

    /** One that is complete. */
    static StateSave complete(DeviceState state) {
        return new StateSave() {
            private Optional<MemorySegment> left = Optional.of(state.sections());

            @Override
            public DeviceState.DeviceBase base() {
                return state.base();
            }

            @Override
            public Optional<MemorySegment> next() {
                Optional<MemorySegment> all = left;
                left = Optional.empty();
                return all;
            }
        };
    }
}
