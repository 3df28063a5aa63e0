package holdfast.cli;

import holdfast.node.api.DomainStatus;
import holdfast.node.api.RestoreRequest;

import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

import java.util.Map;
import java.util.TreeMap;

/** {@code holdfast restore}. */
@Command(
        name = "restore",
        description = "Start a domain from what `holdfast save` wrote.",
        footer = {
            "",
            "Example:",
            "  holdfast restore /var/tmp/web.save --path /images=/srv/images"
        })
final class RestoreCommand extends NodeCommand {
    @Parameters(paramLabel = "FILE", description = "A saved domain.")
    private String file;

    @Option(
            names = "--name",
            paramLabel = "NAME",
            description = "The domain's name here (default: the one it was saved with).")
    private String name;

    @Option(
            names = "--path",
            paramLabel = "OLD=NEW",
            description =
                    "A file or directory of the description is elsewhere here; may be repeated.")
    private Map<String, String> paths = Map.of();

    RestoreCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    void run() {
        Map<String, String> moved = new TreeMap<>();
        paths.forEach((from, to) -> moved.put(from, holdfast.surroundings.path(to).toString()));
        DomainStatus status;
        try (ProgressView view =
                new ProgressView(
                        holdfast.surroundings, "the restore goes on; `holdfast list` shows it")) {
            status =
                    holdfast.node()
                            .restore(
                                    new RestoreRequest(
                                            holdfast.surroundings.path(file).toString(),
                                            name,
                                            moved),
                                    view);
        }
        answer(
                status,
                status.name()
                        + " is "
                        + status.state().text()
                        + " on "
                        + status.node()
                        + ", process "
                        + status.pid());
    }
}
