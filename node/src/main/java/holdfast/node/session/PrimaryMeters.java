package holdfast.node.session;

import holdfast.engine.memory.Encoded;
import holdfast.engine.remus.PrimaryEvent;
import holdfast.engine.remus.PrimaryObserver;
import holdfast.engine.remus.PrimaryState;

import java.util.concurrent.TimeUnit;

/** Counts what a primary's session does. Fed by the session's threads, read by any. */
final class PrimaryMeters {
    /** Checkpoints that percentiles look back over. */
    static final int KEPT = 4096;

    private final RecentSamples total = new RecentSamples(KEPT);
    private final RecentSamples suspend = new RecentSamples(KEPT);
    private final RecentSamples state = new RecentSamples(KEPT);
    private final RecentSamples output = new RecentSamples(KEPT);
    private final RecentSamples track = new RecentSamples(KEPT);
    private final RecentSamples copy = new RecentSamples(KEPT);
    private final RecentSamples resume = new RecentSamples(KEPT);
    private final RecentSamples dirty = new RecentSamples(KEPT);
    private final CommitClock commits = new CommitClock();
    private volatile long streamBytes;
    private volatile long backPressureNanos;
    private volatile long failures;
    private long dueNanos;

    void transition(PrimaryState from, PrimaryEvent event, PrimaryState to) {
        long now = System.nanoTime();
        if (event instanceof PrimaryEvent.IntervalElapsed && from.epoch() >= 0) {
            dueNanos = now;
        }
        if (to instanceof PrimaryState.Capturing && from != to) {
            backPressureNanos = dueNanos == 0 ? 0 : now - dueNanos;
        }
        if (event instanceof PrimaryEvent.CaptureFailed) {
            failures++;
        }
    }

    void paused(String domain, PrimaryObserver.Pause pause) {
        total.add(pause.totalNanos());
        suspend.add(pause.suspendNanos());
        state.add(pause.stateNanos());
        output.add(pause.outputNanos());
        track.add(pause.trackNanos());
        copy.add(pause.copyNanos());
        resume.add(pause.resumeNanos());
        dirty.add(pause.dirtyPages());
        CheckpointRecorded recorded = new CheckpointRecorded();
        if (recorded.shouldCommit()) {
            recorded.domain = domain;
            recorded.epoch = pause.epoch();
            recorded.dirtyPages = pause.dirtyPages();
            recorded.suspendNanos = pause.suspendNanos();
            recorded.stateNanos = pause.stateNanos();
            recorded.outputNanos = pause.outputNanos();
            recorded.trackNanos = pause.trackNanos();
            recorded.copyNanos = pause.copyNanos();
            recorded.resumeNanos = pause.resumeNanos();
            recorded.commit();
        }
    }

    /** Called on the sender's thread alone. */
    void encoded(Encoded encoded) {
        streamBytes += encoded.streamBytes();
    }

    void committed() {
        commits.committed();
    }

    PrimaryFigures figures() {
        RecentSamples.Sorted totals = total.sorted();
        RecentSamples.Sorted pages = dirty.sorted();
        return new PrimaryFigures(
                commits.first(),
                commits.count(),
                commits.ageMillis(),
                micros(totals.percentile(50)),
                micros(totals.percentile(99)),
                micros(totals.max()),
                median(suspend),
                median(state),
                median(output),
                median(track),
                median(copy),
                median(resume),
                pages.percentile(50),
                pages.percentile(99),
                streamBytes,
                commits.perSecond(),
                TimeUnit.NANOSECONDS.toMillis(backPressureNanos),
                failures);
    }

    private static long median(RecentSamples samples) {
        return micros(samples.sorted().percentile(50));
    }

    private static long micros(long nanos) {
        return TimeUnit.NANOSECONDS.toMicros(nanos);
    }
}
