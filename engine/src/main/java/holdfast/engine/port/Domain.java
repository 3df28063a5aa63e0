package holdfast.engine.port;

import java.util.Optional;

/**
 * A virtual machine at a hypervisor, driven by the one thread that owns its session. Every call
 * returns or fails within the adapter's deadline; failures are {@link
 * holdfast.engine.HypervisorException}.
 */
public interface Domain {
    String name();

    /**
     * Stops the virtual CPUs: from the return until {@link #resume} no guest instruction runs,
     * guest memory is still and no frame or block request is in flight to us unseen. Idempotent.
     */
    void suspend();

    /** As {@link #suspend}, with {@link #beginHandOver} to follow. */
    default void suspendForHandOver() {
        suspend();
    }

    /**
     * Lets the virtual CPUs run. Idempotent.
     *
     * @throws holdfast.engine.GuestShutDownException if there is nothing to run any more because
     *     the guest ended itself: without this a shut-down that meets a checkpoint would look like
     *     a death, and the secondary would bring the guest back
     */
    void resume();

    /**
     * Why what was taken in the latest pause, from {@link #suspend} to {@link #resume} or to now,
     * is worth nothing: somebody else let the guest go on in it, so that it is of no one moment; or
     * plugged a device, so that no copy can load it, which may be noticed a second late. Does not
     * fail.
     */
    default Optional<String> disturbance() {
        return Optional.empty();
    }

    /**
     * Ends the domain's process at once, without asking the guest. After the return nothing of it
     * runs or speaks; a process that is gone already is no failure.
     */
    void destroy();

    /**
     * Saves the state of all devices and of the RAM blocks outside main memory. Only while
     * suspended.
     *
     * @return segments that are valid until the next call on this domain
     */
    DeviceState saveDeviceState();

    /**
     * Begins what {@link #saveDeviceState} does, and lets go of the disks' images at its end so
     * that another process can open them; {@link #resume} takes them again, or fails as long as
     * somebody else has them.
     */
    default StateSave beginHandOver() {
        return StateSave.complete(saveDeviceState());
    }
}
