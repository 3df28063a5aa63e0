package holdfast.cli;

import holdfast.node.api.NodeApi;
import holdfast.node.store.StateDirectory;

import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;

import java.nio.file.Path;
import java.util.Optional;

/** The command without a subcommand, and the options that all share. */
@Command(
        name = "holdfast",
        description = "Keeps QEMU virtual machines running when their host dies.",
        synopsisSubcommandLabel = "COMMAND",
        mixinStandardHelpOptions = true,
        versionProvider = VersionCommand.class,
        scope = ScopeType.LOCAL,
        footer = {
            "",
            "Exit status: 0 done; 1 failed; 2 a wrong request: usage, a mistake in a file, an"
                    + " unknown domain or node, one that is",
            "protected already; 3 something is missing on this machine, the message says what and"
                    + " how to get it.",
            "",
            "Example:",
            "  holdfast node start && holdfast create examples/redis.yaml && holdfast remus redis"
                    + " hostB"
        })
final class Holdfast implements Runnable {
    final Surroundings surroundings;

    @Spec private CommandSpec spec;

    @Option(
            names = {"-D", "--state-dir"},
            paramLabel = "DIR",
            scope = ScopeType.INHERIT,
            description =
                    "The node's state directory (default: $"
                            + StateDirectory.VARIABLE
                            + ", else /var/lib/holdfast and /run/holdfast for root, else"
                            + " ~/.local/state/holdfast and $$XDG_RUNTIME_DIR/holdfast).")
    private Path stateDirectory;

    Holdfast(Surroundings surroundings) {
        this.surroundings = surroundings;
    }

    Optional<Path> stateOption() {
        return Optional.ofNullable(stateDirectory).map(path -> surroundings.path(path.toString()));
    }

    StateDirectory state() {
        return StateDirectory.choose(
                stateOption(), surroundings.user(), surroundings.environment());
    }

    NodeApi node() {
        return surroundings.connect().apply(state().socket());
    }

    @Override
    public void run() {
        throw new ParameterException(
                spec.commandLine(), "which command? `holdfast --help` lists them");
    }
}
