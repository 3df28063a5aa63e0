package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.ApiClient;
import holdfast.node.api.ApiException;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest;
import holdfast.node.link.FrameProxy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;

/** Two daemons that can be killed, and a proxy on the way from each to the other. */
final class MigratingPair implements AutoCloseable {
    enum Victim {
        SOURCE_DAEMON,
        SOURCE_QEMU,
        DESTINATION_DAEMON,
        DESTINATION_QEMU
    }

    final TestHosts hosts = new TestHosts();
    final TestDaemon a;
    final TestDaemon b;
    final FrameProxy proxy;
    private final FrameProxy back;
    private final String aHears;
    private final String bHears;

    MigratingPair() throws Exception {
        this(TestDaemon.Site::here, TestDaemon.Site::here, "127.0.0.1", "127.0.0.1");
    }

    /**
     * @param aHears address of this process that {@code a} can reach
     * @param bHears the same for {@code b}
     */
    MigratingPair(
            Function<TestHosts, TestDaemon.Site> siteA,
            Function<TestHosts, TestDaemon.Site> siteB,
            String aHears,
            String bHears)
            throws Exception {
        this.aHears = aHears;
        this.bHears = bHears;
        a = new TestDaemon(hosts, "a", siteA.apply(hosts));
        b = new TestDaemon(hosts, "b", siteB.apply(hosts));
        a.start();
        b.start();
        proxy = new FrameProxy(aHears, b.address());
        back = new FrameProxy(bHears, a.address());
    }

    /** How {@code a}'s domain is moved to {@code b}, through the proxy. */
    MigrateRequest request(List<String> hooks, long bandwidthMibPerSecond, int deadlineMillis) {
        return request(aHears + ":" + proxy.port(), hooks, bandwidthMibPerSecond, deadlineMillis);
    }

    static MigrateRequest request(
            String node, List<String> hooks, long bandwidthMibPerSecond, int deadlineMillis) {
        return MigrateRequest.of("g", node)
                .withFeatures(hooks, List.of())
                .withBandwidth(bandwidthMibPerSecond)
                .withDeadline(50, deadlineMillis);
    }

    /**
     * Protects {@code a}'s domain by {@code b}, through the proxy; whoever hears nothing goes on.
     */
    DomainStatus protect(MigrateRequest.Compress compress, int intervalMillis) {
        return protect(aHears + ":" + proxy.port(), compress, intervalMillis);
    }

    DomainStatus protect(String node, MigrateRequest.Compress compress, int intervalMillis) {
        return a.client()
                .remus(
                        RemusRequest.of("g", node)
                                .withInterval(intervalMillis)
                                .withArbiter(RemusRequest.ArbiterKind.NONE)
                                .withDeadline(50, TestHosts.DEADLINE_MILLIS)
                                .withAfterLoss(RemusRequest.AfterLoss.STAY_ALONE)
                                .withCompress(compress),
                        ProgressListener.none());
    }

    /** What becomes of it, as one line: the outcome and the reason, or the failure. */
    CompletableFuture<String> migrate(MigrateRequest request) {
        return CompletableFuture.supplyAsync(
                        () -> a.client().migrate(request, ProgressListener.none()))
                .handle(
                        (ended, failure) ->
                                failure == null
                                        ? ended.outcome() + ": " + ended.reason()
                                        : "failed: " + failure.getCause().getMessage());
    }

    /** Moves the domain from where it runs to the other host; it has to. */
    MigrateResult moveOn() throws InterruptedException {
        return moveOn(UnaryOperator.identity());
    }

    MigrateResult moveOn(UnaryOperator<MigrateRequest> how) throws InterruptedException {
        boolean there = runs(a.client());
        TestDaemon from = there ? a : b;
        TestDaemon to = there ? b : a;
        String node = there ? aHears + ":" + proxy.port() : bHears + ":" + back.port();
        proxy.arm();
        MigrateResult moved =
                from.client()
                        .migrate(how.apply(MigrateRequest.of("g", node)), ProgressListener.none());
        assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
        assertThat(runs(to.client())).isTrue();
        assertThat(running()).isEqualTo(1);
        return moved;
    }

    void kill(Victim victim) throws Exception {
        switch (victim) {
            case SOURCE_DAEMON -> a.kill();
            case DESTINATION_DAEMON -> b.kill();
            case SOURCE_QEMU -> end(qemu(a));
            case DESTINATION_QEMU -> end(qemu(b));
        }
    }

    private static void end(ProcessHandle process) throws InterruptedException {
        process.destroyForcibly();
        // The end of a process that is no child is looked for every few seconds only.
        await("its end", () -> !process.isAlive());
    }

    /** The one QEMU of a host; no status tells the process of one that waits. */
    private static ProcessHandle qemu(TestDaemon host) throws Exception {
        try (Stream<Path> files = Files.walk(host.state().resolve("run"))) {
            List<Path> pids = files.filter(f -> f.endsWith("qemu.pid")).toList();
            assertThat(pids).hasSize(1);
            return ProcessHandle.of(Long.parseLong(Files.readString(pids.getFirst()).strip()))
                    .orElseThrow();
        }
    }

    void restart(Victim victim) throws Exception {
        switch (victim) {
            case SOURCE_DAEMON -> a.start();
            case DESTINATION_DAEMON -> b.start();
            case SOURCE_QEMU, DESTINATION_QEMU -> {}
        }
    }

    long running() {
        return Stream.of(a.client(), b.client()).filter(MigratingPair::runs).count();
    }

    static boolean runs(ApiClient node) {
        return node.list().stream().anyMatch(d -> d.state() == State.RUNNING);
    }

    /** Every domain goes, on both hosts, and everything of it. */
    void clear() throws Exception {
        for (TestDaemon host : List.of(a, b)) {
            if (!host.isAlive()) {
                host.start();
            }
            await("no domain on " + host, () -> destroyed(host.client()));
        }
        await("an empty RAM directory", this::nothingIsLeft);
    }

    /** What goes by itself meanwhile is no failure. */
    private static boolean destroyed(ApiClient node) {
        node.list().forEach(domain -> node.destroy(domain.name()));
        return true;
    }

    private boolean nothingIsLeft() {
        try {
            return hosts.ramFiles().isEmpty() && places(a) + places(b) == 0;
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    /** Of copies of domains; what was taken over is written down beside them. */
    private static long places(TestDaemon host) throws IOException {
        try (Stream<Path> entries = Files.list(host.state().resolve("run"))) {
            return entries.filter(entry -> !entry.endsWith("taken")).count();
        }
    }

    static void await(String what, BooleanSupplier condition) throws InterruptedException {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (true) {
            try {
                if (condition.getAsBoolean()) {
                    return;
                }
            } catch (ApiException e) {
                // A daemon that is being started does not answer yet.
                if (System.nanoTime() - until > 0) {
                    throw e;
                }
            }
            if (System.nanoTime() - until > 0) {
                throw new AssertionError("not within 60 s: " + what);
            }
            Thread.sleep(20);
        }
    }

    @Override
    public void close() throws IOException {
        try (hosts;
                a;
                b;
                proxy;
                back) {}
    }
}
