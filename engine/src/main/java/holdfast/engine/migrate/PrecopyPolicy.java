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

    /** How the rounds have gone so far. */
    public record Course(int roundsWithoutGain, int throttlePercent) {
        public static final Course BEGIN = new Course(0, 0);
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
        // Less than a tenth fewer pages than the round carried: the guest keeps up with the link.
        boolean gain = measured.dirtyPages() < measured.sentPages() - measured.sentPages() / 10;
        if (gain) {
            return new Decision.Again(new Course(0, before.throttlePercent()));
        }
        int without = before.roundsWithoutGain() + 1;
        if (convergence == Convergence.AS_IS || without < PATIENCE_ROUNDS) {
            return new Decision.Again(new Course(without, before.throttlePercent()));
        }
        int more =
                before.throttlePercent() == 0
                        ? THROTTLE_FIRST_PERCENT
                        : before.throttlePercent() + THROTTLE_STEP_PERCENT;
        return new Decision.Again(new Course(0, Math.min(more, THROTTLE_PERCENT_MAX)));
    }
}
