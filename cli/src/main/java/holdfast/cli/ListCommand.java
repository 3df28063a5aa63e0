package holdfast.cli;

import holdfast.node.api.DomainStatus;

import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

import java.util.List;
import java.util.Map;

/** {@code holdfast list}. */
@Command(
        name = "list",
        description = "Show the domains of this node, replicas included.",
        footer = {
            "",
            "Example:",
            "  holdfast list --json | jq -r '.domains[] | select(.role==\"primary\") | .name'"
        })
final class ListCommand extends NodeCommand {
    @Option(names = "--names", description = "Print only the names, one a line.")
    private boolean names;

    ListCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    void run() {
        List<DomainStatus> domains = holdfast.node().list();
        if (names) {
            domains.forEach(domain -> say(domain.name()));
        } else if (json()) {
            answer(Map.of("domains", domains), "");
        } else if (domains.isEmpty()) {
            hint("no domains on this node; `holdfast create FILE` starts one");
        } else {
            Table table = new Table("NAME", "STATE", "ROLE", "PEER", "MEMORY", "VCPUS", "PROCESS");
            for (DomainStatus domain : domains) {
                boolean paired =
                        domain.role() == DomainStatus.Role.PRIMARY
                                || domain.role() == DomainStatus.Role.SECONDARY;
                table.row(
                        domain.name(),
                        domain.state().text(),
                        domain.role().text(),
                        paired && domain.protection() != null
                                ? domain.protection().peer()
                                : looking(domain),
                        domain.memoryMib() + " MiB",
                        String.valueOf(domain.vcpus()),
                        domain.pid() == 0 ? "-" : String.valueOf(domain.pid()));
            }
            table.lines().forEach(this::say);
        }
    }

    /** In the peer's place: whether one is looked for. */
    private static String looking(DomainStatus domain) {
        return switch (domain.reprotection().state()) {
            case OFF, PROTECTED -> "-";
            case LOOKING, PROTECTING -> "looking";
        };
    }
}
