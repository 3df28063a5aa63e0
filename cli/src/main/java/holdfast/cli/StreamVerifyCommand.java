package holdfast.cli;

import holdfast.wire.xen.ReaderOptions;
import holdfast.wire.xen.StreamDeviation;
import holdfast.wire.xen.StreamVerdict;
import holdfast.wire.xen.StreamVerifier;

import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

import java.io.IOException;
import java.io.InputStream;

/** {@code holdfast stream verify}. */
@Command(
        name = "verify",
        description =
                "Hold a recorded stream to every rule of its format; names the first deviation and"
                        + " exits 1.",
        footer = {
            "",
            "Example:",
            "  holdfast stream verify web.save",
            "  zstdcat web.save.zst | holdfast stream verify -"
        })
final class StreamVerifyCommand extends NodeCommand {
    @Parameters(
            paramLabel = "FILE",
            description = "A stream, also compressed with zstd; - is standard input.")
    private String file;

    @Mixin private StreamDialect dialect;

    private int status;

    StreamVerifyCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    public Integer call() {
        run();
        return status;
    }

    @Override
    void run() {
        StreamVerdict verdict;
        try (InputStream in = StreamFile.open(holdfast.surroundings, file)) {
            verdict = StreamVerifier.verify(in, dialect.options(ReaderOptions.Extensions.REFUSED));
        } catch (IOException e) {
            throw StreamFile.unreadable(file, e);
        }
        status = verdict.accepted() ? 0 : Main.FAILED;
        answer(
                Verdict.of(file, verdict),
                verdict.deviation()
                        .map(deviation -> file + ": " + deviation)
                        .orElseGet(
                                () ->
                                        file
                                                + ": keeps every rule; "
                                                + verdict.bytes()
                                                + " bytes, "
                                                + verdict.records()
                                                + " records, "
                                                + verdict.pages()
                                                + " pages, "
                                                + verdict.checkpoints()
                                                + " checkpoints"));
    }

    /** The JSON contract of this command. */
    record Verdict(
            String file,
            boolean accepted,
            long bytes,
            long records,
            long pages,
            long checkpoints,
            Deviation deviation) {
        static Verdict of(String file, StreamVerdict verdict) {
            return new Verdict(
                    file,
                    verdict.accepted(),
                    verdict.bytes(),
                    verdict.records(),
                    verdict.pages(),
                    verdict.checkpoints(),
                    verdict.deviation().map(Deviation::of).orElse(null));
        }
    }

    /** The first place where the stream leaves the format. */
    record Deviation(String rule, long offset, String record, String expected, String found) {
        static Deviation of(StreamDeviation from) {
            return new Deviation(
                    from.rule().name(),
                    from.offset(),
                    from.record(),
                    from.expected(),
                    from.found());
        }
    }
}
