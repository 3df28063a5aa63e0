package holdfast.qemu.net;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.HypervisorException;
import holdfast.engine.output.InboundLog;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

import java.io.IOException;
import java.net.ServerSocket;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** On a real guest with a tap in a network namespace; needs root. Prints what it measures. */
@Tag("qemu")
class NicGateTest {
    private static final long BOUND_BYTES = 64 << 20;
    private static NetGuest guest;

    @BeforeAll
    static void boot() throws IOException {
        guest = NetGuest.onTap();
    }

    @AfterAll
    static void end() {
        if (guest != null) {
            guest.close();
        }
    }

    /** What a failed test left must not fail the next one. */
    @AfterEach
    void cleanUp() {
        NicGate.removeLeftovers(guest.qmp);
        guest.resume();
    }

    private static NicGate attach() {
        return attach(guest, BOUND_BYTES, () -> {});
    }

    private static NicGate attach(NetGuest guest, long boundBytes, Runnable onPressure) {
        return NicGate.attach(
                guest.qmp, List.of(guest.nic), guest.directory, boundBytes, onPressure);
    }

    private static void awaitNoMoreOutput(NicGate gate) throws InterruptedException {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        long before = -1;
        while (before != gate.held().bytes()) {
            assertThat(System.nanoTime()).as("the guest goes on answering").isLessThan(until);
            before = gate.held().bytes();
            TimeUnit.MILLISECONDS.sleep(500);
        }
    }

    private static void checkpoint(NicGate gate, long epoch) {
        guest.suspend();
        gate.closeEpoch(epoch);
        guest.resume();
    }

    @Test
    void nothingPassesWhileHeldAndTheReleasedEpochAloneArrives() throws Exception {
        try (NetClient redis = redis()) {
            assertThat(redis.ask("SET held 0")).isEqualTo("+OK");
            NicGate gate = attach();
            redis.say("INCR held");
            assertThat(redis.hear(700)).isNull();
            assertThat(gate.held().frames()).isPositive();
            checkpoint(gate, 1);
            assertThat(redis.hear(300)).isNull();
            redis.say("INCR held");
            gate.release(0);
            assertThat(redis.hear(300)).isNull();
            gate.release(1);
            assertThat(redis.hear(2000)).isEqualTo(":1");
            assertThat(redis.hear(500)).as("answer of the open epoch").isNull();
            checkpoint(gate, 2);
            gate.release(2);
            assertThat(redis.hear(2000)).isEqualTo(":2");
            gate.detach();
            assertThat(redis.ask("PING")).isEqualTo("+PONG");
            assertNothingLeft();
            assertThatThrownBy(() -> gate.closeEpoch(3)).isInstanceOf(IllegalStateException.class);
        }
    }

    @Test
    void twentyTimesAttachedAndDetachedUnderLoadNoDatagramIsLostOrReordered() throws Exception {
        double[] attachMillis = new double[20];
        double[] detachMillis = new double[20];
        try (NetClient redis = redis();
                NetClient datagrams = datagrams(1000, 200)) {
            assertThat(redis.ask("SET n 0")).isEqualTo("+OK");
            long epoch = 0;
            for (int i = 0; i < 20; i++) {
                long start = System.nanoTime();
                NicGate gate = attach();
                attachMillis[i] = (System.nanoTime() - start) / 1e6;
                redis.say("INCR n");
                for (int k = 0; k < 4; k++) {
                    TimeUnit.MILLISECONDS.sleep(25);
                    checkpoint(gate, ++epoch);
                    gate.release(epoch);
                }
                start = System.nanoTime();
                gate.detach();
                detachMillis[i] = (System.nanoTime() - start) / 1e6;
                assertThat(gate.held().framesDropped()).isZero();
                assertThat(redis.hear(3000)).isEqualTo(":" + (i + 1));
            }
            assertEverythingCameBackOnceInOrder(datagrams.ask("stop"));
        }
        assertNothingLeft();
        System.out.println(
                "FIGURE attach ms "
                        + summary(attachMillis)
                        + " detach ms "
                        + summary(detachMillis));
    }

    @Test
    void aSuspendedDomainIsDetachedWithoutBeingResumed() throws Exception {
        try (NetClient datagrams = datagrams(500, 100)) {
            NicGate gate = attach();
            TimeUnit.MILLISECONDS.sleep(200);
            guest.suspend();
            gate.detach();
            assertThat(NetFilters.isRunning(guest.qmp)).isFalse();
            guest.resume();
            assertEverythingCameBackOnceInOrder(datagrams.ask("stop"));
        }
    }

