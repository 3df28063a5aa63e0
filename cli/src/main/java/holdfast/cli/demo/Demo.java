package holdfast.cli.demo;

import holdfast.node.api.ApiClient;
import holdfast.node.api.ApiException;
import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.ProtectionStatus;
import holdfast.node.api.RemusRequest;
import holdfast.node.api.ReprotectionStatus;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalLong;
import java.util.TreeMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * The main job from the outside: three hosts as network namespaces, a daemon on two of them, a
 * guest with Redis on A protected by B, a client with one TCP connection; then A's daemon and its
 * QEMU die by SIGKILL. Everything that it starts lives in namespaces and directories of its own,
 * and goes with them.
 */
public final class Demo implements AutoCloseable {
    static final String DOMAIN = "redis";
    private static final int REDIS_PORT = 6379;
    private static final long START_SECONDS = 60;

    /**
     * @param command the holdfast command
     * @param guest directory with {@code vmlinuz} and {@code initrd.gz}
     * @param seconds how long the client writes before the host dies
     * @param intervalMillis the epoch
     * @param memoryMib of the guest
     * @param storage where Redis keeps what it is told
     * @param death what becomes of host A
     * @param ending how far it goes
     */
    public record Options(
            Path command,
            Path guest,
            int seconds,
            int intervalMillis,
            int memoryMib,
            Storage storage,
            Death death,
            Ending ending) {
        /** For jobs in which no host dies. */
        public static Options of(Path command, Path guest, int memoryMib) {
            return new Options(
                    command,
                    guest,
                    1,
                    25,
                    memoryMib,
                    Storage.MEMORY,
                    Death.KILLED,
                    Ending.SURVIVED);
        }
    }

    private final Options options;
    private final Timeline timeline;
    private final Path directory;
    private final Path ramDirectory;
    private final Lab lab;
    private final Map<Lab.Host, ApiClient> nodes = new TreeMap<>();
    private final DemoDisk disk;
    private final List<Process> daemons = new CopyOnWriteArrayList<>();

    private Demo(Options options, Timeline timeline, Path directory, Path ramDirectory, Lab lab) {
        this.options = options;
        this.timeline = timeline;
        this.directory = directory;
        this.ramDirectory = ramDirectory;
        this.lab = lab;
        this.disk =
                new DemoDisk(
                        options.command.resolveSibling("../scripts/check-disk.sh").normalize(),
                        timeline);
    }

    public static Demo open(Options options, Timeline timeline) {
        try {
            // Unix socket paths are short.
            Path directory = Files.createTempDirectory(Path.of("/tmp"), "hfdemo");
            Path ramDirectory = Files.createTempDirectory(Path.of("/dev/shm"), "hf-demo");
            return new Demo(options, timeline, directory, ramDirectory, Lab.named());
        } catch (IOException e) {
            throw new DemoException("no room for the demo's files: " + e.getMessage(), e);
        }
    }

    /** Logs of everything that ran; kept when the demo fails. */
    public Path directory() {
        return directory;
    }

    /** Hosts and daemons. */
    public void build() {
        lab.build();
        timeline.happened("three hosts and a bridge stand, as network namespaces");
        startNode(Lab.Host.A);
        startNode(Lab.Host.B);
        timeline.happened("holdfastd runs on host A and on host B");
    }

    /** The hosts, for whoever starts something of their own there. */
    public Lab lab() {
        return lab;
    }

    /** Where a host's daemon keeps the sockets of its QEMUs, a directory each. */
    public Path runDirectory(Lab.Host host) {
        return stateDirectory(host).resolve("run");
    }

    private Path stateDirectory(Lab.Host host) {
        return directory.resolve(host.name().toLowerCase(Locale.ROOT));
    }

    /** Where guest memory lies on a host. */
    public Path ramDirectory(Lab.Host host) {
        return ramDirectory.resolve(host.name().toLowerCase(Locale.ROOT));
    }

    /** The client that writes to the guest's Redis; returns when its connection stands. */
    public Worker connectClient() {
        Worker client =
                lab.whileOpen(
                        () ->
                                Worker.start(
                                        "client",
                                        clientCommand(),
                                        directory.resolve("client.log")));
        client.await(line -> line.equals("connected"), "Redis answering", 120);
        return client;
    }

