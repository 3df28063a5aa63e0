package holdfast.node.disk;

import holdfast.engine.disk.BufferedEpoch;

import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Supplier;

/** The thread that brings committed epochs into the images, one after the other. */
final class Applier {
    private final Thread thread;

    /**
     * @param next waits for a committed epoch that is to be applied; empty ends the thread
     * @param apply applies it
     * @param failed told what stopped the thread before its time
     */
    Applier(
            String domain,
            Supplier<Optional<BufferedEpoch>> next,
            Consumer<BufferedEpoch> apply,
            Consumer<Throwable> failed) {
        thread =
                Thread.ofPlatform()
                        .name("replica-disks-" + domain)
                        .daemon()
                        .unstarted(() -> run(next, apply, failed));
    }

    private static void run(
            Supplier<Optional<BufferedEpoch>> next,
            Consumer<BufferedEpoch> apply,
            Consumer<Throwable> failed) {
        try {
            for (Optional<BufferedEpoch> epoch = next.get();
                    epoch.isPresent();
                    epoch = next.get()) {
                apply.accept(epoch.get());
            }
        } catch (RuntimeException | Error e) {
            failed.accept(e);
        }
    }

    void start() {
        thread.start();
    }

    /** Waits for the end of the thread, which the caller has brought about. */
    void join() {
        boolean interrupted = false;
        while (true) {
            try {
                thread.join();
                break;
            } catch (InterruptedException e) {
                // The images must not be freed below the thread.
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
