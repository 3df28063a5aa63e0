package holdfast.node.api;

import holdfast.engine.ReplicationException;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Function;

/**
 * A command on its own thread. What it reports is kept until somebody takes it, newer progress
 * replacing older, so that neither a slow nor a vanished client holds up the command.
 */
final class Running {
    private static final Logger LOG = LoggerFactory.getLogger(Running.class);

    /** What the client hears next. */
    sealed interface Report {
        record Advanced(Progress progress) implements Report {}

        record Ended(Object result) implements Report {}

        record Failed(ApiException failure) implements Report {}

        /** Nothing new, but the command is alive. */
        record Quiet() implements Report {}
    }

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition news = lock.newCondition();
    private Progress progress;
    private Report end;

    private Running() {}

    static Running start(String name, Function<ProgressListener, Object> command) {
        Running running = new Running();
        Thread.ofVirtual()
                .name("api " + name)
                .start(() -> running.finish(outcome(name, running, command)));
        return running;
    }

    private static Report outcome(
            String name, Running running, Function<ProgressListener, Object> command) {
        try {
            return new Report.Ended(command.apply(running::advance));
        } catch (ApiException e) {
            return new Report.Failed(e);
        } catch (ReplicationException e) {
            LOG.warn("command={} failed", name, e);
            return new Report.Failed(ApiException.failed(e.getMessage(), e));
        } catch (RuntimeException | Error e) {
            LOG.error("command={} failed unexpectedly", name, e);
            return new Report.Failed(unexpected(e));
        }
    }

    /** A defect of ours, told to the operator all the same. */
    static ApiException unexpected(Throwable cause) {
        return ApiException.failed(
                (cause.getMessage() == null ? cause.getClass().getName() : cause.getMessage())
                        + " ("
                        + cause.getClass().getSimpleName()
                        + "; the daemon's log has the whole story)",
                cause);
    }

    private void advance(Progress newest) {
        lock.lock();
        try {
            progress = newest;
            news.signal();
        } finally {
            lock.unlock();
        }
    }

    private void finish(Report report) {
        lock.lock();
        try {
            end = report;
            news.signal();
        } finally {
            lock.unlock();
        }
    }

    /** The next report, or {@link Report.Quiet} after {@code waitMillis} without one. */
    Report next(long waitMillis) {
        lock.lock();
        try {
            long left = TimeUnit.MILLISECONDS.toNanos(waitMillis);
            while (progress == null && end == null) {
                if (left <= 0) {
                    return new Report.Quiet();
                }
                left = news.awaitNanos(left);
            }
            if (progress != null) {
                Report report = new Report.Advanced(progress);
                progress = null;
                return report;
            }
            return end;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return new Report.Failed(
                    ApiException.failed(
                            "the daemon ends; `holdfast status` says what became of it", e));
        } finally {
            lock.unlock();
        }
    }
}
