package holdfast.node;

import holdfast.node.api.ApiClient;
import holdfast.node.api.ApiException;
import holdfast.node.api.DomainStatus;

import java.io.IOException;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A host with a daemon that can be killed. */
final class TestDaemon implements AutoCloseable {
    private final TestHosts hosts;
    private final String name;
    private final int port;
    private final Path state;
    private List<String> inside = List.of();
    private Process daemon;

    TestDaemon(TestHosts hosts, String name) throws IOException {
        this(
                hosts,
                name,
                "127.0.0.1",
                "replicaDirectory: " + hosts.directory.resolve(name + "-replicas"));
    }

    /**
     * @param line of its settings
     */
    TestDaemon(TestHosts hosts, String name, String listen, String line) throws IOException {
        this.hosts = hosts;
        this.name = name;
        this.state = hosts.directory.resolve(name);
        try (ServerSocket free = new ServerSocket(0)) {
            port = free.getLocalPort();
        }
        Files.writeString(
                hosts.directory.resolve(name + "-node.yaml"),
                """
                name: %s
                listen: %s:%d
                stateDirectory: %s
                ramDirectory: %s
                hooksDirectory: %s
                %s
                """
                        .formatted(
                                name,
                                listen,
                                port,
                                state,
                                hosts.ram,
                                hosts.directory.resolve("hooks"),
                                line));
    }

    int port() {
        return port;
    }

    ApiClient client() {
        return new ApiClient(state.resolve("api.sock"));
    }

    void start() throws Exception {
        start(List.of());
    }

    /**
     * @param where the front of a command that runs the rest where the host is
     */
    void start(List<String> where) throws Exception {
        inside = where;
        List<String> command = new ArrayList<>(where);
        command.addAll(
                List.of(
                        ProcessHandle.current().info().command().orElseThrow(),
                        "--enable-native-access=ALL-UNNAMED",
                        "-XX:TieredStopAtLevel=1",
                        "-cp",
                        System.getProperty("java.class.path"),
                        "holdfast.node.Daemon",
                        hosts.directory.resolve(name + "-node.yaml").toString()));
        daemon =
                new ProcessBuilder(command)
                        .redirectOutput(ProcessBuilder.Redirect.INHERIT)
                        .redirectError(ProcessBuilder.Redirect.INHERIT)
                        .start();
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (true) {
            try {
                client().nodeInfo();
                return;
            } catch (ApiException e) {
                if (!daemon.isAlive() || System.nanoTime() - until > 0) {
                    throw new AssertionError("the daemon does not start", e);
                }
                Thread.sleep(50);
            }
        }
    }

    void kill() throws InterruptedException {
        daemon.destroyForcibly().waitFor();
    }

    @Override
    public void close() {
        if (daemon == null) {
            return;
        }
        try {
            if (!daemon.isAlive()) {
                start(inside);
            }
            for (DomainStatus domain : client().list()) {
                client().destroy(domain.name());
            }
            client().stopNode();
            if (!daemon.waitFor(20, TimeUnit.SECONDS)) {
                daemon.destroyForcibly().waitFor();
            }
        } catch (Exception e) {
            throw new AssertionError("cleaning up host " + name, e);
        }
    }
}
