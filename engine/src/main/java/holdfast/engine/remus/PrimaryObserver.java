package holdfast.engine.remus;

import holdfast.engine.memory.Encoded;

/**
 * Sees what a primary's session does: for status, metrics and logs. Called on the session's thread
 * unless said otherwise; must not block.
 */
public interface PrimaryObserver {
    /** The one place where a state is replaced. */
    void transition(PrimaryState from, PrimaryEvent event, PrimaryState to);

    /** A checkpoint was frozen and the guest runs again. */
    void paused(Pause pause);

    /** What of the checkpoint travelled. Called on the sender's thread. */
    void encoded(Encoded encoded);

    /** {@code epoch} is safe and its output leaves; {@code nanos} after its guest was suspended. */
    void committed(long epoch, long nanos);

    /** Protection is over. Called after everything of the session was given back. */
    void finished(PrimaryOutcome outcome);

    /** A step of the ending failed; the rest was done all the same. */
    void trouble(String what, RuntimeException failure);

    /**
     * How long a checkpoint stopped the guest, by stage, in nanoseconds.
     *
     * @param epoch the epoch that ended
     * @param dirtyPages pages copied aside
     * @param suspendNanos until the virtual CPUs stood
     * @param stateNanos to save the device state
     * @param outputNanos to close the epoch of output
     * @param trackNanos to collect the dirty pages
     * @param copyNanos to copy them aside and to close the epoch of disk writes
     * @param resumeNanos until the virtual CPUs ran again
     */
    record Pause(
            long epoch,
            long dirtyPages,
            long suspendNanos,
            long stateNanos,
            long outputNanos,
            long trackNanos,
            long copyNanos,
            long resumeNanos) {
        public long totalNanos() {
            return suspendNanos + stateNanos + outputNanos + trackNanos + copyNanos + resumeNanos;
        }
    }
}
