package holdfast.engine.port;

import java.util.function.Consumer;

/**
 * A running domain's disks on the primary, whose writes go on to the secondary as the guest makes
 * them. Called by the session's thread.
 */
public interface ForwardedDisks extends AutoCloseable {
    /**
     * Begins to forward, and copies what the disks hold already; the guest runs meanwhile. Returns
     * at once.
     *
     * @param synchronised called once, on any thread, when the copies are complete and from then on
     *     every write reaches the secondary before the guest sees it done
     * @param failed called once, on any thread, with what failed and what to do, where that does
     *     not happen or later ends; the domain and its disks are unharmed
     */
    void synchronise(Runnable synchronised, Consumer<String> failed);

    /**
     * Only while the domain is suspended: every write so far and not yet assigned belongs to {@code
     * epoch}. Does not block on the network. Called once an epoch, after everything else of the
     * checkpoint that may fail.
     */
    void closeEpoch(long epoch);

    /**
     * Ends forwarding: the domain's disks are as if they had never been forwarded. Never waits for
     * the secondary. May be called again where it fails; a domain that is gone is no failure.
     */
    @Override
    void close();

    /** For a domain without disks. */
    static ForwardedDisks none() {
        return new ForwardedDisks() {
            @Override
            public void synchronise(Runnable synchronised, Consumer<String> failed) {
                synchronised.run();
            }

            @Override
            public void closeEpoch(long epoch) {}

            @Override
            public void close() {}
        };
    }
}
