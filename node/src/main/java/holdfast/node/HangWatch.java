package holdfast.node;

import java.time.Duration;

/**
 * Judges, look by look, whether QEMU waits too long for what its disks are mirrored to. Only time
 * in which it was looked counts: of a process that was itself stopped, or starved, nobody can say
 * that the others hung.
 */
final class HangWatch {
    /** What was to end the hang has to help within this. */
    static final Duration GRACE = Duration.ofSeconds(1);

    /** Looks further apart than this were held up. */
    private static final long GAP_NANOS = Duration.ofSeconds(1).toNanos();

    private static final long GRACE_NANOS = GRACE.toNanos();

    /**
     * @param requestNanos for how long the request that waits longest has waited for its export
     * @param requests that were ever begun
     * @param commandNanos for how long QEMU has owed an answer to a command
     * @param forgets whether writes are taken without being forwarded
     */
    record Look(
            long nowNanos, long requestNanos, long requests, long commandNanos, boolean forgets) {}

    /** What is known from earlier looks. */
    sealed interface State {
        /** When it was looked last. */
        long lastNanos();

        /** Of requests, at the last look. */
        long requests();

        /** Since when each look has found requests at work. */
        long busySinceNanos();

        /**
         * Writes go on to the other node.
         *
         * @param sinceNanos from when on looks came in time
         */
        record Forwarding(long sinceNanos, long lastNanos, long requests, long busySinceNanos)
                implements State {}

        /**
         * Writes are taken at once, and nobody has a reason to wait.
         *
         * @param sinceNanos from when on, or since it last was not enough
         */
        record Forgetting(long sinceNanos, long lastNanos, long requests, long busySinceNanos)
                implements State {}
    }

    /** What is to be done. */
    enum Remedy {
        /** Nothing. */
        NONE,
        /** Writes are taken without being forwarded from here on. */
        FORGET,
        /** QEMU's connections to the exports are cut. */
        CUT
    }

    record Step(State state, Remedy remedy) {}

    private final long hangNanos;

    HangWatch(Duration hang) {
        this.hangNanos = hang.toNanos();
    }

    static State begin(long nowNanos) {
        return new State.Forwarding(nowNanos, nowNanos, 0, nowNanos);
    }

    Step step(State state, Look look) {
        long now = look.nowNanos();
        boolean busy = look.requestNanos() > 0 || look.requests() != state.requests();
        long busySince = busy ? state.busySinceNanos() : now;
        boolean heldUp = now - state.lastNanos() > GAP_NANOS;
        return switch (state) {
            case State.Forwarding was -> {
                if (heldUp) {
                    yield new Step(
                            new State.Forwarding(now, now, look.requests(), now), Remedy.NONE);
                }
                boolean hangs = hangs(look, now - was.sinceNanos(), now - busySince, hangNanos);
                if (hangs || look.forgets()) {
                    yield new Step(
                            new State.Forgetting(now, now, look.requests(), busySince),
                            hangs ? Remedy.FORGET : Remedy.NONE);
                }
                yield new Step(
                        new State.Forwarding(was.sinceNanos(), now, look.requests(), busySince),
                        Remedy.NONE);
            }
            case State.Forgetting was -> {
                if (heldUp) {
                    yield new Step(
                            new State.Forgetting(now, now, look.requests(), now), Remedy.NONE);
                }
                boolean hangs = hangs(look, now - was.sinceNanos(), now - busySince, GRACE_NANOS);
                yield new Step(
                        new State.Forgetting(
                                hangs ? now : was.sinceNanos(), now, look.requests(), busySince),
                        hangs ? Remedy.CUT : Remedy.NONE);
            }
        };
    }

    /**
     * A command that is not answered is the exports' fault only where they are at work: QEMU may
     * wait for its own disk just as well.
     */
    private static boolean hangs(Look look, long seenNanos, long busyNanos, long limitNanos) {
        return Math.min(look.requestNanos(), seenNanos) >= limitNanos
                || Math.min(look.commandNanos(), seenNanos) >= limitNanos
                        && busyNanos >= GRACE_NANOS;
    }
}
