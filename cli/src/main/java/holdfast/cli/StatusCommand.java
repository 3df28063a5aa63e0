package holdfast.cli;

import holdfast.node.api.DomainStatus;
import holdfast.node.api.NodeApi;

import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code holdfast status}. */
@Command(
        name = "status",
        description = "Show one domain: what it does, how it is protected, what that costs.",
        footer = {
            "",
            "Example:",
            "  holdfast status web --watch",
            "  holdfast status web --json | jq .protection.pauseMicros"
        })
final class StatusCommand extends NodeCommand {
    @Parameters(paramLabel = "DOMAIN", description = "The domain's name.")
    private String domain;

    @Option(
            names = {"-w", "--watch"},
            description = "Go on showing it: at once when its state changes, else every second.")
    private boolean watch;

    @Option(
            names = "--times",
            paramLabel = "N",
            hidden = true,
            description = "With --watch: end after so many.")
    private long times = Long.MAX_VALUE;

    StatusCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    void run() {
        NodeApi node = holdfast.node();
        DomainStatus status = node.status(domain);
        show(status);
        for (long shown = 1; watch && shown < times; shown++) {
            status = node.awaitChange(domain, status.change(), 1_000);
            if (!json()) {
                say(
                        holdfast.surroundings.terminal() == Surroundings.Terminal.PRESENT
                                ? "\u001b[H\u001b[2J\u001b[A"
                                : "");
            }
            show(status);
        }
    }

    private void show(DomainStatus status) {
        answer(status, StatusText.of(status));
    }
}