    @Test
    void aPauseThatComesDuringADetachIsNotUndone() {
        NicGate gate =
                NicGate.attach(
                        guest.qmp,
                        new GuestStop() {
                            @Override
                            public void begin() {
                                guest.suspend();
                            }

                            @Override
                            public void end() {
                                // An operator paused it meanwhile.
                            }
                        },
                        List.of(guest.nic),
                        guest.directory,
                        BOUND_BYTES,
                        () -> {});
        gate.detach();
        assertThat(NetFilters.isRunning(guest.qmp)).isFalse();
    }

    @Test
    void closingAnEpochIsFast() throws Exception {
        double[] idleMicros = new double[200];
        double[] busyMicros = new double[40];
        double[] busyFrames = new double[40];
        NicGate gate = attach();
        long epoch = 0;
        for (int i = 0; i < idleMicros.length; i++) {
            guest.suspend();
            long start = System.nanoTime();
            gate.closeEpoch(++epoch);
            idleMicros[i] = (System.nanoTime() - start) / 1e3;
            guest.resume();
            gate.release(epoch);
        }
        gate.detach();
        try (NetClient datagrams = datagrams(4000, 1000)) {
            gate = attach();
            TimeUnit.MILLISECONDS.sleep(300);
            for (int i = 0; i < busyMicros.length; i++) {
                TimeUnit.MILLISECONDS.sleep(25);
                guest.suspend();
                long start = System.nanoTime();
                gate.closeEpoch(++epoch);
                busyMicros[i] = (System.nanoTime() - start) / 1e3;
                busyFrames[i] = gate.held().frames();
                guest.resume();
                gate.release(epoch);
            }
            assertThat(received(datagrams)).isPositive();
        }
        gate.detach();
        System.out.println(
                "FIGURE closeEpoch us idle "
                        + summary(idleMicros)
                        + " busy "
                        + summary(busyMicros)
                        + " frames an epoch "
                        + summary(busyFrames));
        Arrays.sort(idleMicros);
        assertThat(idleMicros[idleMicros.length / 2]).isLessThan(500);
    }

    @Test
    void atTheBoundTheNewestFramesAreDroppedAndPressureIsReported() throws Exception {
        Semaphore pressure = new Semaphore(0);
        try (NetClient datagrams = datagrams(1000, 1000)) {
            NicGate gate = attach(guest, 100_000, pressure::release);
            assertThat(pressure.tryAcquire(10, TimeUnit.SECONDS)).isTrue();
            TimeUnit.MILLISECONDS.sleep(500);
            assertThat(NetFilters.isRunning(guest.qmp)).as("QEMU answers").isTrue();
            assertThat(gate.held().framesDropped()).isPositive();
            assertThat(gate.held().bytesPeak()).isBetween(98_000L, 100_000L);
            assertThat(pressure.availablePermits()).as("once a rise").isZero();
            gate.detach();
            String[] counts = datagrams.ask("stop").split(" ");
            assertThat(Integer.parseInt(counts[1])).isLessThan(Integer.parseInt(counts[0]));
            assertThat(counts[3]).as("reordered").isEqualTo("0");
        }
    }

    @Test
    void whenTheDaemonIsKilledOutputIsDroppedUntilItsLeftoversAreRemoved() throws Exception {
        guest.qmp.close();
        try (NetClient datagrams = datagrams(500, 100);
                NetClient daemon =
                        guest.client(
                                HoldForEver.class,
                                guest.qmpSocket.toString(),
                                guest.nic.netdev(),
                                guest.directory.toString())) {
            String said;
            do {
                said = daemon.hear(20_000);
                assertThat(said).isNotNull();
            } while (!said.startsWith("holding"));
            TimeUnit.MILLISECONDS.sleep(300);
            daemon.kill();
            int before = received(datagrams);
            TimeUnit.MILLISECONDS.sleep(700);
            assertThat(received(datagrams)).isEqualTo(before);
            guest.reconnect();
            assertThat(NicGate.removeLeftovers(guest.qmp)).isEqualTo(3);
            assertNothingLeft();
            TimeUnit.MILLISECONDS.sleep(700);
            assertThat(received(datagrams)).isGreaterThan(before);
            String[] counts = datagrams.ask("stop").split(" ");
            assertThat(counts[3]).as("reordered").isEqualTo("0");
        } finally {
            // By now the daemon is dead, whatever happened, and the monitor is free again.
            guest.reconnect();
        }
    }

