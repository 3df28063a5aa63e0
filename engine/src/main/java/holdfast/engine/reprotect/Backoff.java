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

    /** Protection that lasted so long was sound: when it ends, the count begins anew. */
    static final long SOUND_NANOS = TimeUnit.SECONDS.toNanos(60);

    private static final int DOUBLINGS_MAX = 10;

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
        int rounds = Math.min((attempts - 1) / nodes, DOUBLINGS_MAX);
        long nominal = Math.min(LEAST_NANOS << rounds, most);
        return (long) (nominal * (0.75 + Math.clamp(jitter, 0.0, 1.0) / 2));
    }
}
