package holdfast.sim.link;

import holdfast.sim.time.VirtualTime;

import java.util.SplittableRandom;

/** The disk connection: what was sent arrives in order, one after another, until it breaks. */
public final class DiskPath {
    /** What travels on it. */
    public sealed interface Item {
        /** The guest wrote {@code value} to {@code sector}. */
        record Write(long sector, long value) implements Item {}

        /** Every write of {@code epoch} was sent; {@code writes} of them. */
        record Boundary(long epoch, long writes) implements Item {}
    }

    /** Learns of traffic and of trouble. */
    public interface Listener {
        /** An item left. */
        void sent(Item item);

        /** An item reached the other side. */
        void received(Item item);

        /** The sender noticed that its connection is broken. */
        void senderBroken(String reason);

        /** The receiver noticed that the connection is broken. */
        void receiverBroken(String reason);
    }

    private final VirtualTime time;
    private final SplittableRandom random;
    private final LinkShape shape;
    private final Listener listener;
    private long newestArrivalNanos;
    private long stalledUntilNanos;
    private long lostFromNanos = Long.MAX_VALUE;
    private long writes;
    private boolean open = true;
    private boolean discarding;

    public DiskPath(VirtualTime time, SplittableRandom random, LinkShape shape, Listener listener) {
        this.time = time;
        this.random = random;
        this.shape = shape;
        this.listener = listener;
    }

    /** Forgotten once the sender discards. */
    public void write(long sector, long value) {
        if (!discarding) {
            writes++;
            send(new Item.Write(sector, value));
        }
    }

    public void boundary(long epoch) {
        if (!discarding) {
            send(new Item.Boundary(epoch, writes));
            writes = 0;
        }
    }

    private void send(Item item) {
        newestArrivalNanos =
                Math.max(
                        newestArrivalNanos,
                        Math.max(time.nanos(), stalledUntilNanos)
                                + shape.delayNanos()
                                + random.nextLong(shape.jitterNanos() + 1));
        time.at(newestArrivalNanos, () -> arrive(item));
        listener.sent(item);
    }

    private void arrive(Item item) {
        if (open && time.nanos() < lostFromNanos) {
            listener.received(item);
        }
    }

    /** From here on nothing more leaves. */
    public void discard() {
        discarding = true;
    }

    /** Breaks the connection; what is under way is lost, at once or after some of it arrived. */
    public void cut(String reason) {
        if (!open) {
            return;
        }
        long from = time.nanos() + random.nextLong(shape.delayNanos() + 1);
        lostFromNanos = Math.min(lostFromNanos, from);
        boolean noticed = !discarding;
        discarding = true;
        if (noticed) {
            time.after(shape.delayNanos(), () -> listener.senderBroken(reason));
        }
        time.at(from + random.nextLong(50_000), () -> listener.receiverBroken(reason));
    }

    /** What leaves from now on takes so much longer, and all that follows it. */
    public void stall(long nanos) {
        stalledUntilNanos = Math.max(stalledUntilNanos, time.nanos() + nanos);
    }

    /** The sender's node is gone; what would arrive from {@code lostFromNanos} on never left. */
    public void senderCrashed(long lostFromNanos) {
        this.lostFromNanos = Math.min(this.lostFromNanos, lostFromNanos);
        discarding = true;
    }

    /** The receiver's end is closed. */
    public void closeReceiver() {
        open = false;
    }

    /** Whether the sender still wants what it sends to arrive. */
    public boolean inUse() {
        return !discarding;
    }
}