    /**
     * What a job's guest has beside Redis.
     *
     * @param commandLine more for its kernel
     * @param yaml more for its description
     */
    record GuestExtra(String commandLine, String yaml) {
        static final GuestExtra NONE = new GuestExtra("", "");
    }

    /** Hosts, daemons, the guest on A, and the client that writes to it; then {@code job}. */
    <T> T withGuest(GuestExtra extra, java.util.function.BiFunction<ApiClient, Worker, T> job) {
        build();
        ApiClient nodeA = nodes.get(Lab.Host.A);
        nodeA.create(
                new DomainSource(directory.resolve("redis.yaml").toString(), domainFile(extra)));
        timeline.happened(
                "the guest starts on A: a Debian kernel and Redis, "
                        + options.memoryMib
                        + " MiB"
                        + switch (options.storage) {
                            case DISK -> ", every write forced to a disk";
                            case MEMORY -> "";
                        });
        try (Worker client = connectClient()) {
            timeline.happened("the client is connected and writes, one TCP connection");
            return job.apply(nodeA, client);
        }
    }

    DemoResult run() {
        return withGuest(GuestExtra.NONE, this::protectAndKill);
    }

    private DemoResult protectAndKill(ApiClient nodeA, Worker client) {
        DomainStatus isProtected =
                nodeA.remus(
                        RemusRequest.of(DOMAIN, Lab.Host.B.address())
                                .withInterval(options.intervalMillis)
                                .withArbiter(RemusRequest.ArbiterKind.NONE)
                                .withDeadline(
                                        RemusRequest.HEARTBEAT_MILLIS_DEFAULT, deadlineMillis()),
                        progress -> timeline.working(progress.text()));
        timeline.happened(
                "protected by B: a checkpoint every %d ms, dirty pages by %s"
                        .formatted(
                                options.intervalMillis, isProtected.protection().tracker().kind()));
        watch(nodeA, client, TimeUnit.SECONDS.toMillis(options.seconds) / 2);
        compareDisks(Lab.Host.A, Lab.Host.B);
        DomainStatus last =
                watch(nodeA, client, (TimeUnit.SECONDS.toMillis(options.seconds) + 1) / 2);
        return killAndMeasure(last, client);
    }

    public ApiClient node(Lab.Host host) {
        return nodes.get(host);
    }

    Options options() {
        return options;
    }

    Timeline timeline() {
        return timeline;
    }

    /** The last status of that time. */
    private DomainStatus watch(ApiClient nodeA, Worker client, long millis) {
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(millis);
        long nextReport = 0;
        DomainStatus status = nodeA.status(DOMAIN);
        String acked = "acked 0";
        while (System.nanoTime() < end) {
            status = nodeA.awaitChange(DOMAIN, status.change(), 200);
            if (status.protection() == null) {
                throw new DemoException("protection ended by itself: " + status.lastEvent());
            }
            acked = client.latest(line -> line.startsWith("acked "), acked);
            if (System.nanoTime() > nextReport) {
                nextReport = System.nanoTime() + TimeUnit.SECONDS.toNanos(1);
                ProtectionStatus protection = status.protection();
                timeline.working(
                        "%s writes, epoch %d, guest stopped %.1f ms a checkpoint, %d dirty pages"
                                .formatted(
                                        acked,
                                        protection.epochsCommitted(),
                                        protection.pauseMicros().p50() / 1000.0,
                                        protection.dirtyPages().p50()));
            }
        }
        return status;
    }

