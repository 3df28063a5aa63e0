package holdfast.cli;

import holdfast.node.api.DomainStatus;

import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/** {@code holdfast pause}. */
@Command(
        name = "pause",
        description = "Suspend a domain's guest. A protected one stays protected.",
        footer = {"", "Example:", "  holdfast pause web"})
final class PauseCommand extends NodeCommand {
    @Parameters(paramLabel = "DOMAIN", description = "The domain's name.")
    private String domain;

    PauseCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    void run() {
        DomainStatus status = holdfast.node().pause(domain);
        answer(status, status.name() + " is " + status.state().text());
    }
}
