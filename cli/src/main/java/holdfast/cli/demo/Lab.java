package holdfast.cli.demo;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/**
 * Three hosts and a switch as network namespaces: nothing outside them is touched, and closing the
 * lab ends every process inside and removes them.
 *
 * <pre>
 *   client 10.77.0.1 ──┐
 *   host A 10.77.0.2 ──┼── br0 in the switch's namespace        guest 10.77.0.10, on br0 of the host it runs on
 *   host B 10.77.0.3 ──┘
 * </pre>
 */
public final class Lab implements AutoCloseable {
    /** The places of the lab. */
    public enum Host {
        SWITCH("s", ""),
        CLIENT("c", "10.77.0.1"),
        A("a", "10.77.0.2"),
        B("b", "10.77.0.3");

        private final String letter;
        private final String address;

        Host(String letter, String address) {
            this.letter = letter;
            this.address = address;
        }

        public String address() {
            return address;
        }
    }

    /** The bridge that guests are attached to, on hosts A and B. */
    public static final String BRIDGE = "br0";

    public static final String GUEST_ADDRESS = "10.77.0.10";

    private final String prefix;
    private final List<String> namespaces = new ArrayList<>();
    private boolean closed;

    private Lab(String prefix) {
        this.prefix = prefix;
    }

    /** Names carry this process's pid, so that several can stand side by side. */
    static Lab named() {
        return new Lab("hfdemo" + ProcessHandle.current().pid());
    }

    /** Builds it. What was built by then goes on {@link #close}, also after a failure. */
    void build() {
        for (Host host : Host.values()) {
            whileOpen(
                    () -> {
                        namespaces.add(namespace(host));
                        return Shell.run("ip", "netns", "add", namespace(host));
                    });
            ip(host, "link", "set", "lo", "up");
        }
        ip(Host.SWITCH, "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0");
        ip(Host.SWITCH, "link", "set", BRIDGE, "up");
        for (Host host : List.of(Host.CLIENT, Host.A, Host.B)) {
            String port = "port" + host.letter;
            ip(
                    Host.SWITCH,
                    "link",
                    "add",
                    port,
                    "type",
                    "veth",
                    "peer",
                    "name",
                    "eth0",
                    "netns",
                    namespace(host));
            ip(Host.SWITCH, "link", "set", port, "master", BRIDGE, "up");
            ip(host, "link", "set", "eth0", "up");
        }
        ip(Host.CLIENT, "addr", "add", Host.CLIENT.address + "/24", "dev", "eth0");
        for (Host host : List.of(Host.A, Host.B)) {
            ip(host, "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0");
            ip(host, "link", "set", BRIDGE, "up");
            ip(host, "link", "set", "eth0", "master", BRIDGE);
            ip(host, "addr", "add", host.address + "/24", "dev", BRIDGE);
        }
    }

    /** Runs {@code ip} on a host. */
    public void ip(Host host, String... arguments) {
        List<String> command = new ArrayList<>(List.of("ip", "-n", namespace(host)));
        command.addAll(List.of(arguments));
        whileOpen(() -> Shell.run(command));
    }

    /** What a host has sent over the switch by now, frames and all. */
    public long sentBytes(Host host) {
        String counter = "/sys/class/net/port" + host.letter + "/statistics/rx_bytes";
        return Long.parseLong(
                Shell.run("ip", "netns", "exec", namespace(Host.SWITCH), "cat", counter).strip());
    }

    /**
     * Performs a step that leaves something to clean up; never during or after the cleanup, which
     * another thread may do at any time.
     */
    public synchronized <T> T whileOpen(Supplier<T> step) {
        if (closed) {
            throw new DemoException("the demo is being ended");
        }
        return step.get();
    }

    /** Nothing reaches a host or leaves it from now on; what lives there is not told. */
    void silence(Host host) {
        ip(Host.SWITCH, "link", "set", "port" + host.letter, "down");
    }

    String namespace(Host host) {
        return prefix + host.letter;
    }

    /** The command line that runs {@code command} on a host. */
    public List<String> on(Host host, List<String> command) {
        List<String> inside = new ArrayList<>(List.of("ip", "netns", "exec", namespace(host)));
        inside.addAll(command);
        return inside;
    }

    /** The processes that live on a host. */
    List<Long> processes(Host host) {
        return Shell.attempt(List.of("ip", "netns", "pids", namespace(host)))
                .output()
                .lines()
                .filter(line -> line.matches("\\d+"))
                .map(Long::valueOf)
                .toList();
    }

    /**
     * Kills what lives in the namespaces, whatever it is: nothing but the lab's own processes can.
     */
    @Override
    public synchronized void close() {
        closed = true;
        for (Host host : Host.values()) {
            if (namespaces.contains(namespace(host))) {
                for (long pid : processes(host)) {
                    ProcessHandle.of(pid).ifPresent(Lab::kill);
                }
            }
        }
        for (String namespace : namespaces) {
            Shell.attempt(List.of("ip", "netns", "del", namespace));
        }
        namespaces.clear();
    }

    private static void kill(ProcessHandle process) {
        process.destroyForcibly();
        process.onExit()
                .orTimeout(5, java.util.concurrent.TimeUnit.SECONDS)
                .exceptionally(late -> process)
                .join();
    }
}
