package holdfast.engine.reprotect;

import holdfast.engine.reprotect.ReprotectionEvent.Failure;

import java.util.concurrent.TimeUnit;

/**
 * How long to wait after an attempt in vain: twice as long after each round over all nodes, up to a
 * bound, a quarter more or less by chance.
 */
final class Backoff {
    static final long LEAST_NANOS = TimeUnit.MILLISECONDS.toNanos(500);
    static final long UNREACHABLE_NANOS_MAX = TimeUnit.SECONDS.toNanos(5);
    static final long REFUSED_NANOS_MAX = TimeUnit.SECONDS.toNanos(30);

    /** After a copy in vain, unless that copy took longer. */
    static final long COPIED_NANOS_MAX = TimeUnit.MINUTES.toNanos(30);

    /** Protection that lasted so long was sound: when it ends, the count begins anew. */
    static final long SOUND_NANOS = TimeUnit.SECONDS.toNanos(60);

    private static final int DOUBLINGS_MAX = 10;
    private static final int COPY_DOUBLINGS_MAX = 4;

    private Backoff() {}

    /**
     * @param attempts made in vain, at least 1
     * @param nodes how many there are to try
     * @param jitter from 0 to 1
     */
    static long nanos(int attempts, int nodes, Failure failure, double jitter) {
        long most =
                switch (failure) {
                    case UNREACHABLE -> UNREACHABLE_NANOS_MAX;
                    case REFUSED -> REFUSED_NANOS_MAX;
                };
        return byChance(nominal(attempts, nodes, most), jitter);
    }

    /**
     * After a session that copied the domain and did not come to protect it, or not for long: as
     * any other attempt in the first round over all nodes; then at least as long as the copy took,
     * so that most of the time nothing is copied.
     *
     * @param inVain this session included
     * @param copyNanos what the copy took
     */
    static long afterCopyNanos(InVain inVain, int nodes, long copyNanos, double jitter) {
        long nominal = nominal(inVain.attempts(), nodes, REFUSED_NANOS_MAX);
        int rounds = (inVain.copies() - 1) / nodes;
        if (rounds > 0) {
            long longer = copyNanos << Math.min(rounds - 1, COPY_DOUBLINGS_MAX);
            long most = Math.max(copyNanos, COPIED_NANOS_MAX);
            nominal = Math.max(nominal, Math.min(longer, most));
        }
        return byChance(nominal, jitter);
    }

    private static long nominal(int attempts, int nodes, long most) {
        int rounds = Math.min((attempts - 1) / nodes, DOUBLINGS_MAX);
        return Math.min(LEAST_NANOS << rounds, most);
    }

    private static long byChance(long nominal, double jitter) {
        return (long) (nominal * (0.75 + Math.clamp(jitter, 0.0, 1.0) / 2));
    }
}