    private DemoResult killAndMeasure(DomainStatus last, Worker client) {
        ProtectionStatus protection = last.protection();
        ProcessHandle qemu = processHandle(last.pid(), "QEMU on A");
        ProcessHandle daemon = daemons.getFirst().toHandle();
        long killedNanos = System.nanoTime();
        switch (options.death) {
            case KILLED -> {
                daemon.destroyForcibly();
                qemu.destroyForcibly();
                timeline.happened(killedNanos, "SIGKILL to host A: its daemon and its QEMU die");
            }
            case SILENT -> {
                lab.silence(Lab.Host.A);
                timeline.happened(
                        killedNanos,
                        "host A falls silent: its switch port is down, nobody is told");
            }
        }
        awaitSurvivor(Lab.Host.B);
        Aftermath aftermath = aftermath(killedNanos);
        // As long again as before, at most three seconds: the connection must carry on, not only
        // revive.
        sleep(Math.min(3, options.seconds) * 1000L);
        client.tell("stop " + killedNanos + aftermath.killedAgain());
        Map<String, String> result =
                fields(
                        client.await(
                                line -> line.startsWith("result "), "the client's result", 120));
        long gapEnd = Long.parseLong(result.get("gapEnd"));
        double failoverMillis = (gapEnd - killedNanos) / 1e6;
        double secondFailoverMillis = aftermath.failoverMillis(result);
        boolean survived =
                result.get("failure").isEmpty()
                        && gapEnd > killedNanos
                        && (options.ending != Ending.DIED_AGAIN || secondFailoverMillis > 0);
        if (survived) {
            timeline.happened(gapEnd, "the client gets the next answer, over the same connection");
        }
        timeline.happened(
                survived
                        ? "%s writes acknowledged, each read back from the survivor: %s lost"
                                .formatted(result.get("acked"), result.get("lost"))
                        : "the connection did not survive: " + result.get("failure"));
        checkDisk(Long.parseLong(result.get("acked")));
        return new DemoResult(
                "remus",
                protection.epochsCommitted(),
                Long.parseLong(result.get("acked")),
                Long.parseLong(result.get("lost")),
                survived,
                options.storage == Storage.DISK ? disk.blocksDiffering() : -1,
                disk.fileSystemClean(),
                disk.lostWrites(),
                new DemoResult.Percentiles(
                        protection.pauseMicros().p50(), protection.pauseMicros().p99()),
                new DemoResult.Median(protection.dirtyPages().p50()),
                tenths(failoverMillis),
                aftermath.reprotectedMillis(),
                secondFailoverMillis,
                protection.tracker().kind(),
                options.intervalMillis,
                deadlineMillis(),
                options.death.name().toLowerCase(Locale.ROOT));
    }

    /**
     * A process that is killed is noticed by the end of its connections, whatever the deadline;
     * over a longer time a busy machine may look dead for a moment, and without an arbiter both
     * copies would run.
     */
    private int deadlineMillis() {
        return switch (options.ending) {
            case SURVIVED -> RemusRequest.DEADLINE_MILLIS_DEFAULT;
            case PROTECTED_AGAIN, DIED_AGAIN -> 4 * RemusRequest.DEADLINE_MILLIS_DEFAULT;
        };
    }

    private static double tenths(double millis) {
        return Math.round(millis * 10) / 10.0;
    }

    /**
     * What the hosts did after the first fail-over.
     *
     * @param reprotectedMillis from the first death to the survivor's first commit; -1 where that
     *     was not waited for
     * @param killedAgainNanos when the second host died
     */
    private record Aftermath(double reprotectedMillis, OptionalLong killedAgainNanos) {
        /** For the client's command. */
        String killedAgain() {
            return killedAgainNanos.isEmpty() ? "" : " " + killedAgainNanos.getAsLong();
        }

        /** -1 where there was no second death, or no answer after it. */
        double failoverMillis(Map<String, String> result) {
            long gapEnd = Long.parseLong(result.getOrDefault("secondGapEnd", "0"));
            return killedAgainNanos.isEmpty() || gapEnd <= killedAgainNanos.getAsLong()
                    ? -1
                    : tenths((gapEnd - killedAgainNanos.getAsLong()) / 1e6);
        }
    }

    private Aftermath aftermath(long killedNanos) {
        return switch (options.ending) {
            case SURVIVED -> new Aftermath(-1, OptionalLong.empty());
            case PROTECTED_AGAIN ->
                    new Aftermath(protectedAgainMillis(killedNanos), OptionalLong.empty());
            case DIED_AGAIN -> {
                double millis = protectedAgainMillis(killedNanos);
                yield new Aftermath(millis, OptionalLong.of(killB()));
            }
        };
    }

