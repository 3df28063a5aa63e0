package holdfast.engine.remus;

import holdfast.engine.memory.CheckpointDigest;

/**
 * Where a secondary's session stands.
 *
 * <pre>
 * Preparing ──StandbyReady──► Awaiting(0) ─REQUEST─► Receiving(0) ──all announced, all arrived, digests equal──► Committing(0)
 *                                 ▲                                                                                │ DisksCommitted
 *                                 │                                                                                │ = commit, VMSTATE_RECEIVED
 *                                 └──────────────────────── VMSTATE_LOADED ◄──────────────────────────────── Applying(0)
 * committed ──operator──► Claiming ──PrimaryStoodDown──► TakingOver
 * any of them ──peer lost──► Deciding ──GO_ON──► TakingOver ──► Finished(Survived)
 * </pre>
 */
public sealed interface SecondaryState {
    /** The epoch a survivor would resume from, or -1 while there is none. */
    long committed();

    /** What the primary said about the running checkpoint. */
    sealed interface Announcement {
        /** Nothing yet. */
        record Silent() implements Announcement {}

        /** VMSTATE_SEND: the primary is suspended and the checkpoint follows. */
        record Begun() implements Announcement {}

        /** VMSTATE_SIZE: the length of its device state. */
        record Sized(long stateBytes) implements Announcement {}

        /** The digest: everything was sent. */
        record Complete(long stateBytes, CheckpointDigest digest) implements Announcement {}
    }

    /**
     * What the bulk stream brought of the running checkpoint. The two connections are not ordered
     * against each other.
     */
    sealed interface Arrival {
        /** It is still coming in. */
        record Travelling() implements Arrival {}

        /** Its end was read. */
        record Whole(long stateBytes, CheckpointDigest digest) implements Arrival {}
    }

    /** How far the disk writes of the running checkpoint are. */
    enum DiskWrites {
        /** Their end was not read yet. */
        TRAVELLING,
        /** All of them were given to the replica's disks; also where there are no disks. */
        WHOLE
    }

    /** The standby is being started. */
    record Preparing() implements SecondaryState {
        @Override
        public long committed() {
            return -1;
        }
    }

    /**
     * The replica is at {@code epoch - 1} and its buffer is free; before epoch 0 the live stage
     * comes in.
     */
    record Awaiting(long epoch) implements SecondaryState {
        @Override
        public long committed() {
            return epoch - 1;
        }
    }

    /** The checkpoint of {@code epoch} comes in. */
    record Receiving(long epoch, Announcement announcement, Arrival arrival, DiskWrites writes)
            implements SecondaryState {
        @Override
        public long committed() {
            return epoch - 1;
        }
    }

    /**
     * All of {@code epoch} is here and is what was sent; its disk writes are being made durable.
     */
    record Committing(long epoch) implements SecondaryState {
        @Override
        public long committed() {
            return epoch - 1;
        }
    }

    /** {@code epoch} is committed and is being applied to the replica. */
    record Applying(long epoch) implements SecondaryState {
        @Override
        public long committed() {
            return epoch;
        }
    }

    /**
     * The first checkpoint is in the replica, and the standby proves that it can load the state
     * that came with it: a replica that nobody could go on from protects nothing.
     */
    record Rehearsing(long epoch) implements SecondaryState {
        @Override
        public long committed() {
            return epoch;
        }
    }

    /**
     * The primary is lost; the arbiter is asked. Whatever came of the next checkpoint is discarded.
     */
    record Deciding(long committed, String reason) implements SecondaryState {}

    /**
     * The operator moves the domain here while the primary is still there: it must have stopped
     * before the standby runs.
     */
    record Claiming(long committed, String reason) implements SecondaryState {}

    /** The generation is won: the standby becomes the domain. No way back from here. */
    record TakingOver(long committed, String reason) implements SecondaryState {}

    /** The session is over. */
    record Finished(long committed, SecondaryOutcome outcome) implements SecondaryState {}
}
