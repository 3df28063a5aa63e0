package holdfast.node;

import java.util.concurrent.TimeUnit;

/** When what travels now will have travelled, at the rate by now. */
final class MigrationEnd {
    /** Nothing travels, or too little has to tell. */
    static final long UNKNOWN = -1;

    /** A rate of less than this is none. */
    private static final long LEAST_NANOS = TimeUnit.MILLISECONDS.toNanos(400);

    private MigrationEnd() {}

    static long millis(long doneBytes, long nanos, long leftBytes) {
        if (doneBytes <= 0 || nanos < LEAST_NANOS) {
            return UNKNOWN;
        }
        double seconds = (double) Math.max(0, leftBytes) / doneBytes * (nanos / 1e9);
        return Math.round(seconds * 1000);
    }
}
