package holdfast.qemu.memory;

/**
 * Whether the guest's virtual processors run. A tracker asks at the beginning of a collect; only
 * the answer {@link State#SUSPENDED} lets it take a shorter way.
 */
@FunctionalInterface
public interface GuestActivity {
    /** What a tracker may rely on. */
    enum State {
        /** The guest may write at any moment. */
        RUNNING,
        /**
         * The guest writes nothing from now until the caller of this collect has copied the pages
         * that it reports.
         */
        SUSPENDED
    }

    State now();
}
