package holdfast.node;

import static org.assertj.core.api.Assertions.catchThrowable;

import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest;
import holdfast.node.config.DomainFile;
import holdfast.node.store.DomainRuntime;
import holdfast.node.store.DomainStore;
import holdfast.node.store.StateDirectory;
import holdfast.qemu.launch.DomainSpec;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;

/**
 * Nodes in this process, each with directories of its own, and everything ended and removed
 * afterwards.
 */
final class TestHosts implements AutoCloseable {
    /** A process that dies is noticed at once; a machine that is busy is not to look dead. */
    static final int DEADLINE_MILLIS = 5_000;

    final Path directory;
    final Path ram;
    private final List<Node> nodes = new ArrayList<>();

    TestHosts() throws IOException {
        directory = Files.createTempDirectory(Path.of("/tmp"), "hfn");
        ram = Files.createTempDirectory(Path.of("/dev/shm"), "hf-n");
    }

    Node start(String name) {
        return start(name, Node.Looks.BY_ITSELF);
    }

    Node start(String name, Node.Looks looks) {
        return start(name, looks, Mirroring.DEFAULT);
    }

    /** Where replicas lie as the description says. */
    Node startWithoutReplicaDirectory(String name) {
        return start(name, Node.Looks.BY_ITSELF, Mirroring.DEFAULT, Optional.empty());
    }

    Node start(String name, Node.Looks looks, Mirroring mirroring) {
        return start(name, looks, mirroring, Optional.of(directory.resolve(name + "-replicas")));
    }

    private Node start(
            String name, Node.Looks looks, Mirroring mirroring, Optional<Path> replicaDirectory) {
        StateDirectory state = new StateDirectory(directory.resolve(name));
        state.create();
        Node node =
                Node.start(
                        new Node.Settings(
                                name,
                                "127.0.0.1",
                                0,
                                state,
                                ram,
                                replicaDirectory,
                                100,
                                DEADLINE_MILLIS,
                                looks,
                                directory.resolve("hooks")),
                        mirroring);
        nodes.add(node);
        return node;
    }

    /**
     * A guest of firmware alone: it looks for something to boot, and that is enough to dirty
     * memory.
     */
    DomainSource firmwareGuest(String name) {
        return new DomainSource(
                directory.resolve(name + ".yaml").toString(),
                """
                name: %s
                memory: 64MiB
                vcpus: 1
                accelerator: tcg
                nics: [{user: true, mac: "52:54:00:12:34:56"}]
                """
                        .formatted(name));
    }

    /** {@link #firmwareGuest} with one more line. */
    DomainSource guestWith(String name, String line) {
        DomainSource plain = firmwareGuest(name);
        return new DomainSource(plain.file(), plain.yaml() + line + "\n");
    }

    /** Moves a domain on a thread of its own. What it fails with, or null. */
    static CompletableFuture<Throwable> migrating(Node from, String domain, int port) {
        return CompletableFuture.supplyAsync(
                () ->
                        catchThrowable(
                                () ->
                                        from.migrate(
                                                MigrateRequest.of(domain, "127.0.0.1:" + port),
                                                ProgressListener.none())));
    }

    static RemusRequest remus(String domain, Node to, RemusRequest.ArbiterKind arbiter) {
        return remus(domain, to.port(), arbiter);
    }

    static RemusRequest remus(String domain, int port, RemusRequest.ArbiterKind arbiter) {
        return remus(domain, "127.0.0.1", port, arbiter);
    }

    static RemusRequest remus(
            String domain, String host, int port, RemusRequest.ArbiterKind arbiter) {
        return request(
                domain, host + ":" + port, arbiter, List.of(), RemusRequest.AfterLoss.STAY_ALONE);
    }

    /** Renewed by {@code node} or one of {@code others} when it is lost. */
    static RemusRequest staying(
            String domain, RemusRequest.ArbiterKind arbiter, int port, Integer... others) {
        return request(
                domain,
                "127.0.0.1:" + port,
                arbiter,
                Stream.of(others).map(other -> "127.0.0.1:" + other).toList(),
                RemusRequest.AfterLoss.PROTECT_AGAIN);
    }

    private static RemusRequest request(
            String domain,
            String node,
            RemusRequest.ArbiterKind arbiter,
            List<String> others,
            RemusRequest.AfterLoss afterLoss) {
        return RemusRequest.of(domain, node)
                .withArbiter(arbiter)
                .withDeadline(50, DEADLINE_MILLIS)
                .withOthers(others)
                .withAfterLoss(afterLoss);
    }

    /** Puts another role and generation into what a node that is gone wrote down of a domain. */
    void rewriteRuntime(String node, String domain, DomainStatus.Role role, long generation) {
        DomainStore<DomainSpec> store =
                new DomainStore<>(
                        new StateDirectory(directory.resolve(node)).domains(), DomainFile.CODEC);
        DomainRuntime was =
                store.load().domains().stream()
                        .filter(stored -> stored.name().equals(domain))
                        .findFirst()
                        .orElseThrow()
                        .runtime()
                        .orElseThrow();
        store.putRuntime(
                domain,
                new DomainRuntime(
                        role,
                        generation,
                        was.pid(),
                        was.pidStartTicks(),
                        was.ramFile(),
                        was.qmpSocket(),
                        was.rescueSocket(),
                        was.peer(),
                        was.origin()));
    }

    /** RAM files and their companions that are there now. */
    List<Path> ramFiles() throws IOException {
        try (Stream<Path> files = Files.list(ram)) {
            return files.toList();
        }
    }

    @Override
    public void close() throws IOException {
        for (Node node : nodes) {
            node.list().forEach(domain -> end(node, domain.name()));
            node.close();
        }
        for (Path root : List.of(directory, ram)) {
            try (Stream<Path> files = Files.walk(root)) {
                for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                    Files.deleteIfExists(file);
                }
            }
        }
    }

    private static void end(Node node, String domain) {
        try {
            node.destroy(domain);
        } catch (RuntimeException e) {
            System.err.println("cleaning up: " + e.getMessage());
        }
    }
}
