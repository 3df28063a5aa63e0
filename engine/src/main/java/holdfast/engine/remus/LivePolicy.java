package holdfast.engine.remus;

/**
 * When the live stage has done enough. Every further checkpoint is taken with the guest suspended
 * only for a copy, so the first one may be larger than a migration's last round.
 *
 * @param pagesSmall at most this many dirty pages end the live stage
 * @param roundsMax at the latest after this many rounds
 */
public record LivePolicy(long pagesSmall, int roundsMax) {
    public static final LivePolicy DEFAULT = new LivePolicy(2048, 8);

    public LivePolicy {
        if (pagesSmall < 0 || roundsMax < 1) {
            throw new IllegalArgumentException(
                    "pagesSmall " + pagesSmall + ", roundsMax " + roundsMax);
        }
    }

    /**
     * Whether another round is worth it: it must be allowed, and the last one must have shrunk what
     * is left by a quarter at least.
     */
    boolean another(int round, long sentPages, long dirtyPages) {
        return dirtyPages > pagesSmall
                && round + 1 < roundsMax
                && dirtyPages < sentPages - sentPages / 4;
    }
}
