package holdfast.cli;

import holdfast.node.api.ApiException;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.Progress;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest;

import picocli.CommandLine.Command;
import picocli.CommandLine.Help;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

import java.util.List;
import java.util.Map;

/** {@code holdfast remus}. */
@Command(
        name = "remus",
        description = {
            "Protect a running domain: another node holds a replica that is at most one epoch old"
                    + " and goes on when this host dies. Returns when the first checkpoint is"
                    + " committed; protection then lasts until `holdfast unprotect`: when it is"
                    + " lost, whoever runs the domain looks for a node that protects it again."
        },
        footer = {
            "",
            "--arbiter none lets the secondary go on by itself after the deadline. If only the"
                    + " network between the two nodes broke,",
            "both copies then run and speak: use it where that network cannot break alone, or where"
                    + " you accept it.",
            "",
            "Example:",
            "  holdfast remus web hostB hostC -i 25 --arbiter none"
        })
final class RemusCommand extends NodeCommand {
    @Parameters(index = "0", paramLabel = "DOMAIN", description = "The domain's name.")
    private String domain;

    @Parameters(
            index = "1..*",
            arity = "1..*",
            paramLabel = "NODE",
            description =
                    "The secondary's node: host or host:port (default port 7227). Further ones may"
                            + " hold the replica where the first cannot.")
    private List<String> nodes;

    @Option(
            names = {"-i", "--interval"},
            paramLabel = "MS",
            defaultValue = "" + RemusRequest.INTERVAL_MILLIS_DEFAULT,
            description =
                    "The guest runs this long between two checkpoints (default: ${DEFAULT-VALUE}"
                            + " ms).")
    private int interval;

    @Option(
            names = "--no-net",
            description = "Do not hold output: a survivor may then contradict what was said.")
    private boolean noNet;

    @Option(
            names = "--plain",
            description = "Send the bulk stream as a byte-exact Xen stream, without differences.")
    private boolean plain;

    @Option(
            names = "--compress",
            paramLabel = "auto|none|zstd",
            defaultValue = "auto",
            description =
                    "Compress checkpoints: where that is quicker on this link, never, or all that"
                            + " shrink (default: ${DEFAULT-VALUE}).")
    private MigrateRequest.Compress compress;

    @Option(
            names = "--arbiter",
            paramLabel = "none|operator",
            defaultValue = "operator",
            description =
                    "Who decides when the nodes no longer hear each other (default:"
                            + " ${DEFAULT-VALUE}).")
    private RemusRequest.ArbiterKind arbiter;

    @Option(
            names = "--heartbeat",
            paramLabel = "MS",
            defaultValue = "" + RemusRequest.OF_THE_NODE,
            showDefaultValue = Help.Visibility.NEVER,
            description =
                    "A sign of life is sent this often (default: the node's setting, "
                            + RemusRequest.HEARTBEAT_MILLIS_DEFAULT
                            + " ms).")
    private int heartbeat;

    @Option(
            names = "--deadline",
            paramLabel = "MS",
            defaultValue = "" + RemusRequest.OF_THE_NODE,
            showDefaultValue = Help.Visibility.NEVER,
            description =
                    "A node silent for this long is lost (default: the node's setting, "
                            + RemusRequest.DEADLINE_MILLIS_DEFAULT
                            + " ms).")
    private int deadline;

    @Option(
            names = "--once",
            description = "Do not look for another node when protection is lost, on neither side.")
    private boolean once;

    @Option(
            names = "--tee",
            paramLabel = "FILE",
            description = "Copy the bulk stream to this file; needs --plain.")
    private String tee;

    @Option(
            names = "--no-wait",
            description = "Return as soon as the node has begun; `holdfast status` shows the rest.")
    private boolean noWait;

    RemusCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    void run() {
        RemusRequest request =
                RemusRequest.of(domain, nodes.getFirst())
                        .withInterval(interval)
                        .withHeldOutput(!noNet)
                        .withPlain(plain)
                        .withTee(tee == null ? null : holdfast.surroundings.path(tee).toString())
                        .withArbiter(arbiter)
                        .withDeadline(heartbeat, deadline)
                        .withOthers(nodes.subList(1, nodes.size()))
                        .withAfterLoss(
                                once
                                        ? RemusRequest.AfterLoss.STAY_ALONE
                                        : RemusRequest.AfterLoss.PROTECT_AGAIN)
                        .withCompress(compress);
        if (noWait) {
            begin(request);
            return;
        }
        DomainStatus status;
        try (ProgressView view =
                new ProgressView(
                        holdfast.surroundings,
                        "the node goes on; `holdfast status "
                                + domain
                                + "` shows it, `holdfast unprotect "
                                + domain
                                + "` ends it")) {
            status = holdfast.node().remus(request, view);
        }
        answer(status, sentence(status));
    }

    static String sentence(DomainStatus status) {
        if (status.protection() == null) {
            throw ApiException.failed(
                    status.name() + " is not protected: " + Figures.lastEvent(status), null);
        }
        String tracker =
                status.protection().tracker() == null
                        ? "unknown"
                        : status.protection().tracker().kind();
        return status.name()
                + " is protected by "
                + status.protection().peer()
                + ": epoch "
                + status.protection().intervalMillis()
                + " ms, tracker "
                + tracker
                + (status.protection().holdOutput() ? "" : ", output not held");
    }

    /** Leaves at the first sign that the node has begun; what was started goes on. */
    private void begin(RemusRequest request) {
        try {
            holdfast.node().remus(request, new FirstWord());
        } catch (Begun e) {
            hint(e.getMessage());
        }
        answer(
                Map.of("begun", request.domain(), "node", request.node()),
                request.domain()
                        + ": protection by "
                        + request.node()
                        + " has begun; `holdfast status "
                        + request.domain()
                        + "` shows when it is there");
    }

    private static final class FirstWord implements ProgressListener {
        @Override
        public void progress(Progress progress) {
            throw new Begun(progress.text());
        }
    }

    /** Not a failure: the way out of a call whose end nobody waits for. */
    private static final class Begun extends RuntimeException {
        private static final long serialVersionUID = 1;

        Begun(String text) {
            super(text, null, false, false);
        }
    }
}
