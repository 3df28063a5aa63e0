package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.ConnectException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Two hosts as network namespaces, each with a cable to this process, which alone can reach both.
 */
final class Cable implements AutoCloseable {
    /** An end of it. */
    enum End {
        A(1),
        B(2);

        private final int net;

        End(int net) {
            this.net = net;
        }

        String host() {
            return network() + ".2";
        }

        /** Another one for each process: several may lay cables at once. */
        private String network() {
            return "10.80." + (ProcessHandle.current().pid() % 120 * 2 + net);
        }

        /** This process's own address there. */
        String here() {
            return network() + ".1";
        }
    }

    private static final int NOBODYS_PORT = 9;
    private static final int CONNECT_MILLIS = 500;

    private final List<String> namespaces = new ArrayList<>();
    private final List<String> ports = new ArrayList<>();

    Cable() throws IOException {
        try {
            for (End end : End.values()) {
                run("ip", "netns", "add", namespace(end));
                namespaces.add(namespace(end));
                run(
                        "ip",
                        "link",
                        "add",
                        port(end),
                        "type",
                        "veth",
                        "peer",
                        "name",
                        "eth0",
                        "netns",
                        namespace(end));
                ports.add(port(end));
                run("ip", "addr", "add", end.here() + "/30", "dev", port(end));
                run("ip", "link", "set", port(end), "up");
                String in = namespace(end);
                run("ip", "-n", in, "link", "set", "lo", "up");
                run("ip", "-n", in, "addr", "add", end.host() + "/30", "dev", "eth0");
                run("ip", "-n", in, "link", "set", "eth0", "up");
            }
        } catch (IOException | AssertionError e) {
            close();
            throw e;
        }
    }

    /** A host of {@code hosts} at that end. */
    TestDaemon.Site site(End end, TestHosts hosts) {
        return new TestDaemon.Site(
                end.host(), List.of("ip", "netns", "exec", namespace(end)), hosts.ram, "");
    }

    /** What a host sends takes so long from now on. */
    void bound(End from, int megabitsPerSecond) throws IOException {
        run(
                "ip",
                "netns",
                "exec",
                namespace(from),
                "tc",
                "qdisc",
                "replace",
                "dev",
                "eth0",
                "root",
                "tbf",
                "rate",
                megabitsPerSecond + "mbit",
                "burst",
                "16kb",
                "latency",
                "400ms");
    }

    /** As fast as it can again. */
    void unbound(End from) throws IOException {
        run(
                "ip",
                "netns",
                "exec",
                namespace(from),
                "tc",
                "qdisc",
                "replace",
                "dev",
                "eth0",
                "root",
                "pfifo");
    }

    /** Nothing reaches either host from now on, and nobody is told. */
    void cut() throws IOException {
        for (End end : End.values()) {
            run("ip", "link", "set", port(end), "down");
        }
    }

    /** Returns when both hosts can be reached again: a port that comes up is not there at once. */
    void restore() throws IOException, InterruptedException {
        for (End end : End.values()) {
            run("ip", "link", "set", port(end), "up");
        }
        for (End end : End.values()) {
            MigratingPair.await("the host at " + end.host(), () -> answers(end.host()));
        }
    }

    /** A refusal is an answer, too. */
    private static boolean answers(String host) {
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(host, NOBODYS_PORT), CONNECT_MILLIS);
            return true;
        } catch (ConnectException e) {
            return String.valueOf(e.getMessage()).contains("refused");
        } catch (IOException e) {
            return false;
        }
    }

    private static String namespace(End end) {
        return "hfcut" + ProcessHandle.current().pid() + end;
    }

    private static String port(End end) {
        return "hfc" + ProcessHandle.current().pid() + end;
    }

    private static void run(String... command) throws IOException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.onExit().join().exitValue())
                .as(String.join(" ", command) + ": " + said)
                .isZero();
    }

    /**
     * A namespace outlives its name as long as a connection in it waits for a peer that died: with
     * its cable the addresses are free for the next one.
     */
    @Override
    public void close() throws IOException {
        for (String port : ports) {
            run("ip", "link", "del", port);
        }
        ports.clear();
        for (String namespace : namespaces) {
            run("ip", "netns", "del", namespace);
        }
        namespaces.clear();
    }
}