    /** Host A's daemon starts again; nobody tells any of the hosts what to do. */
    private double protectedAgainMillis(long killedNanos) {
        startNode(Lab.Host.A);
        timeline.happened("host A is back: its daemon runs, and knows of nothing");
        ApiClient nodeB = nodes.get(Lab.Host.B);
        DomainStatus status =
                awaitStatus(
                        nodeB,
                        is ->
                                is.reprotection().state() == ReprotectionStatus.State.PROTECTED
                                        && is.role() == DomainStatus.Role.PRIMARY,
                        "the survivor was not protected again");
        long nanos = System.nanoTime() - killedNanos;
        timeline.happened(
                "B found A by itself: the domain is protected again, generation %d"
                        .formatted(status.protection().generation()));
        compareDisks(Lab.Host.B, Lab.Host.A);
        return tenths(nanos / 1e6);
    }

    private long killB() {
        // The client writes under the new protection for a while.
        sleep(Math.min(3, options.seconds) * 1000L);
        DomainStatus last = nodes.get(Lab.Host.B).status(DOMAIN);
        ProcessHandle qemu = processHandle(last.pid(), "QEMU on B");
        long killedNanos = System.nanoTime();
        daemons.get(1).destroyForcibly();
        qemu.destroyForcibly();
        timeline.happened(killedNanos, "SIGKILL to host B: its daemon and its QEMU die");
        awaitSurvivor(Lab.Host.A);
        return killedNanos;
    }

