package holdfast.cli;

import holdfast.cli.demo.DemoCommand;

import picocli.CommandLine;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * Every command by its name. A command's class is loaded only when it is asked for: start-up is
 * most of a short command's time.
 */
final class Commands {
    private static final Map<String, Function<Holdfast, CommandLine>> ALL = new LinkedHashMap<>();

    static {
        ALL.put("node", Commands::node);
        ALL.put("create", holdfast -> new CommandLine(new CreateCommand(holdfast)));
        ALL.put("attach", holdfast -> new CommandLine(new AttachCommand(holdfast)));
        ALL.put("list", holdfast -> new CommandLine(new ListCommand(holdfast)));
        ALL.put("status", holdfast -> new CommandLine(new StatusCommand(holdfast)));
        ALL.put("pause", holdfast -> new CommandLine(new PauseCommand(holdfast)));
        ALL.put("unpause", holdfast -> new CommandLine(new UnpauseCommand(holdfast)));
        ALL.put("destroy", holdfast -> new CommandLine(new DestroyCommand(holdfast)));
        ALL.put("save", holdfast -> new CommandLine(new SaveCommand(holdfast)));
        ALL.put("restore", holdfast -> new CommandLine(new RestoreCommand(holdfast)));
        ALL.put("migrate", holdfast -> new CommandLine(new MigrateCommand(holdfast)));
        ALL.put("remus", holdfast -> new CommandLine(new RemusCommand(holdfast)));
        ALL.put("unprotect", holdfast -> new CommandLine(new UnprotectCommand(holdfast)));
        ALL.put("failover", holdfast -> new CommandLine(new FailoverCommand(holdfast)));
        ALL.put("stream", Commands::stream);
        ALL.put(
                "migrate-receive",
                holdfast -> new CommandLine(new MigrateReceiveCommand(holdfast)));
        ALL.put("demo", _ -> new CommandLine(new DemoCommand()));
        ALL.put("simulate", holdfast -> new CommandLine(new SimulateCommand(holdfast)));
        ALL.put("completion", holdfast -> new CommandLine(new CompletionCommand(holdfast)));
        ALL.put("version", holdfast -> new CommandLine(new VersionCommand(holdfast)));
    }

    private Commands() {}

    private static CommandLine node(Holdfast holdfast) {
        return new CommandLine(new NodeCommands())
                .addSubcommand("start", new NodeStartCommand(holdfast))
                .addSubcommand("stop", new NodeStopCommand(holdfast))
                .addSubcommand("status", new NodeStatusCommand(holdfast));
    }

    private static CommandLine stream(Holdfast holdfast) {
        return new CommandLine(new StreamCommands())
                .addSubcommand("inspect", new StreamInspectCommand(holdfast))
                .addSubcommand("verify", new StreamVerifyCommand(holdfast));
    }

    /**
     * The command line for these arguments: with the one command they name, or with all where none
     * is named.
     */
    static CommandLine forArguments(Surroundings surroundings, List<String> arguments) {
        Holdfast holdfast = new Holdfast(surroundings);
        CommandLine line = new CommandLine(holdfast);
        String named = named(arguments);
        for (Map.Entry<String, Function<Holdfast, CommandLine>> command : ALL.entrySet()) {
            if (named == null || named.equals(command.getKey())) {
                line.addSubcommand(command.getKey(), command.getValue().apply(holdfast));
            }
        }
        return line;
    }

    private static String named(List<String> arguments) {
        for (int i = 0; i < arguments.size(); i++) {
            String argument = arguments.get(i);
            if (argument.equals("-D") || argument.equals("--state-dir")) {
                i++;
            } else if (ALL.containsKey(argument)) {
                return argument;
            } else if (!argument.startsWith("-D") && !argument.startsWith("--state-dir=")) {
                return null;
            }
        }
        return null;
    }
}
