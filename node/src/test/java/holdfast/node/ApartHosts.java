package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * Two hosts that share a directory and no more: each has an {@code images} of its own under one
 * path, and a network of its own; a cable that can be pulled is between them.
 */
final class ApartHosts implements AutoCloseable {
    private static final String A = "10.213.7.1";
    private static final String B = "10.213.7.2";
    private static final int PREFIX_BITS = 30;

    final TestHosts hosts = new TestHosts();
    final TestDaemon a;
    final TestDaemon b;

    /** Where each host's images are under the same path. */
    final Path images = hosts.directory.resolve("images");

    private final Process placeA;
    private final Process placeB;

    ApartHosts() throws Exception {
        Files.createDirectories(images);
        placeA = place("a");
        placeB = place("b");
        run(inside(placeA, "ip link add cable type veth peer name cable netns " + placeB.pid()));
        for (Process place : List.of(placeA, placeB)) {
            run(
                    inside(
                            place,
                            "ip link set lo up; ip addr add %s/%d dev cable; ip link set cable up"
                                    .formatted(place == placeA ? A : B, PREFIX_BITS)));
        }
        a = new TestDaemon(hosts, "a", site(placeA), "");
        b = new TestDaemon(hosts, "b", site(placeB), "");
        a.start();
        b.start();
    }

    /** Holds a host's namespaces for as long as it lives: daemons come and go. */
    private Process place(String name) throws Exception {
        Path own = own(name);
        Files.createDirectories(own);
        Process place =
                new ProcessBuilder(
                                "unshare",
                                "--net",
                                "--mount",
                                "--propagation",
                                "private",
                                "sh",
                                "-c",
                                "mount --bind %s %s && echo ready && exec sleep 600"
                                        .formatted(own, images))
                        .redirectError(ProcessBuilder.Redirect.INHERIT)
                        .start();
        byte[] said = place.getInputStream().readNBytes("ready".length());
        assertThat(new String(said, StandardCharsets.UTF_8)).isEqualTo("ready");
        return place;
    }

    /** A host's images as everybody sees them. */
    Path own(String name) {
        return hosts.directory.resolve(name + "-images");
    }

    private TestDaemon.Site site(Process place) {
        return new TestDaemon.Site("0.0.0.0", enter(place), hosts.ram, "");
    }

    /** The other host as each sees it. */
    String addressOfA() {
        return A + ":" + a.port();
    }

    String addressOfB() {
        return B + ":" + b.port();
    }

    /** Pulls the cable: nobody is told. */
    void cut() throws Exception {
        run(inside(placeA, "ip link set cable down"));
    }

    void mend() throws Exception {
        run(inside(placeA, "ip link set cable up"));
    }

    private static List<String> enter(Process place) {
        return List.of("nsenter", "--target", Long.toString(place.pid()), "--net", "--mount", "--");
    }

    private static List<String> inside(Process place, String script) {
        List<String> command = new ArrayList<>(enter(place));
        command.addAll(List.of("sh", "-ec", script));
        return command;
    }

    private static void run(List<String> command) throws Exception {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor()).as("%s: %s", command, said).isZero();
    }

    @Override
    public void close() throws IOException {
        try (hosts;
                a;
                b) {
            mendQuietly();
        } finally {
            for (Process place : List.of(placeA, placeB)) {
                place.destroyForcibly();
                try {
                    place.waitFor(10, TimeUnit.SECONDS);
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
            }
        }
    }

    private void mendQuietly() {
        try {
            mend();
        } catch (Exception e) {
            throw new AssertionError("the cable", e);
        }
    }
}