    @Test
    void closeLetsNothingHeldOut() throws Exception {
        try (NetClient datagrams = datagrams(500, 100)) {
            NicGate gate = attach();
            int before = received(datagrams);
            TimeUnit.MILLISECONDS.sleep(300);
            guest.suspend();
            gate.closeEpoch(1);
            long sentUntilClose = Integer.parseInt(datagrams.ask("count").split(" ")[0]);
            gate.close();
            assertNothingLeft();
            TimeUnit.MILLISECONDS.sleep(200);
            assertThat(received(datagrams)).isEqualTo(before);
            guest.resume();
            TimeUnit.MILLISECONDS.sleep(500);
            String[] counts = datagrams.ask("stop").split(" ");
            assertThat(Integer.parseInt(counts[1])).isGreaterThan(before);
            assertThat(sentUntilClose).isGreaterThan(before + 100L);
            assertThat(Integer.parseInt(counts[0]) - Integer.parseInt(counts[1]))
                    .as("lost: at least most of what was held")
                    .isGreaterThan(50);
        }
    }

    @Test
    void aDomainWhoseHoldFailedIsHeardAgainAfterItsGateIsDetached() throws Exception {
        try (NetClient redis = redis()) {
            NicGate gate = attach();
            guest.qmp.execute(
                    "yank",
                    Map.of(
                            "instances",
                            List.of(Map.of("type", "chardev", "id", "holdfast-hold-out0"))));
            assertThatThrownBy(() -> checkpoint(gate, 1))
                    .isInstanceOf(HypervisorException.class)
                    .hasMessageContaining("holdfast-hold-out0");
            guest.resume();
            gate.release(1);
            redis.say("PING");
            assertThat(redis.hear(700)).as("output of a failed hold").isNull();

            assertThatThrownBy(gate::detach).isInstanceOf(HypervisorException.class);
            assertThat(redis.hear(5000)).as("retransmitted").isEqualTo("+PONG");
            gate.close();
            assertThat(NetFilters.isRunning(guest.qmp)).isTrue();
            assertThat(redis.ask("PING")).isEqualTo("+PONG");
            assertNothingLeft();
        }
    }

    @Test
    void attachIsRefusedWithoutATraceWhereTheNicDoesNotExist() {
        assertThatThrownBy(
                        () ->
                                NicGate.attach(
                                        guest.qmp,
                                        List.of(guest.nic, new Nic(1, "nowhere", 12)),
                                        guest.directory,
                                        BOUND_BYTES,
                                        () -> {}))
                .isInstanceOf(HypervisorException.class)
                .hasMessageContaining("nowhere (nic 1)");
        assertNothingLeft();
        assertThat(NetFilters.isRunning(guest.qmp)).isTrue();
    }

    @Test
    void manyHeldBytesAreReleasedQuickly() throws Exception {
        NicGate gate;
        double megabytesPerSecond;
        long bytes;
        try (NetClient datagrams = datagrams(20_000, 1400)) {
            gate = attach();
            TimeUnit.SECONDS.sleep(3);
            assertThat(received(datagrams)).isPositive();
        }
        // What the guest still has to answer would be of the next epoch, which nobody releases.
        awaitNoMoreOutput(gate);
        checkpoint(gate, 1);
        bytes = gate.held().bytes();
        long start = System.nanoTime();
        gate.release(1);
        while (gate.held().bytes() > bytes / 100) {
            assertThat(System.nanoTime() - start).isLessThan(TimeUnit.SECONDS.toNanos(30));
            TimeUnit.MILLISECONDS.sleep(1);
        }
        megabytesPerSecond = bytes / 1e6 / ((System.nanoTime() - start) / 1e9);
        gate.detach();
        System.out.println(
                "FIGURE release of " + bytes + " bytes: " + megabytesPerSecond + " MB/s");
    }

