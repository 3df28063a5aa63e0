package holdfast.node;

import static holdfast.node.NodeTest.await;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest.ArbiterKind;
import holdfast.node.link.FrameProxy;
import holdfast.node.link.FrameProxy.Act;
import holdfast.node.link.FrameProxy.Place;
import holdfast.node.link.FrameProxy.Way;
import holdfast.qemu.qmp.QmpClient;
import holdfast.wire.link.ConnectionKind;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.TimeUnit;

/**
 * The mirror loses one write of a guest in the middle of an epoch, which the guest believes done:
 * that epoch is nobody's. Two daemons, real QEMU processes, and a Redis in the guest that is asked
 * for an answer after the loss.
 */
@Tag("qemu")
@Timeout(180)
class LostWriteTest {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final int SILENCE_MILLIS = 2_000;

    /** A protected guest, and what is between its nodes and before its disk. */
    private static final class Protected implements AutoCloseable {
        final TestHosts hosts = new TestHosts();
        final FaultyMirroring faulty = new FaultyMirroring();
        final TestDaemon b = new TestDaemon(hosts, "b");
        final Node a;
        final FrameProxy proxy;
        final DiskGuest guest;
        final Socket redis;
        private final BufferedReader answers;

        Protected() throws Exception {
            b.start();
            a =
                    hosts.start(
                            "a",
                            Node.Looks.NEVER,
                            faulty.within(Mirroring.DEFAULT.stall(), Mirroring.DEFAULT.hang()));
            proxy = new FrameProxy("127.0.0.1", b.address());
            Path monitor = hosts.directory.resolve("third");
            DiskGuest plain =
                    DiskGuest.in(
                            hosts,
                            "g",
                            """
                            nics: [{user: true, mac: "52:54:00:12:34:56"}]
                            extra: [-qmp, "unix:%s,server=on,wait=off"]
                            """
                                    .formatted(monitor));
            guest =
                    new DiskGuest(
                            new DomainSource(
                                    plain.source().file(),
                                    plain.source()
                                            .yaml()
                                            .replace(
                                                    "panic=1",
                                                    "panic=1 hf.ip=10.0.2.15/24 hf.redis=on")),
                            plain.image(),
                            plain.serial());
            a.create(guest.source());
            guest.awaitWrites();
            int port;
            // Of this QEMU alone: the standby's is on the same host.
            try (ReservedPort reserved = ReservedPort.here();
                    QmpClient third = QmpClient.connect(monitor, LIMIT)) {
                port = reserved.port();
                third.execute(
                        "human-monitor-command",
                        Map.of(
                                "command-line",
                                "hostfwd_add net0 tcp:127.0.0.1:" + port + "-10.0.2.15:6379"));
            }
            redis = new Socket(InetAddress.getLoopbackAddress(), port);
            redis.setTcpNoDelay(true);
            answers =
                    new BufferedReader(
                            new InputStreamReader(
                                    redis.getInputStream(), StandardCharsets.US_ASCII));
            ask();
            assertThat(answer(LIMIT)).isEqualTo("+PONG");
            a.remus(
                    TestHosts.remus("g", proxy.port(), ArbiterKind.OPERATOR),
                    ProgressListener.none());
            await(a, "g", s -> s.protection().epochsCommitted() >= 10);
            ask();
            assertThat(answer(LIMIT)).as("through held output").isEqualTo("+PONG");
        }

        void ask() throws IOException {
            redis.getOutputStream().write("PING\r\n".getBytes(StandardCharsets.US_ASCII));
        }

        String answer(Duration limit) throws IOException {
            redis.setSoTimeout((int) limit.toMillis());
            return answers.readLine();
        }

        /** An answer would be one that the survivor could contradict; an end is none. */
        void requireSilence() {
            try {
                assertThat(answer(Duration.ofMillis(SILENCE_MILLIS))).isNull();
            } catch (IOException silentOrGone) {
                assertThat(silentOrGone)
                        .isInstanceOfAny(SocketTimeoutException.class, SocketException.class);
            }
        }

        /**
         * Loses a write; the dismissal that follows does not get to the other node.
         *
         * @return how many epochs are committed, now and for good
         */
        long lose() throws Exception {
            proxy.arm(new Place(ConnectionKind.CONTROL, Way.THERE, "DISMISS", 0, Act.HOLD));
            long seed = System.nanoTime();
            System.out.println("seed " + seed);
            faulty.newest().lose(1 + new Random(seed).nextInt(40));
            assertThat(faulty.newest().lost.await(30, TimeUnit.SECONDS)).isTrue();
            // What the guest does from here on can only be of the epoch that is lost, or later.
            ask();
            proxy.awaitReached();
            return a.status("g").protection().epochsCommitted();
        }

        @Override
        public void close() throws IOException {
            redis.close();
            faulty.close();
            proxy.close();
            try (hosts) {
                b.close();
            }
        }
    }

    @Test
    void its_epoch_is_not_committed_and_nothing_leaves_before_the_replica_is_discarded()
            throws Exception {
        try (Protected test = new Protected()) {
            long committed = test.lose();
            test.requireSilence();
            DomainStatus held = test.a.status("g");
            assertThat(held.protection().state()).isEqualTo("dismissing");
            assertThat(held.protection().epochsCommitted()).isEqualTo(committed);

            test.proxy.release();
            assertThat(test.answer(LIMIT)).isEqualTo("+PONG");
            DomainStatus alone = await(test.a, "g", s -> s.role() == Role.UNPROTECTED);
            assertThat(alone.state()).isEqualTo(State.RUNNING);
            assertThat(alone.protection().epochsCommitted()).isEqualTo(committed);
            assertThat(alone.lastEvent().text())
                    .contains("QEMU's mirror of disk 0 does not go on: a write failed");
            MigratingPair.await(
                    "the replica is gone",
                    () ->
                            test.b.client().list().stream()
                                    .allMatch(domain -> domain.state() == State.ENDED));
            test.guest.awaitWrites();

            // By a copy of the disk that begins anew, what was lost included.
            test.a.remus(
                    TestHosts.remus("g", test.b.port(), ArbiterKind.NONE), ProgressListener.none());
            await(test.a, "g", s -> s.protection().epochsCommitted() >= 10);
            ProcessHandle.of(alone.pid()).orElseThrow().destroyForcibly();
            await(test.b.client(), "g", s -> s.role() == Role.SURVIVOR);
            test.guest.awaitWrites();
        }
    }

    @Test
    void a_survivor_has_the_disk_of_the_epoch_before_it() throws Exception {
        try (Protected test = new Protected()) {
            long committed = test.lose();
            test.proxy.cut();
            DomainStatus undecided =
                    await(test.a, "g", s -> s.protection().state().equals("deciding"));
            assertThat(undecided.protection().epochsCommitted()).isEqualTo(committed);
            await(test.b.client(), "g", s -> s.protection().state().equals("deciding"));
            test.requireSilence();

            DomainStatus survivor = test.b.client().failover("g");
            assertThat(survivor.role()).isEqualTo(Role.SURVIVOR);
            System.out.println("survivor: " + survivor.lastEvent().text());
            test.requireSilence();
            await(test.a, "g", s -> s.protection().state().equals("finished"));
            // It compares each block with what its memory of that epoch says it wrote.
            test.guest.awaitWrites();
            test.b.client().destroy("g");
            test.guest.requirePattern(Path.of(survivor.disks().getFirst().path()));
        }
    }
}
