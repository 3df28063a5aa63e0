package holdfast.node.disk;

import holdfast.engine.DiskException;
import holdfast.engine.disk.BufferedEpoch;
import holdfast.engine.disk.EpochBuffer;

import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/**
 * Where a replica's disks stand. Its lock is held for bookkeeping, never while a file is touched;
 * the fields are read and written below {@link #read} and {@link #change} alone.
 */
final class ReplicaState {
    enum Phase {
        /** Writes go straight into the images. */
        SYNCHRONISING,
        /** Writes wait for their epoch's commit. */
        BUFFERING,
        /** Nothing more is taken in. */
        DISCARDED,
        /** The images are somebody else's. */
        SETTLED,
        CLOSED
    }

    private final String domain;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();

    Phase phase = Phase.SYNCHRONISING;

    /** From the first boundary on. */
    Optional<EpochBuffer> buffer = Optional.empty();

    OptionalLong committed = OptionalLong.empty();
    OptionalLong applied = OptionalLong.empty();

    /** What the session has asked to apply. */
    OptionalLong applyUpTo = OptionalLong.empty();

    boolean applierDismissed;
    private boolean writing;

    /** An epoch can never be whole again, or is not known to be on stable storage. */
    private Optional<Throwable> intakeFailure = Optional.empty();

    private Optional<Throwable> applyFailure = Optional.empty();

    long synchronisedBytes;
    long epochsApplied;
    long appliedBytes;
    long applyNanos;
    long commitNanos;
    long backPressureNanos;
    long spilledBytes;

    ReplicaState(String domain) {
        this.domain = domain;
    }

    <T> T read(Supplier<T> what) {
        lock.lock();
        try {
            return what.get();
        } finally {
            lock.unlock();
        }
    }

    /** Whoever waits looks again afterwards. */
    void change(Runnable change) {
        lock.lock();
        try {
            change.run();
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /**
     * Waits, below the lock. No deadline of its own: the thread that waits is a session's or its
     * link's, whose peers have deadlines, and closing ends the wait.
     */
    void awaitWhile(BooleanSupplier condition) {
        while (condition.getAsBoolean()) {
            changed.awaitUninterruptibly();
        }
    }

    /**
     * A write begins.
     *
     * @return whether it counts; then {@link #endWrite} has to follow
     */
    boolean beginWrite() {
        return read(() -> writing = takesIn());
    }

    void endWrite() {
        change(() -> writing = false);
    }

    /** Below the lock. */
    void awaitNoWrite() {
        awaitWhile(() -> writing);
    }

    /**
     * Whether writes count still; below the lock.
     *
     * @throws DiskException if there was a failure, or nothing is open any more
     */
    boolean takesIn() {
        throwFailure(intakeFailure);
        throwFailure(applyFailure);
        return switch (phase) {
            case SYNCHRONISING, BUFFERING -> true;
            case DISCARDED, SETTLED -> false;
            case CLOSED -> throw closed();
        };
    }

    /** Below the lock. */
    void requireTakesIn() {
        if (!takesIn()) {
            throw new DiskException("the open epochs of " + domain + " were discarded");
        }
    }

    /** Below the lock. */
    EpochBuffer requireBuffer() {
        return buffer.orElseThrow(
                () ->
                        new DiskException(
                                "the disks' first epoch has not ended; protect the domain again"));
    }

    void intakeFailed(Throwable failure) {
        change(() -> intakeFailure = intakeFailure.or(() -> Optional.of(failure)));
    }

    void applierFailed(Throwable failure) {
        change(() -> applyFailure = Optional.of(failure));
    }

    boolean hasApplierFailed() {
        return read(applyFailure::isPresent);
    }

    /** What was not applied was brought into the images in another way. */
    void applierFailureMended() {
        change(() -> applyFailure = Optional.empty());
    }

    /** Below the lock. */
    void throwApplierFailure() {
        throwFailure(applyFailure);
    }

    private static void throwFailure(Optional<Throwable> failure) {
        failure.ifPresent(
                cause -> {
                    throw new DiskException(
                            cause instanceof DiskException known
                                    ? known.getMessage()
                                    : "the replica's disks: "
                                            + cause
                                            + "; protect the domain again",
                            cause);
                });
    }

    DiskException closed() {
        return new DiskException("the replica's disks of " + domain + " are closed");
    }

    /** Waits for a committed epoch that is to be applied; empty when none will come. */
    Optional<BufferedEpoch> nextToApply() {
        return read(
                () -> {
                    awaitWhile(() -> due().isEmpty() && !applierDismissed);
                    return due();
                });
    }

    private Optional<BufferedEpoch> due() {
        return buffer.flatMap(EpochBuffer::oldestCommitted)
                .filter(epoch -> applyUpTo.isPresent() && epoch.epoch() <= applyUpTo.getAsLong());
    }
}
