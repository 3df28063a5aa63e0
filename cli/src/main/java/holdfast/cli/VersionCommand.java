package holdfast.cli;

import holdfast.node.api.Version;

import picocli.CommandLine;
import picocli.CommandLine.Command;

import java.util.Map;

/** {@code holdfast version}. */
@Command(
        name = "version",
        description = "Show the version of Holdfast and of the Java it runs on.",
        footer = {"", "Example:", "  holdfast version --json"})
final class VersionCommand extends NodeCommand implements CommandLine.IVersionProvider {
    VersionCommand(Holdfast holdfast) {
        super(holdfast);
    }

    /** For picocli's {@code --version}, which makes one without a command line. */
    VersionCommand() {
        super(null);
    }

    @Override
    public String[] getVersion() {
        return new String[] {"holdfast " + Version.current() + " (Java " + Runtime.version() + ")"};
    }

    @Override
    void run() {
        answer(
                Map.of("version", Version.current(), "java", Runtime.version().toString()),
                getVersion()[0]);
    }
}