    @Test
    void mirroredFramesAreCutAtTheBoundaryAndCanBeReplayed() throws Exception {
        InboundLog log = new InboundLog(16 << 20);
        BlockingQueue<Long> boundaries = new LinkedBlockingQueue<>();
        List<Integer> numbers = new ArrayList<>();
        AtomicInteger headers = new AtomicInteger(-1);
        InboundMirror.Sink sink =
                new InboundMirror.Sink() {
                    private long open = 1;

                    @Override
                    public void frame(int nic, int vnetHeaderBytes, ByteBuffer frame) {
                        headers.set(vnetHeaderBytes);
                        if (frame.remaining() == vnetHeaderBytes + 42 + 333) {
                            numbers.add(frame.getInt(vnetHeaderBytes + 42));
                        }
                        synchronized (log) {
                            log.append(open, nic, vnetHeaderBytes, frame);
                        }
                    }

                    @Override
                    public void boundary(long epoch) {
                        open = epoch + 1;
                        boundaries.add(epoch);
                    }
                };
        try (NetClient datagrams = datagrams(200, 333)) {
            InboundMirror mirror =
                    InboundMirror.attach(
                            guest.qmp, List.of(guest.nic), guest.directory, 16 << 20, sink);
            InboundReplay replay =
                    InboundReplay.attach(guest.qmp, List.of(guest.nic), guest.directory);
            TimeUnit.MILLISECONDS.sleep(400);
            guest.suspend();
            mirror.boundary(1);
            guest.resume();
            assertThat(boundaries.poll(5, TimeUnit.SECONDS)).isEqualTo(1);
            synchronized (log) {
                assertThat(log.kept().frames()).isGreaterThan(20);
                log.commit(1);
            }
            TimeUnit.MILLISECONDS.sleep(400);
            assertThat(mirror.counters().framesDropped()).isZero();
            mirror.close();
            // close() has joined the delivery thread: the log is ours alone now.
            String[] before = datagrams.ask("count").split(" ");
            long kept = log.kept().frames();
            assertThat(kept).isGreaterThan(20);
            replay.replay(log.drain(), Duration.ofSeconds(5));
            replay.detach();
            String[] after = datagrams.ask("stop").split(" ");
            assertThat(before[2]).isEqualTo("0");
            assertThat(Long.parseLong(after[2]))
                    .as("echoes of replayed datagrams")
                    .isBetween(kept - 20, kept);
            assertThat(after[1]).as("received").isEqualTo(after[0]);
            assertThat(headers).hasValue(12);
            assertThat(numbers).isSorted().doesNotHaveDuplicates();
        }
        assertNothingLeft();
    }

    @Test
    void onUserNetworkingOutputIsHeldAndReleasedToo() throws Exception {
        int port;
        try (ServerSocket free = new ServerSocket(0)) {
            port = free.getLocalPort();
        }
        try (NetGuest user = NetGuest.onUserNetworking(port);
                NetClient redis =
                        user.client(RedisLines.class, "127.0.0.1", Integer.toString(port))) {
            assertThat(redis.hear(10_000)).isEqualTo("connected");
            assertThat(redis.ask("PING")).isEqualTo("+PONG");
            NicGate gate = attach(user, BOUND_BYTES, () -> {});
            redis.say("PING");
            assertThat(redis.hear(700)).isNull();
            user.suspend();
            gate.closeEpoch(1);
            user.resume();
            assertThat(redis.hear(300)).isNull();
            gate.release(1);
            assertThat(redis.hear(2000)).isEqualTo("+PONG");
            gate.detach();
            assertThat(redis.ask("PING")).isEqualTo("+PONG");
        }
    }

    private static NetClient redis() throws IOException, InterruptedException {
        NetClient client =
                guest.client(
                        RedisLines.class, NetGuest.ADDRESS, Integer.toString(NetGuest.REDIS_PORT));
        assertThat(client.hear(15_000)).isEqualTo("connected");
        return client;
    }

    private static NetClient datagrams(int perSecond, int bytes)
            throws IOException, InterruptedException {
        NetClient client =
                guest.client(
                        NumberedDatagrams.class,
                        NetGuest.ADDRESS,
                        Integer.toString(NetGuest.ECHO_PORT),
                        Integer.toString(perSecond),
                        Integer.toString(bytes));
        for (int i = 0; i < 200; i++) {
            String counts = client.ask("count");
            assertThat(counts).isNotNull();
            if (Integer.parseInt(counts.split(" ")[1]) > 0) {
                return client;
            }
            TimeUnit.MILLISECONDS.sleep(20);
        }
        client.close();
        throw new AssertionError("no echo");
    }

    private static int received(NetClient datagrams) throws IOException, InterruptedException {
        return Integer.parseInt(datagrams.ask("count").split(" ")[1]);
    }

    private static void assertEverythingCameBackOnceInOrder(String counts) {
        String[] fields = counts.split(" ");
        System.out.println(
                "FIGURE datagrams sent received duplicates reordered silence ms " + counts);
        assertThat(fields[1]).as("received of sent: " + counts).isEqualTo(fields[0]);
        assertThat(fields[2]).as("duplicates: " + counts).isEqualTo("0");
        assertThat(fields[3]).as("reordered: " + counts).isEqualTo("0");
    }

    private static void assertNothingLeft() {
        assertThat(NicGate.removeLeftovers(guest.qmp)).as("filters and chardevs left").isZero();
    }

    private static String summary(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return "median %.2f p95 %.2f max %.2f"
                .formatted(
                        sorted[sorted.length / 2],
                        sorted[sorted.length * 95 / 100],
                        sorted[sorted.length - 1]);
    }
}
