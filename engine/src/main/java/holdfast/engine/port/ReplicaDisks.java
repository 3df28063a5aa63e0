package holdfast.engine.port;

import java.nio.ByteBuffer;

/**
 * The secondary's images of a domain's disks. What the primary's guest writes arrives here at once
 * and waits: an image changes only by whole committed epochs, so that it always shows the disk as
 * it was at the end of one.
 *
 * <p>Until the first {@link #boundary} everything is the first synchronisation and goes straight
 * into the images, which are worth nothing until epoch 0 is committed.
 *
 * <p>{@link #write}, {@link #writeZeroes} and {@link #boundary} are called by the thread that reads
 * the link, in the order of the guest's writes; all else by the session's thread. Both sides may
 * call at the same time. At most two epochs are open at once: the one whose boundary was seen and
 * that is not committed yet, and the one that the guest runs meanwhile.
 *
 * <p>Every failure is a {@link holdfast.engine.ReplicationException} whose text names the image and
 * says what to do.
 */
public interface ReplicaDisks extends DiskWrites, AutoCloseable {
    /**
     * Makes the writes of {@code epoch}, whose boundary was seen, durable: after the return they
     * are in the image, or will be after a crash of this process or this host. Where it fails the
     * epoch is not committed and the images stay at the one before.
     */
    void commit(long epoch);

    /** Brings the images to {@code epoch}, which is committed. May leave work for later. */
    void apply(long epoch);

    /** Forgets whatever was given and not committed. Nothing more is taken in after this. */
    void discardPartial();

    /**
     * Ends all work: the images hold the last committed epoch, on stable storage, and nobody of
     * this process writes to them any more. Before a take-over.
     */
    void settle();

    /**
     * Frees everything; the images stay as they are, at the last committed epoch where there is
     * one. A call that blocks in {@link #write} returns with a failure.
     */
    @Override
    void close();

    /** For a domain without disks. */
    static ReplicaDisks none() {
        return new ReplicaDisks() {
            @Override
            public void write(int disk, long offsetBytes, ByteBuffer data) {
                throw new IllegalArgumentException("disk " + disk + " of a domain without disks");
            }

            @Override
            public void writeZeroes(int disk, long offsetBytes, long lengthBytes) {
                throw new IllegalArgumentException("disk " + disk + " of a domain without disks");
            }

            @Override
            public void boundary(long epoch) {}

            @Override
            public void commit(long epoch) {}

            @Override
            public void apply(long epoch) {}

            @Override
            public void discardPartial() {}

            @Override
            public void settle() {}

            @Override
            public void close() {}
        };
    }
}
