package holdfast.engine.remus;

/**
 * Where a primary's session stands.
 *
 * <pre>
 * Starting ──READY──► Synchronising ──disks in sync──► Copying(0..n) ──small enough──► Requested(0) ─REPLY─► Granted(0) ─interval─► Capturing(0)
 *                                                         ▲                                            │ Captured
 *                                                         │                                            ▼
 *                                            LOADED ── Loading(e) ◄──RECEIVED (commit)── Sending(e, WRITTEN) ◄─ Sending(e, WRITING)
 *
 * any of them ──operator, own failure──► Dismissing ──Dismissed──► Finished
 * any of them ──peer lost──► Deciding ──verdict──► Finished
 * </pre>
 */
public sealed interface PrimaryState {
    /**
     * The guest's current epoch: the one the next or the running checkpoint closes; -1 before the
     * first.
     */
    long epoch();

    /** Whether the interval of the running epoch has passed. */
    enum Interval {
        /** The guest still has time before the next checkpoint is due. */
        RUNNING,
        /** The checkpoint is due as soon as the secondary grants it. */
        ELAPSED
    }

    /** How far the bytes of a checkpoint are. */
    enum Transit {
        /** The sender still writes them. */
        WRITING,
        /** All of them are handed to the transport and their digest is sent. */
        WRITTEN
    }

    /** The secondary prepares its standby; nothing was sent yet. */
    record Starting() implements PrimaryState {
        @Override
        public long epoch() {
            return -1;
        }
    }

    /**
     * The guest runs unprotected while what its disks hold is copied; nothing of its memory was
     * sent yet. How long that takes nobody can say: whoever copies knows whether it goes on.
     */
    record Synchronising() implements PrimaryState {
        @Override
        public long epoch() {
            return -1;
        }
    }

    /** Live stage: the guest runs unprotected while round {@code round} of its memory travels. */
    record Copying(int round, long pages) implements PrimaryState {
        @Override
        public long epoch() {
            return -1;
        }
    }

    /**
     * CHECKPOINT_REQUEST is sent; the guest runs epoch {@code epoch}. Staying here after the
     * interval is the back-pressure of a slow secondary.
     */
    record Requested(long epoch, Interval interval) implements PrimaryState {}

    /**
     * The secondary has room for a checkpoint; the guest runs until the interval has passed. {@code
     * failures}: captures of this epoch that failed.
     */
    record Granted(long epoch, int failures) implements PrimaryState {}

    /** The guest is suspended and its checkpoint is being taken. */
    record Capturing(long epoch, int failures) implements PrimaryState {}

    /** The guest runs epoch {@code epoch + 1} while the checkpoint of {@code epoch} travels. */
    record Sending(long epoch, Transit transit, Interval interval) implements PrimaryState {}

    /** {@code epoch} is committed and its output released; the secondary applies it. */
    record Loading(long epoch, Interval interval) implements PrimaryState {}

    /**
     * Protection ends in order: the secondary is told to discard the replica. Output stays held
     * until it has, for until then it could take over.
     */
    record Dismissing(long epoch, String reason) implements PrimaryState {}

    /** The secondary is lost; output stays held until the arbiter answers. */
    record Deciding(long epoch, String reason) implements PrimaryState {}

    /** The session is over. */
    record Finished(long epoch, PrimaryOutcome outcome) implements PrimaryState {}
}
