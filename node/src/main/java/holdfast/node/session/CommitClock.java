package holdfast.node.session;

import java.time.Instant;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** When checkpoints were committed. Written by one thread, read by any. */
final class CommitClock {
    private static final int KEPT = 16_384;
    private static final long RATE_NANOS = TimeUnit.SECONDS.toNanos(10);

    private final long[] times = new long[KEPT];
    private Optional<Instant> first = Optional.empty();
    private long count;

    synchronized void committed() {
        times[(int) (count++ % KEPT)] = System.nanoTime();
        if (first.isEmpty()) {
            first = Optional.of(Instant.now());
        }
    }

    synchronized Optional<Instant> first() {
        return first;
    }

    synchronized long count() {
        return count;
    }

    /** Since the last one; -1 before the first. */
    synchronized long ageMillis() {
        return count == 0 ? -1 : TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - at(1));
    }

    /** Over the last ten seconds, or since the first commit where that is shorter. */
    synchronized double perSecond() {
        long now = System.nanoTime();
        int recent = 0;
        while (recent < Math.min(count, KEPT) && now - at(recent + 1) < RATE_NANOS) {
            recent++;
        }
        if (recent == 0) {
            return 0;
        }
        long span = recent == Math.min(count, KEPT) ? now - at(recent) : RATE_NANOS;
        return recent * 1e9 / Math.max(span, TimeUnit.MILLISECONDS.toNanos(1));
    }

    /** The {@code back}-th commit from the end, 1 the newest. */
    private long at(int back) {
        return times[(int) ((count - back) % KEPT)];
    }
}
