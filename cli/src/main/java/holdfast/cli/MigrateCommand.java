package holdfast.cli;

import holdfast.node.api.ApiException;
import holdfast.node.api.ApiJson;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.MigrationStatus;
import holdfast.node.api.Progress;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest;

import picocli.CommandLine.Command;
import picocli.CommandLine.Help;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** {@code holdfast migrate}. */
@Command(
        name = "migrate",
        description = {
            "Move a running domain to another node. Whatever fails before the hand-over, it goes on"
                    + " here and the exit status is 1."
        },
        footer = {
            "",
            "Features: memory, devices, disk, disk-cache, network (or net), hook:NAME, an"
                    + " executable of that name in the destination's hooks directory.",
            "",
            "Example:",
            "  holdfast migrate web hostB --require net,hook:vdp --best-effort disk-cache",
            "  holdfast migrate web hostB --storage copy"
        })
final class MigrateCommand extends NodeCommand {
    @Parameters(index = "0", paramLabel = "DOMAIN", description = "The domain's name.")
    private String domain;

    @Parameters(
            index = "1",
            arity = "0..1",
            paramLabel = "NODE",
            description = "The destination: host or host:port (default port 7227).")
    private String node;

    @Option(
            names = "--cancel",
            description = "End the domain's running migration; the domain goes on here.")
    private boolean cancel;

    @Option(
            names = "--require",
            split = ",",
            paramLabel = "FEATURE",
            description = "Features that must be up on the destination.")
    private List<String> require = List.of();

    @Option(
            names = "--best-effort",
            split = ",",
            paramLabel = "FEATURE",
            description = "Features whose failure is only reported.")
    private List<String> bestEffort = List.of();

    @Option(
            names = "--urgent",
            description = "Everything is best effort that a guest can run without: evacuate now.")
    private boolean urgent;

    @Option(names = "--strict", description = "Every feature is required.")
    private boolean strict;

    @Option(
            names = "--downtime",
            paramLabel = "MS",
            defaultValue = "" + MigrateRequest.DOWNTIME_MILLIS_DEFAULT,
            description =
                    "Suspend the guest when the rest travels within this time (default:"
                            + " ${DEFAULT-VALUE} ms).")
    private int downtime;

    @Option(
            names = "--max-rounds",
            paramLabel = "N",
            defaultValue = "" + MigrateRequest.ROUNDS_MAX_DEFAULT,
            description = "Or after so many rounds (default: ${DEFAULT-VALUE}).")
    private int maxRounds;

    @Option(
            names = "--bandwidth",
            paramLabel = "MIB",
            defaultValue = "0",
            description = "At most so many MiB a second (default: no bound).")
    private long bandwidth;

    @Option(
            names = "--auto-converge",
            description = "Slow a guest down that writes faster than its pages travel.")
    private boolean autoConverge;

    @Option(
            names = "--connections",
            paramLabel = "N",
            defaultValue = "" + MigrateRequest.CONNECTIONS_DEFAULT,
            description = "Connections for pages, 1 to 16 (default: ${DEFAULT-VALUE}).")
    private int connections;

    @Option(
            names = "--compress",
            paramLabel = "auto|none|zstd",
            defaultValue = "auto",
            description =
                    "Compress pages: where that is quicker on this link, never, or all that shrink"
                            + " (default: ${DEFAULT-VALUE}).")
    private MigrateRequest.Compress compress;

    @Option(
            names = "--timeout",
            paramLabel = "SEC",
            defaultValue = "0",
            description = "Time for copied disks and the rounds (default: no bound).")
    private int timeout;

    @Option(
            names = "--on-timeout",
            paramLabel = "cancel|stop",
            defaultValue = "cancel",
            description =
                    "Then stay here, or suspend the guest for what is left of its memory, once"
                            + " its disks are copied (default: ${DEFAULT-VALUE}).")
    private MigrateRequest.OnTimeout onTimeout;

    @Option(
            names = "--feature-timeout",
            paramLabel = "SEC",
            defaultValue = "" + MigrateRequest.FEATURE_SECONDS_DEFAULT,
            description =
                    "Time for the destination to bring its features up (default: ${DEFAULT-VALUE}"
                            + " s).")
    private int featureTimeout;

    @Option(
            names = "--storage",
            paramLabel = "auto|shared|copy",
            defaultValue = "auto",
            description =
                    "Disks that the guest may write: copy those that the destination does not share"
                            + " (auto), refuse where it does not share all (shared), or copy all"
                            + " (default: ${DEFAULT-VALUE}).")
    private MigrateRequest.Storage storage;

