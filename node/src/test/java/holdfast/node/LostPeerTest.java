package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.link.NodeAddress;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.Standing;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/** A secondary that is away for long, in time that passes at once. */
@Timeout(30)
class LostPeerTest {
    private static final NodeAddress PEER = NodeAddress.parse("hostB:7227");
    private static final UUID SESSION = UUID.fromString("01020304-0506-0708-090a-0b0c0d0e0f10");

    @TempDir private Path directory;
    private StaleReplicas stale;
    private long nowNanos;
    private long asked;

    @BeforeEach
    void open() throws IOException {
        stale = new StaleReplicas(directory);
    }

    /** Of a node that is away for so long, and answers these then. */
    private LostPeer.Inquiry awayFor(long nanos, Standing... answers) {
        Deque<Standing> left = new ArrayDeque<>(List.of(answers));
        return (peer, session, question) -> {
            asked++;
            assertThat(peer).isEqualTo(PEER);
            assertThat(session).isEqualTo(SESSION);
            assertThat(question).isEqualTo(LinkMessage.Question.DISMISS);
            if (nowNanos < nanos) {
                throw new IOException("No route to host");
            }
            return new LinkMessage.Answer(left.remove(), 0, "back");
        };
    }

    /** As a node answers for a domain of generation 0: for a person, who has spoken. */
    @Test
    void one_that_nobody_decides_any_more_is_told_once() throws Exception {
        stale.put(SESSION, PEER);
        LostPeer.Inquiry remembered =
                (_, _, _) -> {
                    asked++;
                    return new LinkMessage.Answer(Standing.UNDECIDED, 1, "as remembered");
                };
        new LostPeer(stale, remembered, this::pass).tell(PEER, SESSION);
        assertThat(asked).isEqualTo(1);
        assertThat(stale.all()).isEmpty();
    }

    private boolean pass(long nanos) {
        nowNanos += nanos;
        return true;
    }

    @Test
    void one_that_is_back_after_days_is_told_within_half_a_minute() throws Exception {
        long away = TimeUnit.DAYS.toNanos(3);
        stale.put(SESSION, PEER);
        new LostPeer(
                        stale,
                        awayFor(away, Standing.UNDECIDED, Standing.UNDECIDED, Standing.DISCARDED),
                        this::pass)
                .tell(PEER, SESSION);
        assertThat(nowNanos - away).isBetween(0L, 3 * LostPeer.LATER_PAUSE_NANOS);
        assertThat(asked).isLessThan(3 * 24 * 120 + LostPeer.TELL_SOON_TIMES);
        assertThat(stale.all()).isEmpty();
    }

    @Test
    void one_that_is_back_soon_is_told_soon() throws Exception {
        long away = TimeUnit.SECONDS.toNanos(60);
        new LostPeer(stale, awayFor(away, Standing.UNKNOWN), this::pass).tell(PEER, SESSION);
        assertThat(nowNanos - away).isBetween(0L, LostPeer.PAUSE_NANOS);
    }

    @Test
    void what_a_daemon_did_not_come_to_tell_is_left_to_the_next_one() throws Exception {
        stale.put(SESSION, PEER);
        new LostPeer(stale, awayFor(Long.MAX_VALUE), nanos -> pass(nanos) && asked < 1000)
                .tell(PEER, SESSION);
        assertThat(asked).isEqualTo(1000);
        StaleReplicas next = new StaleReplicas(directory);
        assertThat(next.all()).containsExactly(java.util.Map.entry(SESSION, PEER));
        next.remove(SESSION);
        next.remove(SESSION);
        assertThat(next.all()).isEmpty();
    }

    @Test
    void one_that_was_written_by_half_is_passed_over() throws Exception {
        stale.put(SESSION, PEER);
        Files.createFile(directory.resolve(UUID.randomUUID().toString()));
        assertThat(stale.all()).containsOnlyKeys(SESSION);
    }
}
