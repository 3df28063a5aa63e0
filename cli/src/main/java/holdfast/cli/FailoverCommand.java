package holdfast.cli;

import holdfast.node.api.DomainStatus;

import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/** {@code holdfast failover}. */
@Command(
        name = "failover",
        description =
                "Make the replica on this node the domain. A primary that still answers stops"
                    + " first; where it does not answer, you say by this that it is dead: if it is"
                    + " not, two copies run.",
        footer = {"", "Example:", "  holdfast failover web"})
final class FailoverCommand extends NodeCommand {
    @Parameters(paramLabel = "DOMAIN", description = "The domain's name.")
    private String domain;

    FailoverCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    void run() {
        DomainStatus status = holdfast.node().failover(domain);
        answer(status, status.name() + " runs on " + status.node() + " as " + status.role().text());
    }
}
