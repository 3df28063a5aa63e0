package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateRequest.Compress;
import holdfast.node.api.MigrateRequest.OnTimeout;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.MigrationStatus;
import holdfast.node.api.Progress;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.util.ArrayList;
import java.util.List;

/**
 * What an operator may say about the rounds, held to on a real guest that writes 24 MiB over and
 * over.
 */
@Tag("qemu")
@Timeout(300)
class MigrationOptionsTest {
    private static final int WRITTEN_PAGES = 6_144;
    private static final double MIB = 1 << 20;

    /** Options that differ from the default ones. */
    private record Wish(
            int downtimeMillis,
            int roundsMax,
            long bandwidthMib,
            boolean autoConverge,
            int connections,
            int timeoutSeconds,
            OnTimeout onTimeout,
            Compress compress) {
        static final Wish PLAIN = new Wish(20, 30, 0, false, 1, 0, OnTimeout.CANCEL);

        /** Pages travel as they are. */
        Wish(
                int downtimeMillis,
                int roundsMax,
                long bandwidthMib,
                boolean autoConverge,
                int connections,
                int timeoutSeconds,
                OnTimeout onTimeout) {
            this(
                    downtimeMillis,
                    roundsMax,
                    bandwidthMib,
                    autoConverge,
                    connections,
                    timeoutSeconds,
                    onTimeout,
                    Compress.NONE);
        }

        MigrateRequest to(Node node) {
            MigrateRequest plain = MigrateRequest.of("g", "127.0.0.1:" + node.port());
            return plain.withRounds(downtimeMillis, roundsMax)
                    .withBandwidth(bandwidthMib)
                    .withAutoConverge(autoConverge)
                    .withConnections(connections)
                    .withTimeout(timeoutSeconds, onTimeout)
                    .withCompress(compress);
        }
    }

    /** One guest, moved there and back: its boot takes longer than all of that. */
    private static final class Pair implements AutoCloseable {
        final TestHosts hosts = new TestHosts();
        final WritingGuest guest = WritingGuest.in(hosts, "g", WRITTEN_PAGES);
        Node from = hosts.start("a");
        Node to = hosts.start("b");
        final List<MigrationStatus> heard = new ArrayList<>();

        Pair() throws Exception {
            from.create(guest.source());
            guest.awaitReady();
        }

        MigrateResult migrate(Wish wish) throws Exception {
            heard.clear();
            MigrateResult result = from.migrate(wish.to(to), this::hear);
            System.out.println(wish + ": " + result);
            if (result.moved()) {
                Node was = from;
                from = to;
                to = was;
            }
            assertThat(from.status("g").state()).isEqualTo(State.RUNNING);
            guest.awaitChecks();
            return result;
        }

        private void hear(Progress progress) {
            if (progress.migration() != null) {
                heard.add(progress.migration());
            }
        }

        @Override
        public void close() throws java.io.IOException {
            hosts.close();
        }
    }

    @Test
    void the_rounds_obey_every_option() throws Exception {
        try (Pair pair = new Pair()) {
            roundsAreBounded(pair);
            bandwidthIsBounded(pair);
            connectionsShareTheBandwidth(pair);
            timeoutCancels(pair);
            timeoutStops(pair);
            slowingDownConverges(pair);
            compressingShortensTheWay(pair);
        }
    }

    private static void roundsAreBounded(Pair pair) throws Exception {
        MigrateResult moved = pair.migrate(new Wish(1, 2, 0, false, 1, 0, OnTimeout.CANCEL));
        assertThat(moved.moved()).as(moved.reason()).isTrue();
        // Two that the policy counts, the one after the decision, and one more where the
        // destination was not ready after the first.
        assertThat(moved.migration().round() + 1).isBetween(2, 4);
        MigrateResult plain = pair.migrate(Wish.PLAIN);
        assertThat(plain.moved()).as(plain.reason()).isTrue();
        assertThat(plain.migration().round() + 1).as("rounds that bring nothing").isLessThan(20);
    }

