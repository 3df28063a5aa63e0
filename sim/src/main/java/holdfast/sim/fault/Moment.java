package holdfast.sim.fault;

/** When a fault strikes. */
public sealed interface Moment {
    /** What is counted. */
    enum Mark {
        /** The primary handed a control message to its link. */
        PRIMARY_SENT,
        /** The primary has dealt with a control message. */
        PRIMARY_RECEIVED,
        /** The secondary handed a control message to its link. */
        SECONDARY_SENT,
        /** The secondary has dealt with a control message. */
        SECONDARY_RECEIVED,
        /** A chunk of bulk left the primary. */
        BULK_SENT,
        /** A chunk of bulk was given to the secondary's reader. */
        BULK_RECEIVED,
        /** A write to the disk, or the end of an epoch of them, left the primary. */
        DISK_SENT,
        /** It reached the secondary. */
        DISK_RECEIVED
    }

    /** Some time after protection was asked for. */
    record After(long nanos) implements Moment {}

    /** At the {@code index}-th such mark, from 0. */
    record At(Mark mark, long index) implements Moment {}
}
