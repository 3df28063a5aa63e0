package holdfast.cli;

import holdfast.node.api.ApiJson;

import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

import java.util.concurrent.Callable;

/** What every command has: its surroundings, {@code --help} and {@code --json}. */
@Command
abstract class NodeCommand implements Callable<Integer> {
    final Holdfast holdfast;

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            description = "Show this and exit.")
    private boolean help;

    @Option(
            names = "--json",
            description = "Print one JSON object a line, as docs/cli.md describes.")
    private boolean json;

    NodeCommand(Holdfast holdfast) {
        this.holdfast = holdfast;
    }

    /** Does the work; what fails is thrown. */
    abstract void run();

    @Override
    public Integer call() {
        run();
        return 0;
    }

    boolean json() {
        return json;
    }

    void say(String line) {
        holdfast.surroundings.out().println(line);
    }

    void hint(String line) {
        holdfast.surroundings.err().println(line);
    }

    /** The answer: as JSON where that is asked for, else the sentence. */
    void answer(Object value, String sentence) {
        say(json ? ApiJson.write(value) : sentence);
    }
}
