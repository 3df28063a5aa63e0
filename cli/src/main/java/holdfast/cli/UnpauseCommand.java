package holdfast.cli;

import holdfast.node.api.DomainStatus;

import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/** {@code holdfast unpause}. */
@Command(
        name = "unpause",
        description = "Let a suspended guest go on.",
        footer = {"", "Example:", "  holdfast unpause web"})
final class UnpauseCommand extends NodeCommand {
    @Parameters(paramLabel = "DOMAIN", description = "The domain's name.")
    private String domain;

    UnpauseCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    void run() {
        DomainStatus status = holdfast.node().unpause(domain);
        answer(status, status.name() + " is " + status.state().text());
    }
}
