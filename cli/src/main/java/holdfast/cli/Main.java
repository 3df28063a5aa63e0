package holdfast.cli;

import holdfast.node.api.ApiException;
import holdfast.node.config.ConfigException;
import holdfast.node.store.StoreException;

import picocli.CommandLine;

import java.io.PrintWriter;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;

/** Runs one command and turns its outcome into an exit status. */
public final class Main {
    /** Exit status: it was tried and failed. */
    static final int FAILED = 1;

    /** Exit status: the request itself is wrong. */
    static final int WRONG = 2;

    /** Exit status: this machine lacks something. */
    static final int MISSING = 3;

    private static final Pattern CONSTANTS =
            Pattern.compile("(\\[[A-Z_]+(?:, [A-Z_]+)*]) \\(case-insensitive\\)");

    private Main() {}

    public static void main(String[] arguments) {
        int status = run(List.of(arguments), Surroundings.ofThisProcess());
        System.out.flush();
        System.err.flush();
        System.exit(status);
    }

    static int run(List<String> arguments, Surroundings surroundings) {
        PrintWriter out = new PrintWriter(surroundings.out(), true);
        PrintWriter err = new PrintWriter(surroundings.err(), true);
        CommandLine line = Commands.forArguments(surroundings, arguments);
        line.setOut(out)
                .setErr(err)
                .setUsageHelpAutoWidth(false)
                .setUsageHelpWidth(120)
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setAbbreviatedOptionsAllowed(false)
                .setParameterExceptionHandler(
                        (e, _) -> {
                            err.println("holdfast: " + asTyped(e.getMessage()));
                            CommandLine.UnmatchedArgumentException.printSuggestions(e, err);
                            err.println(
                                    "  "
                                            + e.getCommandLine().getCommandSpec().qualifiedName()
                                            + " --help says how");
                            return WRONG;
                        })
                .setExecutionExceptionHandler((e, _, _) -> failed(e, surroundings));
        int status = line.execute(arguments.toArray(String[]::new));
        out.flush();
        err.flush();
        return status;
    }

    /** picocli lists choices by the names of Java's constants. */
    private static String asTyped(String message) {
        return CONSTANTS
                .matcher(message)
                .replaceAll(found -> found.group(1).toLowerCase(Locale.ROOT).replace('_', '-'));
    }

    private static int failed(Exception e, Surroundings surroundings) {
        if (surroundings.environment().containsKey("HOLDFAST_TRACE")) {
            e.printStackTrace(surroundings.err());
        }
        return switch (e) {
            case ApiException refused -> {
                surroundings.err().println("holdfast: " + refused.getMessage());
                if (!refused.fix().isEmpty()) {
                    surroundings.err().println("  try: " + refused.fix());
                }
                yield refused.kind().exitStatus();
            }
            case ConfigException mistakes -> {
                surroundings.err().println("holdfast: " + mistakes.getMessage());
                yield WRONG;
            }
            case StoreException missing -> {
                surroundings.err().println("holdfast: " + missing.getMessage());
                yield MISSING;
            }
            default -> {
                surroundings
                        .err()
                        .println(
                                "holdfast: "
                                        + e
                                        + " (a defect of Holdfast's; HOLDFAST_TRACE=1 shows"
                                        + " where)");
                yield FAILED;
            }
        };
    }
}
