package holdfast.cli;

import holdfast.cli.receive.Receiver;
import holdfast.engine.xlmigrate.ReceiverMode;
import holdfast.engine.xlmigrate.ReceiverOutcome;
import holdfast.node.api.ApiException;
import holdfast.node.api.ApiJson;
import holdfast.node.api.DomainName;
import holdfast.node.api.Progress;
import holdfast.node.config.Sizes;

import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.OptionalLong;

/**
 * {@code holdfast migrate-receive}. Standard output belongs to the sender; the answer, too, goes to
 * standard error.
 */
@Command(
        name = "migrate-receive",
        description =
                "Speak the receiver's half of `xl migrate` on standard input and output and take"
                        + " the domain into an image file, verified. It is not started here: the"
                        + " sender is told so, and lets its own copy run on.",
        footer = {
            "",
            "Example:",
            "  # on the Xen host",
            "  xl migrate -s '' web 'ssh hostB holdfast migrate-receive --output /var/tmp/web.xen'",
            "  xl remus -s '' web 'ssh hostB holdfast migrate-receive --remus --output"
                    + " /var/tmp/web.xen'"
        })
final class MigrateReceiveCommand extends NodeCommand {
    private static final long SECONDS_MAX = 86_400;
    private static final long PROGRESS_BYTES = 64L << 20;

    @Spec private CommandSpec spec;

    @Option(
            names = {"-o", "--output"},
            paramLabel = "FILE",
            required = true,
            description =
                    "The image to write; one that exists is replaced when the new one is whole and"
                            + " on the disk.")
    private String output;

    @Option(
            names = {"-r", "--remus"},
            description =
                    "The sender is `xl remus`: take checkpoints until the sender is gone; the image"
                            + " then holds the last complete one.")
    private boolean remus;

    @Option(
            names = "--max-bytes",
            paramLabel = "SIZE",
            description =
                    "Refuse a longer stream; bytes, or as 512M or 40G (default: what the disk"
                            + " holds).")
    private String maxBytes;

    @Option(
            names = "--timeout",
            paramLabel = "SECONDS",
            defaultValue = "120",
            description =
                    "Give up when the sender says nothing for so long (default:"
                            + " ${DEFAULT-VALUE}).")
    private long timeoutSeconds;

    private int status;

    MigrateReceiveCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    public Integer call() {
        run();
        return status;
    }

    @Override
    void run() {
        Receiver.Request request =
                new Receiver.Request(
                        remus ? ReceiverMode.REMUS : ReceiverMode.MIGRATE,
                        target(),
                        bytesMax(),
                        Duration.ofSeconds(checkedSeconds()));
        try (ProgressView view = new ProgressView(holdfast.surroundings, "")) {
            Receiver.receive(
                    request,
                    holdfast.surroundings.in(),
                    holdfast.surroundings.out(),
                    new Telling(request, view));
        } catch (IOException e) {
            throw ApiException.failed(e.getMessage() + "; see --output", e);
        }
    }

    private Path target() {
        Path target = holdfast.surroundings.path(output);
        if (Files.isDirectory(target)) {
            throw ApiException.badRequest(
                    "--output " + target + ": it is a directory, expected the name of a file");
        }
        if (Files.exists(target) && !Files.isRegularFile(target)) {
            throw ApiException.badRequest(
                    "--output "
                            + target
                            + ": it is a device, pipe or socket, which the image would replace;"
                            + " expected the name of a file");
        }
        if (target.getParent() == null || !Files.isDirectory(target.getParent())) {
            throw ApiException.badRequest(
                    "--output " + target + ": there is no directory " + target.getParent());
        }
        return target;
    }

    private long bytesMax() {
        if (maxBytes == null) {
            return Long.MAX_VALUE;
        }
        OptionalLong bytes =
                maxBytes.matches("[0-9]{1,18}")
                        ? OptionalLong.of(Long.parseLong(maxBytes))
                        : Sizes.bytes(maxBytes);
        if (bytes.isEmpty() || bytes.getAsLong() < 1) {
            throw new ParameterException(
                    spec.commandLine(),
                    "--max-bytes "
                            + maxBytes
                            + ": allowed is a number of bytes above 0, or one with K, M, G or T");
        }
        return bytes.getAsLong();
    }

    private long checkedSeconds() {
        if (timeoutSeconds < 1 || timeoutSeconds > SECONDS_MAX) {
            throw new ParameterException(
                    spec.commandLine(),
                    "--timeout " + timeoutSeconds + ": allowed is 1 to " + SECONDS_MAX);
        }
        return timeoutSeconds;
    }

