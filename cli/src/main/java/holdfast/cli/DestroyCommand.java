package holdfast.cli;

import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

import java.util.Map;

/** {@code holdfast destroy}. */
@Command(
        name = "destroy",
        description =
                "End a domain at once, without asking its guest, and forget it. On a secondary:"
                        + " discard the replica.",
        footer = {"", "Example:", "  holdfast destroy web"})
final class DestroyCommand extends NodeCommand {
    @Parameters(paramLabel = "DOMAIN", description = "The domain's name.")
    private String domain;

    DestroyCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    void run() {
        holdfast.node().destroy(domain);
        answer(Map.of("destroyed", domain), domain + " is destroyed");
    }
}
