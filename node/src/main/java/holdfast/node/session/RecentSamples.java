package holdfast.node.session;

import java.util.Arrays;

/** The last samples of one quantity. Written by one thread, read by any. */
final class RecentSamples {
    private final long[] ring;
    private long added;

    /**
     * @param kept samples percentiles look back over
     */
    RecentSamples(int kept) {
        ring = new long[kept];
    }

    synchronized void add(long sample) {
        ring[(int) (added++ % ring.length)] = sample;
    }

    /** A sorted copy, to be asked for percentiles. */
    Sorted sorted() {
        long[] copy;
        synchronized (this) {
            copy = Arrays.copyOf(ring, (int) Math.min(added, ring.length));
        }
        Arrays.sort(copy);
        return new Sorted(copy);
    }

    /** Samples in ascending order. */
    record Sorted(long[] samples) {
        /**
         * The smallest sample that at least {@code percent} of 100 are not larger than; 0 without
         * samples.
         */
        long percentile(double percent) {
            if (samples.length == 0) {
                return 0;
            }
            int rank = (int) Math.ceil(percent / 100 * samples.length);
            return samples[Math.clamp(rank - 1, 0, samples.length - 1)];
        }

        long max() {
            return samples.length == 0 ? 0 : samples[samples.length - 1];
        }
    }
}
