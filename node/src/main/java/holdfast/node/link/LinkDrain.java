package holdfast.node.link;

import java.util.Arrays;
import java.util.concurrent.TimeUnit;

/**
 * What each byte of a checkpoint costs the link, found by the secondary's answers. How long a write
 * takes does not tell: a checkpoint that fits the socket's buffer is written at once, and travels
 * for as long as the link needs, while the output waits for its commit. Any thread.
 */
final class LinkDrain {
    /**
     * What is left on its way after a checkpoint was written, beyond a round trip: up to here
     * compressing could not save what would be noticed, and it may be the other node's work.
     */
    static final long UNNOTICED_NANOS = TimeUnit.MILLISECONDS.toNanos(2);

    /** The smallest of so many counts: one that waited for a core says nothing of the link. */
    static final int NEWEST = 4;

    private static final int ROUND_TRIPS = 16;

    private final long[] roundTrips = new long[ROUND_TRIPS];
    private final double[] newest = new double[NEWEST];
    private int roundTrip;
    private int next;
    private long askedNanos;
    private long wroteNanos;
    private long bytes;

    LinkDrain() {
        Arrays.fill(roundTrips, Long.MAX_VALUE);
    }

    /**
     * A question was sent that the other node answers at once, where nothing else is on its way.
     */
    synchronized void asked(long nowNanos) {
        askedNanos = nowNanos;
    }

    synchronized void answered(long nowNanos) {
        roundTrips[roundTrip++ % ROUND_TRIPS] = nowNanos - askedNanos;
    }

    /** A checkpoint of so many bytes, as they travel, is written. */
    synchronized void wrote(long checkpointBytes, long nowNanos) {
        bytes = Math.max(1, checkpointBytes);
        wroteNanos = nowNanos;
    }

    /**
     * The other node has all of it. Returns what a byte costs, in nanoseconds; 0: hardly anything.
     */
    synchronized double committed(long nowNanos) {
        long fastest = Arrays.stream(roundTrips).min().getAsLong();
        if (fastest == Long.MAX_VALUE) {
            return 0;
        }
        long left = nowNanos - wroteNanos - fastest;
        double before = nanosPerByte();
        newest[next++ % NEWEST] =
                left > UNNOTICED_NANOS
                        ? (double) left / bytes
                        // Few bytes are quick on any link: they only say what it takes at most.
                        : Math.min(before, (double) UNNOTICED_NANOS / bytes);
        return nanosPerByte();
    }

    private double nanosPerByte() {
        return Arrays.stream(newest).min().getAsDouble();
    }
}
