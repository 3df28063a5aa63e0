package holdfast.cli;

import holdfast.node.api.DomainStatus;
import holdfast.node.api.ReprotectionStatus;

import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/** {@code holdfast unprotect}. */
@Command(
        name = "unprotect",
        description =
                "End a domain's protection in order: the replica is discarded, then all held output"
                    + " goes out, and no other node is looked for. Where the secondary is lost and"
                    + " the operator is the arbiter, this is the word to go on here alone; the node"
                    + " then looks for another secondary until it is said once more.",
        footer = {"", "Example:", "  holdfast unprotect web"})
final class UnprotectCommand extends NodeCommand {
    @Parameters(paramLabel = "DOMAIN", description = "The domain's name.")
    private String domain;

    UnprotectCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    void run() {
        DomainStatus status = holdfast.node().unprotect(domain);
        answer(
                status,
                status.name()
                        + " runs on "
                        + status.node()
                        + ", unprotected"
                        + (status.reprotection().state() == ReprotectionStatus.State.OFF
                                ? ""
                                : "; looking for a node that protects it, until `holdfast unprotect"
                                        + " "
                                        + status.name()
                                        + "` is said once more"));
    }
}
