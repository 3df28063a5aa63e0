package holdfast.cli;

import holdfast.node.Node;
import holdfast.node.api.ApiClient;
import holdfast.node.api.ApiServer;
import holdfast.node.api.DomainSource;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest;
import holdfast.node.store.StateDirectory;

import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * What the ahead-of-time cache is made from: two nodes in one process do, over loopback, what
 * daemons do, and short commands ask them. The build runs it once with {@code -XX:AOTCacheOutput};
 * a daemon that starts with that cache has its classes linked and its profiles at hand, so that its
 * first pause is not the one in which the virtual machine meets the code.
 *
 * <p>Needs no rights. Where QEMU is missing, or refuses, the engine's own rehearsals and the
 * commands are what is learned from; that is said and is no failure.
 */
public final class TrainingRun {
    private static final String DOMAIN = "training";
    private static final int MIGRATIONS = 4;
    private static final Duration PROTECTION = Duration.ofMillis(600);

    /** However busy the machine: a build waits no longer for what only saves time. */
    private static final Duration LIMIT = Duration.ofSeconds(6);

    private final Path directory;
    private final long until = System.nanoTime() + LIMIT.toNanos();

    private TrainingRun(Path directory) {
        this.directory = directory;
    }

    /**
     * @param arguments where it may put what it needs for a while: a directory, best in a memory
     *     file system, and short
     */
    public static void main(String[] arguments) throws IOException {
        Path directory = Files.createTempDirectory(Path.of(arguments[0]), "hf-t");
        try {
            new TrainingRun(directory).run();
        } finally {
            try (Stream<Path> left = Files.walk(directory)) {
                for (Path file : left.sorted(Comparator.reverseOrder()).toList()) {
                    Files.deleteIfExists(file);
                }
            }
        }
        System.exit(0);
    }

    private void run() {
        StateDirectory state = state("a");
        command(state, "--help");
        command(state, "version");
        command(state, "node", "status");
        try (Node a = start(state);
                Node b = start(state("b"));
                ApiServer _ = ApiServer.start(a, state.socket())) {
            command(state, "node", "status");
            command(state, "list");
            try {
                guest(a, b, state);
            } catch (RuntimeException e) {
                System.err.println("training without a guest: " + e.getMessage());
            } finally {
                for (Node node : List.of(a, b)) {
                    node.list().forEach(domain -> node.destroy(domain.name()));
                }
            }
        }
    }

    private StateDirectory state(String name) {
        StateDirectory state = new StateDirectory(directory.resolve(name));
        state.create();
        return state;
    }

    private Node start(StateDirectory state) {
        return Node.start(
                new Node.Settings(
                        state.path().getFileName().toString(),
                        "127.0.0.1",
                        0,
                        state,
                        directory,
                        Optional.empty(),
                        RemusRequest.HEARTBEAT_MILLIS_DEFAULT,
                        (int) LIMIT.toMillis(),
                        Node.Looks.NEVER,
                        directory.resolve("hooks")));
    }

    /** Firmware alone: it looks for something to boot, and that dirties memory. */
    private void guest(Node a, Node b, StateDirectory state) {
        new ApiClient(state.socket())
                .create(
                        new DomainSource(
                                directory.resolve("training.yaml").toString(),
                                """
                                name: %s
                                memory: 64MiB
                                accelerator: tcg
                                nics: [{user: true, mac: "52:54:00:12:34:56"}]
                                """
                                        .formatted(DOMAIN)));
        command(state, "status", DOMAIN);
        command(state, "--json", "list");
        Node from = a;
        Node to = b;
        for (int i = 0; i < MIGRATIONS && System.nanoTime() < until; i++) {
            from.migrate(
                    MigrateRequest.of(DOMAIN, "127.0.0.1:" + to.port()), ProgressListener.none());
            Node was = from;
            from = to;
            to = was;
        }
        protect(from, to);
    }

    private static void protect(Node from, Node to) {
        from.remus(RemusRequest.of(DOMAIN, "127.0.0.1:" + to.port()), ProgressListener.none());
        watch(from, PROTECTION);
        to.failover(DOMAIN);
    }

    /** As a status that is being watched does. */
    private static void watch(Node node, Duration time) {
        long until = System.nanoTime() + time.toNanos();
        long change = 0;
        for (long left = time.toMillis();
                left > 0;
                left = (until - System.nanoTime()) / 1_000_000) {
            change = node.awaitChange(DOMAIN, change, left).change();
        }
    }

    private void command(StateDirectory state, String... arguments) {
        PrintStream nowhere =
                new PrintStream(OutputStream.nullOutputStream(), false, StandardCharsets.UTF_8);
        Main.run(
                List.of(arguments),
                new Surroundings(
                        System.in,
                        nowhere,
                        nowhere,
                        Surroundings.Terminal.ABSENT,
                        Map.of(StateDirectory.VARIABLE, state.path().toString()),
                        System.getProperty("user.name"),
                        directory,
                        ApiClient::new));
    }
}
