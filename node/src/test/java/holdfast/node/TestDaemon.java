package holdfast.node;

import holdfast.node.api.ApiClient;
import holdfast.node.api.ApiException;
import holdfast.node.api.DomainStatus;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A host with a daemon that can be killed. */
final class TestDaemon implements AutoCloseable {
    /**
     * Where a daemon lives.
     *
     * @param address that it listens on
     * @param within the command that runs another one there; empty for here
     * @param ram where guest memory lies
     * @param path searched for programs before the usual places; empty for nothing
     */
    record Site(String address, List<String> within, Path ram, String path) {
        static Site here(TestHosts hosts) {
            return new Site("127.0.0.1", List.of(), hosts.ram, "");
        }
    }

    private final TestHosts hosts;
    private final String name;
    private final Site site;
    private final ReservedPort reserved;
    private final Path state;
    private Process daemon;

    TestDaemon(TestHosts hosts, String name) throws IOException {
        this(hosts, name, Site.here(hosts));
    }

    TestDaemon(TestHosts hosts, String name, Site site) throws IOException {
        this(hosts, name, site, "replicaDirectory: " + hosts.directory.resolve(name + "-replicas"));
    }

    /**
     * @param line of its settings; may be empty
     */
    TestDaemon(TestHosts hosts, String name, Site site, String line) throws IOException {
        this.hosts = hosts;
        this.name = name;
        this.site = site;
        this.state = hosts.directory.resolve(name);
        this.reserved = site.within().isEmpty() ? ReservedPort.here() : ReservedPort.inNamespace();
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
                                site.address(),
                                reserved.port(),
                                state,
                                site.ram(),
                                hosts.directory.resolve("hooks"),
                                line));
    }

    int port() {
        return reserved.port();
    }

    InetSocketAddress address() {
        return new InetSocketAddress(site.address(), reserved.port());
    }

    /** Its state directory. */
    Path state() {
        return state;
    }

    long pid() {
        return daemon.pid();
    }

    boolean isAlive() {
        return daemon.isAlive();
    }

    ApiClient client() {
        return new ApiClient(state.resolve("api.sock"));
    }

    TestDaemon start() throws Exception {
        List<String> command = new ArrayList<>(site.within());
        command.addAll(
                List.of(
                        ProcessHandle.current().info().command().orElseThrow(),
                        "--enable-native-access=ALL-UNNAMED",
                        "-XX:TieredStopAtLevel=1",
                        "-cp",
                        System.getProperty("java.class.path"),
                        "holdfast.node.Daemon",
                        hosts.directory.resolve(name + "-node.yaml").toString()));
        ProcessBuilder builder =
                new ProcessBuilder(command)
                        .redirectOutput(ProcessBuilder.Redirect.INHERIT)
                        .redirectError(ProcessBuilder.Redirect.INHERIT);
        if (!site.path().isEmpty()) {
            builder.environment().merge("PATH", site.path(), (was, more) -> more + ":" + was);
        }
        daemon = builder.start();
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (true) {
            try {
                client().nodeInfo();
                return this;
            } catch (ApiException e) {
                if (!daemon.isAlive() || System.nanoTime() - until > 0) {
                    throw new AssertionError("the daemon does not start", e);
                }
                Thread.sleep(50);
            }
        }
    }

    /** {@code STOP} lets it stand still with all its connections, {@code CONT} go on. */
    void signal(String name) throws Exception {
        int status =
                new ProcessBuilder("kill", "-" + name, Long.toString(daemon.pid()))
                        .inheritIO()
                        .start()
                        .waitFor();
        if (status != 0) {
            throw new AssertionError("kill -" + name + ": exit status " + status);
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
        try (reserved) {
            if (!daemon.isAlive()) {
                start();
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
