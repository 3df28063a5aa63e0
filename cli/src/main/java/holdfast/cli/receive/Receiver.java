package holdfast.cli.receive;

import holdfast.engine.xlmigrate.ReceiverMode;
import holdfast.engine.xlmigrate.ReceiverOutcome;
import holdfast.wire.xen.StreamDeviation;

import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Receives one domain, and ends in order when the process is told to end. */
public final class Receiver {
    /** A signalled process waits so long for its image to be cut and named. */
    private static final long ENDING_SECONDS_MAX = 30;

    /**
     * What is asked for.
     *
     * @param target the image's name; its directory exists
     * @param bytesMax longest stream that is taken
     * @param idle how long the sender may be silent
     */
    public record Request(ReceiverMode mode, Path target, long bytesMax, Duration idle) {}

    /**
     * What became of it.
     *
     * @param domain the domain's name in the configuration that came, if one did
     * @param deviation the rule that the stream broke, if it did
     * @param partial where the image lies if it did not get its name
     */
    public record Result(
            ReceiverOutcome outcome,
            Optional<String> domain,
            Optional<StreamDeviation> deviation,
            Path partial) {}

    /** Hears how far it is, and the end. */
    public interface Listener {
        /** So many bytes are in the file. */
        void received(long bytes);

        /** A checkpoint is complete. */
        void checkpoint(long checkpoint, long bytes);

        /** Something was left behind that should not have been. */
        void leftBehind(String what);

        /** Nothing more happens. */
        void ended(Result result);
    }

    private Receiver() {}

    /**
     * Returns when the conversation is over and was told to {@code listener}; {@code in} may still
     * be read ahead then.
     *
     * @throws IOException if no file can be made; nothing was said to the sender
     */
    public static Result receive(
            Request request, InputStream in, PrintStream out, Listener listener)
            throws IOException {
        CountDownLatch over = new CountDownLatch(1);
        try (ImageFile image = ImageFile.create(request.target())) {
            SenderInput input = SenderInput.start(in, request.idle());
            Thread hook = new Thread(() -> end(input, over), "receiver-ending");
            Runtime.getRuntime().addShutdownHook(hook);
            try {
                ReceiverSession session =
                        new ReceiverSession(input, out, image, request.bytesMax(), listener);
                ReceiverOutcome outcome = session.run(request.mode());
                Result result =
                        new Result(outcome, session.domain(), session.deviation(), image.partial());
                // A signalled process ends with this block.
                listener.ended(result);
                return result;
            } finally {
                over.countDown();
                remove(hook);
            }
        }
    }

    private static void end(SenderInput input, CountDownLatch over) {
        input.stop("this process was told to end");
        try {
            if (!over.await(ENDING_SECONDS_MAX, TimeUnit.SECONDS)) {
                System.err.println(
                        "holdfast: the image could not be brought to an end within "
                                + ENDING_SECONDS_MAX
                                + " s");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void remove(Thread hook) {
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException _) {
            // The process is ending: the hook runs, and was waiting for this.
        }
    }
}
