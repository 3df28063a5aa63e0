package holdfast.engine.migrate;

/**
 * When the rounds have done enough, and when the guest must be slowed down for that.
 *
 * @param downtimeNanos what is left shall travel within this time
 * @param roundsMax at the latest after so many rounds the guest is suspended
 * @param convergence whether the guest may be slowed down
 */
public record PrecopyPolicy(long downtimeNanos, int roundsMax, Convergence convergence) {
    /** What to do about a guest that writes faster than the link. */
    public enum Convergence {
        /** Nothing: after the last round what is left travels while it is suspended. */
        AS_IS,
        /** Let it run only part of the time. */
        THROTTLED
    }

    /** Rounds that brought nothing before the guest is slowed down. */
    private static final int PATIENCE_ROUNDS = 2;

    /**
     * Rounds that brought nothing after which no more are tried, where the guest may not be slowed
     * down: it has kept up with the link for that long, and will as long as it does what it does.
     */
    static final int HOPELESS_ROUNDS = 4;

    /**
     * A pause of so many times the wanted one is taken at once after {@link #HOPELESS_ROUNDS}; a
     * longer one only after all rounds, for the guest may yet calm down.
     */
    static final int HOPELESS_TIMES = 10;

    private static final int THROTTLE_FIRST_PERCENT = 20;
    private static final int THROTTLE_STEP_PERCENT = 15;

    /** The guest always keeps this hundredth. */
    static final int THROTTLE_PERCENT_MAX = 95;

    public PrecopyPolicy {
        if (downtimeNanos < 1 || roundsMax < 1) {
            throw new IllegalArgumentException(
                    "downtimeNanos " + downtimeNanos + ", roundsMax " + roundsMax);
        }
    }

    /**
     * A round that was sent.
     *
     * @param round from 0
     * @param sentPages pages it looked at
     * @param sentBytes bytes of it on the link
     * @param nanos from its begin until the link had all of it
     * @param dirtyPages pages the guest wrote meanwhile
     */
    public record Measured(int round, long sentPages, long sentBytes, long nanos, long dirtyPages) {
        /** Bytes a second on the link; 0 where nothing was sent. */
        public long bytesPerSecond() {
            return nanos <= 0 ? 0 : (long) (sentBytes * 1e9 / nanos);
        }

        /** Pages a second that the guest wrote. */
        public long dirtyPagesPerSecond() {
            return nanos <= 0 ? 0 : (long) (dirtyPages * 1e9 / nanos);
        }

        /**
         * How long the written pages would travel, as the pages of this round did; zero pages and
         * differences make that quicker than their size would.
         */
        public long restNanos() {
            return sentPages <= 0 ? 0 : (long) ((double) nanos / sentPages * dirtyPages);
        }
    }

    /**
     * How the rounds have gone so far.
     *
     * @param leastPages the fewest that were left after a round; a round brings something only if
     *     it leaves fewer than that by a tenth
     */
    public record Course(int roundsWithoutGain, int throttlePercent, long leastPages) {
        public static final Course BEGIN = new Course(0, 0, Long.MAX_VALUE);

        /** Whether the guest is slower than its pages, by this round. */
        private boolean gains(Measured measured) {
            return measured.dirtyPages() < tenthLess(measured.sentPages())
                    && measured.dirtyPages() < tenthLess(leastPages);
        }

        private static long tenthLess(long pages) {
            return pages - pages / 10;
        }

        private Course without(int rounds, int percent, Measured measured) {
            return new Course(rounds, percent, Math.min(leastPages, measured.dirtyPages()));
        }
    }

    /** What comes next. */
    public sealed interface Decision {
        /** Another round; the guest runs so many percent of the time less. */
        record Again(Course course) implements Decision {}

        /** Suspend the guest. */
        record Enough(String reason) implements Decision {}
    }

    /** Decides on what a round showed. A pure function. */
    public Decision decide(Course before, Measured measured) {
        if (measured.restNanos() <= downtimeNanos) {
            return new Decision.Enough(
                    measured.dirtyPages() + " pages fit " + downtimeNanos / 1_000_000 + " ms");
        }
        if (measured.round() + 1 >= roundsMax) {
            return new Decision.Enough("after " + roundsMax + " rounds");
        }
        if (before.gains(measured)) {
            return new Decision.Again(before.without(0, before.throttlePercent(), measured));
        }
        int without = before.roundsWithoutGain() + 1;
        return switch (convergence) {
            case AS_IS ->
                    without >= HOPELESS_ROUNDS
                                    && measured.restNanos() / HOPELESS_TIMES <= downtimeNanos
                            ? new Decision.Enough(
                                    measured.dirtyPages()
                                            + " pages are left however often they are sent")
                            : new Decision.Again(
                                    before.without(without, before.throttlePercent(), measured));
            case THROTTLED ->
                    new Decision.Again(
                            without < PATIENCE_ROUNDS
                                    ? before.without(without, before.throttlePercent(), measured)
                                    : before.without(0, slower(before), measured));
        };
    }

    private static int slower(Course before) {
        int more =
                before.throttlePercent() == 0
                        ? THROTTLE_FIRST_PERCENT
                        : before.throttlePercent() + THROTTLE_STEP_PERCENT;
        return Math.min(more, THROTTLE_PERCENT_MAX);
    }
}
