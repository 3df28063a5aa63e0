package holdfast.sim.migrate;

/** What goes wrong in a simulated migration, once. */
public enum MigrationFault {
    /** Nothing. */
    NONE,
    /** The source's daemon is killed; its hypervisor stays as it is. */
    SOURCE_DAEMON_DIES,
    /** The source's hypervisor is killed. */
    SOURCE_GUEST_DIES,
    /** The source's hypervisor is killed, and the link breaks at the same moment. */
    SOURCE_GUEST_DIES_LINK_BREAKS,
    /** The source's host loses power. */
    SOURCE_HOST_DIES,
    /** The destination's daemon is killed; its hypervisor stays as it is. */
    DESTINATION_DAEMON_DIES,
    /** The destination's hypervisor is killed. */
    DESTINATION_GUEST_DIES,
    /** The destination's host loses power. */
    DESTINATION_HOST_DIES,
    /** Nothing passes any more on the connections that are open; both sides notice. */
    LINK_BREAKS,
    /** As {@link #LINK_BREAKS}, and no new connection is possible until an operator looks. */
    NETWORK_BREAKS,
    /** The operator cancels. */
    CANCELLED,
    /** The hypervisor on the destination refuses to run the guest, which certainly never ran. */
    RUN_REFUSED,
    /** As {@link #RUN_REFUSED}, and the destination's daemon is killed, at some moment or other. */
    RUN_REFUSED_AND_DAEMON_DIES,
    /** The hypervisor dies while it is told to run the guest: nobody knows whether it did. */
    RUN_UNKNOWN,
    /** The source's guest cannot be resumed at the first attempt: its disk is still locked. */
    RESUME_REFUSED_ONCE,
    /** The device state cannot be saved. */
    SAVE_FAILS,
    /** Saving the device state writes to the guest's memory, after its last pages have left. */
    SAVE_WRITES,
    /** A byte arrives damaged. */
    BYTES_DAMAGED,
    /** The source's mirror of a disk ends by itself: writes pass it by. */
    MIRROR_BREAKS,
    /** The hypervisor does not take the mirror out at the first attempt. */
    DETACH_REFUSED_ONCE,
    /** The destination has no room for what the guest's disk holds. */
    DESTINATION_DISK_FULL,
    /** The connection that carries disk writes breaks, and no other. */
    DISK_CONNECTION_BREAKS
}
