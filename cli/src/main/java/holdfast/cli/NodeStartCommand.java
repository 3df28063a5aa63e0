package holdfast.cli;

import holdfast.node.Daemon;
import holdfast.node.api.ApiClient;
import holdfast.node.api.ApiException;
import holdfast.node.api.NodeInfo;
import holdfast.node.config.NodeFile;
import holdfast.node.store.StateDirectory;

import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** {@code holdfast node start}. */
@Command(
        name = "start",
        description = "Start the daemon of this machine; returns when it answers.",
        footer = {
            "",
            "Example:",
            "  holdfast node start",
            "  holdfast node start --name hostA --listen 10.0.0.1:7227 --foreground"
        })
final class NodeStartCommand extends NodeCommand {
    private static final long ANSWER_SECONDS = 30;
    private static final long LOOK_MILLIS = 50;

    @Option(
            names = "--foreground",
            description = "Stay in the foreground and log to standard error.")
    private boolean foreground;

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description = "The node's settings (YAML; docs/cli.md has every key).")
    private String config;

    @Option(
            names = "--name",
            paramLabel = "NAME",
            description = "The node's name (default: the host's).")
    private String name;

    @Option(
            names = "--listen",
            paramLabel = "HOST:PORT",
            description = "Where other nodes reach this one (default: 0.0.0.0:7227).")
    private String listen;

    @Option(
            names = "--replica-directory",
            paramLabel = "DIR",
            description =
                    "Where replicas of other nodes' disks lie, as DIR/DOMAIN/diskN.raw"
                            + " (default: where each domain's description says).")
    private String replicaDirectory;

    NodeStartCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    void run() {
        NodeFile settings = settings();
        StateDirectory state =
                holdfast.stateOption()
                        .or(settings::stateDirectory)
                        .map(StateDirectory::new)
                        .orElseGet(holdfast::state);
        if (foreground) {
            Daemon.run(settings, state);
            return;
        }
        refuseSecond(state);
        state.create();
        Process starter = detach(state);
        NodeInfo info = awaitAnswer(state, starter);
        answer(
                info,
                "node "
                        + info.name()
                        + " listens on "
                        + info.listen()
                        + ", process "
                        + info.pid()
                        + ", log "
                        + state.log());
    }

    private NodeFile settings() {
        NodeFile file =
                config == null
                        ? NodeFile.defaults()
                        : NodeFile.read(holdfast.surroundings.path(config));
        return file.with(
                Optional.ofNullable(name), Optional.ofNullable(listen), replicaDirectory());
    }

    private Optional<Path> replicaDirectory() {
        return Optional.ofNullable(replicaDirectory)
                .map(holdfast.surroundings::path)
                .map(Path::toAbsolutePath);
    }

    private static void refuseSecond(StateDirectory state) {
        try {
            NodeInfo running = new ApiClient(state.socket()).nodeInfo();
            throw new ApiException(
                    ApiException.Kind.EXISTS,
                    "node "
                            + running.name()
                            + " runs already, process "
                            + running.pid()
                            + "; `holdfast node stop` ends it");
        } catch (ApiException e) {
            if (e.kind() != ApiException.Kind.MISSING) {
                throw e;
            }
        }
    }

    /**
     * Starts this very program again, in a session of its own: neither the end of this terminal nor
     * Ctrl-C reaches it.
     */
    private Process detach(StateDirectory state) {
        List<String> command = new ArrayList<>(List.of("setsid"));
        command.addAll(launcher());
        command.addAll(List.of("node", "start", "--foreground"));
        // Where they are two none was given, and the daemon finds the same two by itself.
        if (state.path().equals(state.volatilePath())) {
            command.addAll(List.of("--state-dir", state.path().toString()));
        }
        if (config != null) {
            command.addAll(List.of("--config", holdfast.surroundings.path(config).toString()));
        }
        if (name != null) {
            command.addAll(List.of("--name", name));
        }
        if (listen != null) {
            command.addAll(List.of("--listen", listen));
        }
        replicaDirectory()
                .ifPresent(path -> command.addAll(List.of("--replica-directory", path.toString())));
        ProcessBuilder builder =
                new ProcessBuilder(command)
                        .directory(Path.of("/").toFile())
                        .redirectInput(Path.of("/dev/null").toFile())
                        .redirectOutput(ProcessBuilder.Redirect.appendTo(state.log().toFile()))
                        .redirectError(ProcessBuilder.Redirect.appendTo(state.log().toFile()));
        try {
            return builder.start();
        } catch (IOException e) {
            throw new ApiException(
                    ApiException.Kind.MISSING,
                    "cannot start the daemon: " + e.getMessage(),
                    "apt-get install util-linux",
                    e);
        }
    }

    /** The launcher script where there is one, else this Java with its own options. */
    private static List<String> launcher() {
        String script = System.getProperty("holdfast.command", "");
        if (!script.isEmpty()) {
            return List.of(script);
        }
        return List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path"),
                Main.class.getName());
    }

    private static NodeInfo awaitAnswer(StateDirectory state, Process starter) {
        ApiClient client = new ApiClient(state.socket());
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(ANSWER_SECONDS);
        while (System.nanoTime() < deadline) {
            try {
                return client.nodeInfo();
            } catch (ApiException e) {
                if (e.kind() != ApiException.Kind.MISSING) {
                    throw e;
                }
            }
            if (ended(starter)) {
                throw ApiException.failed(
                        "the daemon ended at once ("
                                + lastWords(state)
                                + "); its log is "
                                + state.log(),
                        null);
            }
        }
        throw ApiException.failed(
                "the daemon, process "
                        + starter.pid()
                        + ", does not answer after "
                        + ANSWER_SECONDS
                        + " s; its log is "
                        + state.log(),
                null);
    }

    /** Waits a moment for the daemon's end. */
    private static boolean ended(Process starter) {
        try {
            return starter.waitFor(LOOK_MILLIS, TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw ApiException.failed("interrupted while the daemon starts", e);
        }
    }

    private static String lastWords(StateDirectory state) {
        try (Stream<String> lines = Files.lines(state.log())) {
            return lines.filter(line -> !line.isBlank())
                    .reduce((_, last) -> last)
                    .orElse("it said nothing");
        } catch (IOException e) {
            return "and its log cannot be read: " + e.getMessage();
        }
    }
}