    private static DomainStatus awaitStatus(
            ApiClient node, Predicate<DomainStatus> condition, String otherwise) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        DomainStatus status = node.status(DOMAIN);
        while (!condition.test(status)) {
            if (System.nanoTime() > deadline) {
                throw new DemoException(
                        otherwise + " within 60 s: " + status.reprotection().lastError());
            }
            status = node.awaitChange(DOMAIN, status.change(), 500);
        }
        return status;
    }

    private void compareDisks(Lab.Host primary, Lab.Host secondary) {
        switch (options.storage) {
            case DISK -> disk.compare(primary, nodes.get(primary), secondary, nodes.get(secondary));
            case MEMORY -> {}
        }
    }

    private void checkDisk(long acked) {
        Lab.Host survivor =
                switch (options.ending) {
                    case SURVIVED, PROTECTED_AGAIN -> Lab.Host.B;
                    case DIED_AGAIN -> Lab.Host.A;
                };
        switch (options.storage) {
            case DISK -> disk.check(survivor, nodes.get(survivor), acked);
            case MEMORY -> {}
        }
    }

    private void awaitSurvivor(Lab.Host host) {
        ApiClient node = nodes.get(host);
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        DomainStatus status = node.status(DOMAIN);
        while (status.role() == DomainStatus.Role.SECONDARY) {
            if (System.nanoTime() > deadline) {
                throw new DemoException(
                        host + " did not go on with the domain: " + status.lastEvent());
            }
            status = node.awaitChange(DOMAIN, status.change(), 500);
        }
        timeline.happened(host + " runs the domain: " + status.lastEvent().text());
    }

    private void startNode(Lab.Host host) {
        Path state = stateDirectory(host);
        Path log =
                directory.resolve(
                        "node-%s-%d.log"
                                .formatted(host.name().toLowerCase(Locale.ROOT), daemons.size()));
        Path ram = ramDirectory.resolve(host.name().toLowerCase(Locale.ROOT));
        Path replicas = directory.resolve("replicas-" + host.name().toLowerCase(Locale.ROOT));
        Path config = directory.resolve("node-" + host.name().toLowerCase(Locale.ROOT) + ".yaml");
        try {
            Files.createDirectories(state);
            Files.createDirectories(ram);
            Files.writeString(config, nodeFile(host, ram, replicas));
        } catch (IOException e) {
            throw new DemoException("no room for the node's files: " + e.getMessage(), e);
        }
        List<String> start =
                List.of(
                        options.command.toString(),
                        "node",
                        "start",
                        "--foreground",
                        "--state-dir",
                        state.toString(),
                        "--config",
                        config.toString());
        Process daemon =
                lab.whileOpen(
                        () -> {
                            Process started =
                                    Worker.startQuiet(
                                            "holdfastd on " + host, lab.on(host, start), log);
                            daemons.add(started);
                            return started;
                        });
        ApiClient client = new ApiClient(state.resolve("api.sock"));
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(START_SECONDS);
        while (true) {
            try {
                client.nodeInfo();
                break;
            } catch (ApiException e) {
                if (!daemon.isAlive() || System.nanoTime() > deadline) {
                    throw new DemoException(
                            "holdfastd on host " + host + " does not answer; its log is " + log, e);
                }
                sleep(50);
            }
        }
        nodes.put(host, client);
    }

    /** Describes the domain, and makes the disk that it names. */
    private String domainFile(GuestExtra extra) {
        Path image = directory.resolve("images-a").resolve(DOMAIN + ".img");
        if (options.storage == Storage.DISK) {
            DemoDisk.create(image);
        }
        return """
        name: %s
        memory: %dM
        boot:
          kernel: %s
          initrd: %s
          commandLine: console=ttyS0 quiet panic=1 hf.ip=%s/24 %s %s
        nics:
          - tap: tap0
            bridge: %s
        %s
        %s
        """
                .formatted(
                        DOMAIN,
                        options.memoryMib,
                        options.guest.resolve("vmlinuz"),
                        options.guest.resolve("initrd.gz"),
                        Lab.GUEST_ADDRESS,
                        switch (options.storage) {
                            case DISK -> "hf.data=vda hf.redis=disk";
                            case MEMORY -> "hf.redis=on";
                        },
                        extra.commandLine(),
                        Lab.BRIDGE,
                        switch (options.storage) {
                            case DISK -> "disks: [" + image + "]";
                            case MEMORY -> "";
                        },
                        extra.yaml());
    }

    private static String nodeFile(Lab.Host host, Path ram, Path replicas) {
        return """
        name: host%s
        listen: %s:%d
        ramDirectory: %s
        replicaDirectory: %s
        """
                .formatted(host, host.address(), RemusRequest.PORT_DEFAULT, ram, replicas);
    }

    private List<String> clientCommand() {
        return lab.on(
                Lab.Host.CLIENT,
                List.of(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xshare:auto",
                        "-XX:+UseSerialGC",
                        "-XX:TieredStopAtLevel=1",
                        "-cp",
                        System.getProperty("java.class.path"),
                        WriterClient.class.getName(),
                        Lab.GUEST_ADDRESS,
                        Integer.toString(REDIS_PORT)));
    }

    private static ProcessHandle processHandle(long pid, String what) {
        return ProcessHandle.of(pid)
                .orElseThrow(() -> new DemoException(what + " (pid " + pid + ") is gone already"));
    }

    /** {@code word key=value key=value ...}; the last value may hold spaces. */
    static Map<String, String> fields(String line) {
        Map<String, String> fields = new TreeMap<>();
        String rest = line.substring(line.indexOf(' ') + 1);
        int failure = rest.indexOf("failure=");
        fields.put("failure", rest.substring(failure + "failure=".length()));
        for (String field : rest.substring(0, failure).strip().split(" ")) {
            fields.put(
                    field.substring(0, field.indexOf('=')),
                    field.substring(field.indexOf('=') + 1));
        }
        return fields;
    }

    static void sleep(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new DemoException("interrupted", e);
        }
    }

    /**
     * Ends every process of the demo and removes its namespaces and memory files; the logs stay.
     */
    @Override
    public void close() {
        daemons.forEach(Process::destroyForcibly);
        lab.close();
        // One that was started a moment before may not have been in its namespace yet.
        daemons.forEach(Process::destroyForcibly);
        delete(ramDirectory);
    }

    /** Removes the logs too. */
    public void deleteLogs() {
        delete(directory);
    }

    private void delete(Path root) {
        try (Stream<Path> paths = Files.walk(root)) {
            for (Path path : paths.sorted((a, b) -> b.compareTo(a)).toList()) {
                Files.deleteIfExists(path);
            }
        } catch (IOException | java.io.UncheckedIOException e) {
            timeline.working("could not remove " + root + ": " + e.getMessage());
        }
    }
}