    private static void bandwidthIsBounded(Pair pair) throws Exception {
        MigrateResult moved = pair.migrate(new Wish(500, 30, 40, false, 1, 0, OnTimeout.CANCEL));
        assertThat(moved.moved()).as(moved.reason()).isTrue();
        rateWasKept(pair, moved, 40);
        // 24 MiB at 40 MiB/s do not fit 500 ms, and never fewer are left.
        assertThat(moved.migration().round()).isGreaterThan(2);
    }

    private static void connectionsShareTheBandwidth(Pair pair) throws Exception {
        MigrateResult moved = pair.migrate(new Wish(1_000, 30, 60, false, 4, 0, OnTimeout.CANCEL));
        assertThat(moved.moved()).as(moved.reason()).isTrue();
        rateWasKept(pair, moved, 60);
        MigrateResult unbound = pair.migrate(new Wish(20, 30, 0, false, 16, 0, OnTimeout.CANCEL));
        assertThat(unbound.moved()).as(unbound.reason()).isTrue();
    }

    /** Whole rounds at the rate, within a tenth; a burst of 20 ms may come on top. */
    private static void rateWasKept(Pair pair, MigrateResult moved, long mibPerSecond) {
        long fastest =
                pair.heard.stream().mapToLong(MigrationStatus::bytesPerSecond).max().orElse(0);
        assertThat(fastest / MIB).isBetween(0.75 * mibPerSecond, 1.1 * mibPerSecond);
        assertThat(moved.migration().sentBytes() / MIB)
                .isLessThan(1.1 * mibPerSecond * moved.totalMillis() / 1000);
    }

    private static void timeoutCancels(Pair pair) throws Exception {
        long begun = System.nanoTime();
        MigrateResult stayed = pair.migrate(new Wish(20, 1000, 20, false, 1, 2, OnTimeout.CANCEL));
        assertThat(stayed.outcome()).isEqualTo("stayed");
        assertThat(stayed.reason()).contains("--timeout");
        assertThat(stayed.migration().stagesMicros().suspend()).isZero();
        assertThat((System.nanoTime() - begun) / 1e9).isLessThan(30);
        assertThat(pair.to.list()).noneMatch(domain -> domain.state() != State.ENDED);
    }

    private static void timeoutStops(Pair pair) throws Exception {
        MigrateResult moved = pair.migrate(new Wish(1, 1000, 60, false, 1, 2, OnTimeout.STOP));
        assertThat(moved.moved()).as(moved.reason()).isTrue();
        assertThat(moved.totalMillis()).isBetween(2_000.0, 20_000.0);
    }

    private static void slowingDownConverges(Pair pair) throws Exception {
        // A hundred pages may be left; at full speed it writes sixty times as many in a round.
        // Where
        // it never converges, all rounds take longer than the limit.
        MigrateResult moved = pair.migrate(new Wish(5, 1_000, 80, true, 1, 60, OnTimeout.CANCEL));
        assertThat(moved.moved()).as(moved.reason()).isTrue();
        assertThat(pair.heard)
                .anySatisfy(status -> assertThat(status.throttlePercent()).isPositive());
    }

    private static void compressingShortensTheWay(Pair pair) throws Exception {
        long plain = sent(pair, Compress.NONE, 1);
        // What the guest rewrites does not shrink; the rest of its memory does.
        assertThat(sent(pair, Compress.ZSTD, 1)).isLessThan(plain * 8 / 10);
        assertThat(sent(pair, Compress.ZSTD, 4)).isLessThan(plain * 8 / 10);
        assertThat(sent(pair, Compress.AUTO, 1)).isLessThan(plain * 9 / 10);
    }

    /** Bytes of two rounds and the rest, at 40 MiB/s. */
    private static long sent(Pair pair, Compress compress, int connections) throws Exception {
        MigrateResult moved =
                pair.migrate(
                        new Wish(5_000, 30, 40, false, connections, 0, OnTimeout.CANCEL, compress));
        assertThat(moved.moved()).as(moved.reason()).isTrue();
        return moved.migration().sentBytes();
    }
}
