package holdfast.cli;

import holdfast.node.api.ApiJson;
import holdfast.wire.xen.ReaderOptions;
import holdfast.wire.xen.StreamDescription;
import holdfast.wire.xen.StreamInspector;

import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

import java.io.IOException;
import java.io.InputStream;
import java.nio.channels.Channels;
import java.util.Locale;
import java.util.Map;

/** {@code holdfast stream inspect}. */
@Command(
        name = "inspect",
        description =
                "Describe a recorded stream, a line for each header and record, then sums; exits 1"
                        + " where it cannot be read on.",
        footer = {"", "Example:", "  holdfast stream inspect --summary web.save"})
final class StreamInspectCommand extends NodeCommand {
    @Parameters(
            paramLabel = "FILE",
            description = "A stream, also compressed with zstd; - is standard input.")
    private String file;

    @Option(names = "--summary", description = "Only the sums.")
    private boolean summary;

    @Mixin private StreamDialect dialect;

    private int status;

    StreamInspectCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    public Integer call() {
        run();
        return status;
    }

    @Override
    void run() {
        if (!summary && !json()) {
            say(
                    String.format(
                            Locale.ROOT,
                            "%-12s %-6s %-26s %10s  %s",
                            "OFFSET",
                            "LAYER",
                            "TYPE",
                            "BYTES",
                            "CONTENT"));
        }
        StreamDescription description;
        try (InputStream in = StreamFile.open(holdfast.surroundings, file)) {
            description =
                    StreamInspector.inspect(
                            Channels.newChannel(in),
                            dialect.options(ReaderOptions.Extensions.ALLOWED),
                            this::row);
        } catch (IOException e) {
            throw StreamFile.unreadable(file, e);
        }
        status = description.problem().isEmpty() ? 0 : Main.FAILED;
        if (json()) {
            say(
                    ApiJson.write(
                            new Sums(
                                    file,
                                    description.totals(),
                                    description.problem().orElse(null))));
        } else {
            sums(description.totals());
            description.problem().ifPresent(problem -> hint(file + ": " + problem));
        }
    }

    private void row(StreamDescription.Row row) {
        if (summary) {
            return;
        }
        String layer = row.layer().name().toLowerCase(Locale.ROOT);
        say(
                json()
                        ? ApiJson.write(
                                new Row(
                                        row.offset(),
                                        layer,
                                        row.type(),
                                        row.bytes(),
                                        row.summary()))
                        : String.format(
                                        Locale.ROOT,
                                        "%-12d %-6s %-26s %10d  %s",
                                        row.offset(),
                                        layer,
                                        row.type(),
                                        row.bytes(),
                                        row.summary())
                                .stripTrailing());
    }

    private void sums(StreamDescription.Totals totals) {
        say(
                file
                        + ": "
                        + totals.bytes()
                        + " bytes, "
                        + totals.records()
                        + " records, "
                        + totals.pages()
                        + " pages ("
                        + totals.pagesWithData()
                        + " with data, "
                        + totals.deltaPages()
                        + " as differences or zero), "
                        + totals.checkpoints()
                        + " checkpoints, "
                        + totals.skippedRecords()
                        + " records skipped, "
                        + totals.trailingBytes()
                        + " bytes after the end");
        for (Map.Entry<String, Long> type : totals.recordsByType().entrySet()) {
            say(String.format(Locale.ROOT, "  %6d %s", type.getValue(), type.getKey()));
        }
    }

    /** The JSON contract of one line. */
    record Row(long offset, String layer, String type, long bytes, String summary) {}

    /** The JSON contract of the last line. */
    record Sums(String file, StreamDescription.Totals totals, String problem) {}
}
