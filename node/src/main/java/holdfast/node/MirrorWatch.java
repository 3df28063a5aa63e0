package holdfast.node;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Sees to it that QEMU does not wait for long for what its disks are mirrored to, whatever that
 * does: a guest's write waits there, and a {@code stop} with the main loop and all of the guest.
 * {@link HangWatch} judges, this looks and acts, on a thread of its own.
 */
final class MirrorWatch implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(MirrorWatch.class);

    private static final long LOOK_MILLIS = 100;

    /** What is watched. Called by the watch's thread alone; must not wait for QEMU's main loop. */
    interface Watched {
        HangWatch.Look look();

        /** Writes are taken without being forwarded from here on. */
        void forget(String reason);

        /** QEMU does not wait for any export any more. */
        void cut();
    }

    private final HangWatch judge;
    private final Duration hang;
    private final Watched watched;
    private final CountDownLatch closing = new CountDownLatch(1);

    /** No virtual thread: it must run where those are what hangs. */
    private final Thread thread =
            Thread.ofPlatform().name("mirror-watch").daemon().unstarted(this::run);

    private MirrorWatch(Duration hang, Watched watched) {
        this.judge = new HangWatch(hang);
        this.hang = hang;
        this.watched = watched;
    }

    static MirrorWatch begin(Duration hang, Watched watched) {
        MirrorWatch watch = new MirrorWatch(hang, watched);
        watch.thread.start();
        return watch;
    }

    private void run() {
        HangWatch.State state = HangWatch.begin(System.nanoTime());
        try {
            while (!closing.await(LOOK_MILLIS, TimeUnit.MILLISECONDS)) {
                try {
                    state = look(state);
                } catch (RuntimeException e) {
                    // Somebody has to go on watching.
                    LOG.error("event=mirror-look-failed", e);
                }
            }
        } catch (InterruptedException e) {
            // Nobody interrupts this thread.
            LOG.error("event=mirror-watch-ended", e);
        }
    }

    private HangWatch.State look(HangWatch.State before) {
        HangWatch.Look look = watched.look();
        HangWatch.Step step = judge.step(before, look);
        switch (step.remedy()) {
            case NONE -> {}
            case FORGET -> {
                LOG.warn("event=mirror-hangs remedy=forget look={}", look);
                watched.forget(
                        "QEMU waited "
                                + hang.toMillis()
                                + " ms for its mirrored disk writes to be taken; look at the load"
                                + " of both nodes and at the link between them");
            }
            case CUT -> {
                LOG.warn("event=mirror-hangs remedy=cut look={}", look);
                watched.cut();
            }
        }
        return step.state();
    }

    /** Nobody watches from here on. */
    @Override
    public void close() {
        closing.countDown();
    }
}
