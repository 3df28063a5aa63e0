package holdfast.qemu.launch;

import holdfast.engine.HypervisorException;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** Taps in the network namespace of this process, made with the {@code ip} program. */
public final class Taps {
    private static final Duration LIMIT = Duration.ofSeconds(5);

    private static final Pattern MASTER = Pattern.compile("\\bmaster (\\S+)");

    private static final Pattern VIRTIO_HEADERS = Pattern.compile("\\bvnet_hdr on\\b");

    private static final Path INTERFACES = Path.of("/proc/thread-self/net/dev");

    private static final Pattern BUSY =
            Pattern.compile(
                    "could not configure /dev/net/tun \\(([^)]+)\\): Device or resource busy");

    private Taps() {}

    /**
     * Makes a tap that carries virtio headers and brings it up. After a failure no tap is left.
     *
     * @param bridge what to connect it to
     */
    public static void create(String tap, Optional<String> bridge) {
        DomainSpec.requireInterface("tap", tap);
        bridge.ifPresent(name -> DomainSpec.requireInterface("bridge", name));
        ip("create tap " + tap, "tuntap", "add", "dev", tap, "mode", "tap", "vnet_hdr");
        try {
            // A bridge takes the smallest address of its ports: with a tap's random one, the
            // host's own address would change under its connections, those between nodes included.
            ip("address " + tap, "link", "set", tap, "address", highAddress());
            if (bridge.isPresent()) {
                ip("connect " + tap, "link", "set", tap, "master", bridge.get());
            }
            ip("bring up " + tap, "link", "set", tap, "up");
        } catch (HypervisorException e) {
            try {
                remove(tap);
            } catch (HypervisorException alsoFailed) {
                e.addSuppressed(alsoFailed);
            }
            throw e;
        }
    }

    /**
     * Locally administered, and larger than an adapter's, a virtual one's with a random address
     * included; the host's end, not the guest's.
     */
    private static String highAddress() {
        byte[] random = new byte[3];
        new SecureRandom().nextBytes(random);
        return "fe:ff:ff:" + HexFormat.ofDelimiter(":").formatHex(random);
    }

    /** Removes a tap; one that is gone already is no failure. */
    public static void remove(String tap) {
        DomainSpec.requireInterface("tap", tap);
        if (exists(tap)) {
            ip("remove tap " + tap, "link", "delete", tap);
        }
    }

    /** The bridge that a tap is connected to, if it is. */
    public static Optional<String> bridgeOf(String tap) {
        DomainSpec.requireInterface("tap", tap);
        String text = ip("look at tap " + tap, "-o", "link", "show", "dev", tap);
        Matcher master = MASTER.matcher(text);
        return master.find() ? Optional.of(master.group(1)) : Optional.empty();
    }

    /** Whether frames have a virtio header before them where they pass between tap and QEMU. */
    static boolean carriesVirtioHeaders(String tap) {
        DomainSpec.requireInterface("tap", tap);
        String text = ip("look at tap " + tap, "-d", "link", "show", "dev", tap);
        return VIRTIO_HEADERS.matcher(text).find();
    }

    /** Whether an interface of this name is in this network namespace. */
    public static boolean exists(String name) {
        // Java lists only interfaces that have addresses; /sys may belong to another namespace.
        try (Stream<String> lines = Files.lines(INTERFACES)) {
            return lines.anyMatch(line -> line.strip().startsWith(name + ":"));
        } catch (IOException e) {
            throw new HypervisorException("list interfaces", "cannot read " + INTERFACES, e);
        }
    }

    private static String ip(String step, String... words) {
        List<String> command = new ArrayList<>(List.of("ip"));
        command.addAll(List.of(words));
        String line = String.join(" ", command);
        ShellCommand.Result result;
        try {
            result = ShellCommand.run(command, LIMIT);
        } catch (IOException e) {
            throw new HypervisorException(
                    step,
                    "cannot run "
                            + line
                            + " ("
                            + e.getMessage()
                            + "); on Debian: apt-get install iproute2",
                    e);
        }
        if (result.status() != 0) {
            throw new HypervisorException(
                    step, "'" + line + "' failed: " + result.text() + advice(result.text(), words));
        }
        return result.text();
    }

    /** What to do about a tap that QEMU could not have; empty where it says nothing of one. */
    static String adviceOnQemus(String text) {
        Matcher busy = BUSY.matcher(text);
        return busy.find()
                ? "; another process has tap "
                        + busy.group(1)
                        + " (`grep -lw "
                        + busy.group(1)
                        + " /proc/[0-9]*/fdinfo/*` names it): end that, or name another tap in"
                        + " `nics`"
                : "";
    }

    private static String advice(String text, String[] words) {
        String target = words[words.length - 1];
        if (text.contains("Operation not permitted")) {
            return "; this needs the capability CAP_NET_ADMIN: run as root, or"
                    + " give the service AmbientCapabilities=CAP_NET_ADMIN";
        }
        if (text.contains("/dev/net/tun")) {
            return "; load the driver: modprobe tun";
        }
        if (text.contains("busy")) {
            return "; an interface of this name is in use: ip link delete " + words[3];
        }
        if (text.contains("does not exist") || text.contains("Cannot find device")) {
            return "; make it with: ip link add "
                    + target
                    + " type bridge && ip link set "
                    + target
                    + " up";
        }
        return "";
    }
}