    @Option(
            names = "--heartbeat",
            paramLabel = "MS",
            defaultValue = "" + RemusRequest.OF_THE_NODE,
            showDefaultValue = Help.Visibility.NEVER,
            description = "A sign of life is sent this often (default: the node's setting).")
    private int heartbeat;

    @Option(
            names = "--deadline",
            paramLabel = "MS",
            defaultValue = "" + RemusRequest.OF_THE_NODE,
            showDefaultValue = Help.Visibility.NEVER,
            description =
                    "A node silent for this long is lost (default: the node's setting, at least "
                            + MigrateRequest.DEADLINE_MILLIS_LEAST
                            + " ms).")
    private int deadline;

    @Option(
            names = "--events",
            description = "Print what happens as one JSON object a line, the result last.")
    private boolean events;

    MigrateCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    void run() {
        throw new IllegalStateException("call() says how it ended");
    }

    @Override
    public Integer call() {
        if (cancel) {
            if (node != null) {
                throw ApiException.badRequest("--cancel names the domain alone, not a node");
            }
            DomainStatus status = holdfast.node().cancelMigration(domain);
            answer(status, domain + " stays here: " + Figures.lastEvent(status));
            return 0;
        }
        if (node == null) {
            throw ApiException.badRequest("where to? holdfast migrate " + domain + " NODE");
        }
        MigrateRequest request = request();
        MigrateResult result;
        if (events) {
            result = holdfast.node().migrate(request, new EventLines());
            say(eventLine("result", result));
        } else {
            try (ProgressView view =
                    new ProgressView(
                            holdfast.surroundings,
                            "the migration goes on; `holdfast status "
                                    + domain
                                    + "` shows it, `holdfast migrate --cancel "
                                    + domain
                                    + "` ends it")) {
                result = holdfast.node().migrate(request, view);
            }
            answer(result, sentence(result));
        }
        return result.moved() ? 0 : 1;
    }

    /** Its kind comes first: people read these lines, too. */
    private static String eventLine(String kind, Object value) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("event", kind);
        line.put(kind, value);
        return ApiJson.write(line);
    }

    private MigrateRequest request() {
        if (urgent && strict) {
            throw ApiException.badRequest(
                    "--urgent makes every feature best effort, --strict every one required; leave"
                            + " one of them out");
        }
        return MigrateRequest.of(domain, node)
                .withPolicy(
                        urgent
                                ? MigrateRequest.Policy.URGENT
                                : strict
                                        ? MigrateRequest.Policy.STRICT
                                        : MigrateRequest.Policy.DEFAULT)
                .withFeatures(require, bestEffort)
                .withRounds(downtime, maxRounds)
                .withBandwidth(bandwidth)
                .withAutoConverge(autoConverge)
                .withConnections(connections)
                .withTimeout(timeout, onTimeout)
                .withFeatureSeconds(featureTimeout)
                .withDeadline(heartbeat, deadline)
                .withStorage(storage)
                .withCompress(compress);
    }

    static String sentence(MigrateResult result) {
        StringBuilder text = new StringBuilder(result.domain());
        if (result.moved()) {
            text.append(
                    String.format(
                            Locale.ROOT,
                            " runs on %s: guest stood still %.1f ms, %.0f ms in all",
                            result.node(),
                            result.downtimeMillis(),
                            result.totalMillis()));
        } else {
            text.append(
                    switch (result.outcome()) {
                        case "stayed" -> " was not moved and runs here: ";
                        case "ended" -> " ended meanwhile: ";
                        default -> " (" + result.outcome() + "): ";
                    });
            text.append(result.reason());
        }
        if (result.migration() != null) {
            if (result.moved()) {
                for (MigrationStatus.Disk disk : result.migration().disks()) {
                    text.append(
                            String.format(
                                    Locale.ROOT,
                                    "%n  disk%d was copied to %s; its image here stays as it was at"
                                            + " the hand-over",
                                    disk.index(),
                                    disk.path()));
                }
            }
            for (MigrationStatus.Feature feature : result.migration().features()) {
                if (!feature.result().equals("up") && !feature.result().equals("down")) {
                    text.append("\n  ")
                            .append(feature.necessity())
                            .append(" feature ")
                            .append(feature.name())
                            .append(' ')
                            .append(feature.result())
                            .append(": ")
                            .append(feature.detail());
                }
            }
        }
        return text.toString();
    }

    /** One object a line on standard output. */
    private final class EventLines implements ProgressListener {
        private String phase = "";

        @Override
        public void progress(Progress progress) {
            // Before there is a migration there is no phase of one.
            String now = progress.migration() == null ? phase : progress.migration().phase();
            if (!now.equals(phase)) {
                phase = now;
                say(eventLine("phase", now));
            }
            say(eventLine("progress", progress));
        }
    }
}