    /** Progress, now and then, and the end. */
    private final class Telling implements Receiver.Listener {
        private final Receiver.Request request;
        private final ProgressView view;
        private long toldBytes;

        Telling(Receiver.Request request, ProgressView view) {
            this.request = request;
            this.view = view;
        }

        @Override
        public void received(long bytes) {
            if (bytes - toldBytes >= PROGRESS_BYTES) {
                toldBytes = bytes;
                view.progress(
                        new Progress("receiving", 0, bytes, 0, "received " + Figures.bytes(bytes)));
            }
        }

        @Override
        public void checkpoint(long checkpoint, long bytes) {
            if (checkpoint == 1) {
                view.progress(
                        new Progress(
                                "protecting",
                                0,
                                bytes,
                                0,
                                "the first checkpoint is complete, " + Figures.bytes(bytes)));
            }
        }

        @Override
        public void leftBehind(String what) {
            hint("holdfast: " + what);
        }

        @Override
        public void ended(Receiver.Result result) {
            view.close();
            Summary summary = Summary.of(request, result);
            status = summary.problem() == null ? 0 : Main.FAILED;
            hint(
                    json()
                            ? ApiJson.write(summary)
                            : summary.problem() == null
                                    ? sentence(summary, result.outcome())
                                    : "holdfast: " + summary.problem());
        }
    }

    private static String sentence(Summary summary, ReceiverOutcome outcome) {
        String image =
                summary.file()
                        + ": "
                        + (summary.domain() == null
                                ? "the domain"
                                : DomainName.isLegal(summary.domain())
                                        ? summary.domain()
                                        : ApiJson.write(summary.domain()))
                        + ", "
                        + Figures.bytes(summary.bytes());
        return outcome instanceof ReceiverOutcome.FailOver failOver
                ? image
                        + ", checkpoint "
                        + failOver.checkpoint()
                        + "; the sender is gone ("
                        + failOver.reason()
                        + "), and the domain was not started here"
                : image
                        + "; it was not started here, and the sender was told to let its own copy"
                        + " run on";
    }

    /** The JSON contract of this command. */
    record Summary(
            String file,
            String domain,
            String mode,
            boolean kept,
            long bytes,
            long checkpoints,
            String problem,
            StreamVerifyCommand.Deviation deviation) {
        static Summary of(Receiver.Request request, Receiver.Result result) {
            return switch (result.outcome()) {
                case ReceiverOutcome.DomainKept(long bytes) ->
                        summary(request, result, true, bytes, 0, null);
                case ReceiverOutcome.SenderUntold(long bytes, String reason) ->
                        summary(
                                request,
                                result,
                                true,
                                bytes,
                                0,
                                reason
                                        + "; the image is kept, the domain was not started here,"
                                        + " and the sender does not know it: resume it there (`xl"
                                        + " list` shows it with --migratedaway)");
                case ReceiverOutcome.FailOver(long checkpoint, long bytes, String _) ->
                        summary(request, result, true, bytes, checkpoint, null);
                case ReceiverOutcome.Interrupted(long checkpoint, long bytes, String reason) ->
                        summary(
                                request,
                                result,
                                true,
                                bytes,
                                checkpoint,
                                reason
                                        + "; the image of checkpoint "
                                        + checkpoint
                                        + " is kept, but the sender may still run the domain: look"
                                        + " there first");
                case ReceiverOutcome.LeftAside(String reason) ->
                        summary(
                                request,
                                result,
                                false,
                                0,
                                0,
                                reason
                                        + "; what was received is left as "
                                        + result.partial()
                                        + ", `holdfast stream verify` looks at it");
                case ReceiverOutcome.NothingKept(String reason) ->
                        summary(
                                request,
                                result,
                                false,
                                0,
                                0,
                                reason + "; nothing is kept, the domain stays the sender's");
            };
        }

        private static Summary summary(
                Receiver.Request request,
                Receiver.Result result,
                boolean kept,
                long bytes,
                long checkpoints,
                String problem) {
            return new Summary(
                    request.target().toString(),
                    result.domain().orElse(null),
                    switch (request.mode()) {
                        case MIGRATE -> "migrate";
                        case REMUS -> "remus";
                    },
                    kept,
                    bytes,
                    checkpoints,
                    problem,
                    result.deviation().map(StreamVerifyCommand.Deviation::of).orElse(null));
        }
    }
}
