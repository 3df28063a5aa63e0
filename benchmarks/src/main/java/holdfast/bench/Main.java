package holdfast.bench;

import picocli.CommandLine;
import picocli.CommandLine.Command;

/** {@code ./bench NAME [--json]}. */
@Command(
        name = "bench",
        description = "Measures Holdfast beside its peer, in one run.",
        mixinStandardHelpOptions = true,
        subcommands = {
            CodecCommand.class,
            DiskApplyCommand.class,
            DiskCommand.class,
            NbdCommand.class,
            MigrateCommand.class,
            RemusCommand.class
        },
        synopsisSubcommandLabel = "NAME")
public final class Main {
    private Main() {}

    public static void main(String[] arguments) {
        System.exit(new CommandLine(new Main()).execute(arguments));
    }
}
