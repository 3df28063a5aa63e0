package holdfast.node.session;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.engine.port.Arbiter;
import holdfast.engine.remus.PrimaryEvent;
import holdfast.engine.remus.PrimaryOutcome;
import holdfast.engine.remus.PrimaryState;
import holdfast.engine.remus.SecondaryEvent;
import holdfast.engine.remus.SecondaryOutcome;
import holdfast.engine.remus.SecondaryState;
import holdfast.wire.Bytes;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.StreamEncoding;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/** Both shells with real connections and a guest of plain memory. */
@Timeout(60)
class RemusOverTcpTest {
    private static final long PAGES = 1024;

    @ParameterizedTest
    @EnumSource(StreamEncoding.class)
    void after_two_hundred_epochs_and_a_cut_the_replica_is_the_committed_state(
            StreamEncoding encoding) throws Exception {
        try (Pair pair = new Pair(encoding, Arbiters.NONE)) {
            pair.awaitCommits(200);
            // Death of the process: its output stays held, its connections end.
            pair.cut();
            PagedStandby.TakenOver survivor = pair.standby.takenOver.get(10, TimeUnit.SECONDS);
            assertThat(survivor.foundChecksum()).isEqualTo(survivor.expectedChecksum());
            assertThat(survivor.inboundFrames()).isPositive();
            SecondaryOutcome outcome = pair.secondaryOutcome.get(10, TimeUnit.SECONDS);
            assertThat(outcome).isInstanceOf(SecondaryOutcome.Survived.class);
            assertThat(((SecondaryOutcome.Survived) outcome).epoch())
                    .as("nothing was released that the survivor does not remember")
                    .isGreaterThanOrEqualTo(pair.guest.releasedEpoch.get());
        }
    }

    @Test
    void unprotecting_discards_the_replica_and_leaves_the_guest_running() throws Exception {
        try (Pair pair = new Pair(StreamEncoding.DELTA, Arbiters.OPERATOR)) {
            pair.awaitCommits(5);
            pair.primary.request(new PrimaryEvent.Unprotect());
            assertThat(pair.primaryOutcome.get(10, TimeUnit.SECONDS))
                    .isInstanceOf(PrimaryOutcome.Unprotected.class);
            assertThat(pair.secondaryOutcome.get(10, TimeUnit.SECONDS))
                    .isInstanceOf(SecondaryOutcome.Discarded.class);
            pair.standby.closed.get(5, TimeUnit.SECONDS);
            assertThat(pair.guest.running()).isTrue();
            assertThat(pair.primary.figures().epochsCommitted()).isGreaterThanOrEqualTo(5);
        }
    }

    @Test
    void an_operators_failover_stops_the_primary_before_the_survivor_runs() throws Exception {
        try (Pair pair = new Pair(StreamEncoding.DELTA, Arbiters.OPERATOR)) {
            pair.awaitCommits(5);
            // Looked at while the survivor is being let run, not afterwards.
            CompletableFuture<Boolean> destroyedFirst =
                    pair.standby.takenOver.thenApply(_ -> pair.guest.destroyed());
            pair.secondary.request(new SecondaryEvent.FailOver());
            PagedStandby.TakenOver survivor = pair.standby.takenOver.get(10, TimeUnit.SECONDS);
            assertThat(survivor.foundChecksum()).isEqualTo(survivor.expectedChecksum());
            assertThat(destroyedFirst.get(10, TimeUnit.SECONDS)).isTrue();
            assertThat(pair.primaryOutcome.get(10, TimeUnit.SECONDS))
                    .isInstanceOf(PrimaryOutcome.StoodDown.class);
            assertThat(pair.secondaryOutcome.get(10, TimeUnit.SECONDS))
                    .isInstanceOf(SecondaryOutcome.Survived.class);
        }
    }

    @Test
    void with_the_operator_as_arbiter_a_cut_alone_starts_nothing() throws Exception {
        try (Pair pair = new Pair(StreamEncoding.DELTA, Arbiters.OPERATOR)) {
            pair.awaitCommits(5);
            pair.cut();
            pair.await(
                    () ->
                            pair.secondary.state()
                                    instanceof holdfast.engine.remus.SecondaryState.Deciding);
            pair.secondary.request(new SecondaryEvent.FailOver());
            assertThat(pair.standby.takenOver).isNotDone();
            pair.secondary.request(new SecondaryEvent.Verdict(Arbiter.Verdict.GO_ON));
            PagedStandby.TakenOver survivor = pair.standby.takenOver.get(10, TimeUnit.SECONDS);
            assertThat(survivor.foundChecksum()).isEqualTo(survivor.expectedChecksum());
        }
    }

    @Test
    void a_guest_that_shuts_down_is_not_resurrected() throws Exception {
        try (Pair pair = new Pair(StreamEncoding.DELTA, Arbiters.NONE)) {
            pair.awaitCommits(5);
            pair.primary.post(
                    new PrimaryEvent.DomainEnded(
                            "the guest shut down", PrimaryOutcome.Ending.SHUT_DOWN));
            assertThat(pair.secondaryOutcome.get(10, TimeUnit.SECONDS))
                    .isInstanceOf(SecondaryOutcome.Discarded.class);
            assertThat(pair.standby.takenOver).isNotDone();
        }
    }

    @Test
    void a_domain_that_dies_on_the_primary_goes_on_at_the_secondary() throws Exception {
        try (Pair pair = new Pair(StreamEncoding.DELTA, Arbiters.NONE)) {
            pair.awaitCommits(5);
            long start = System.nanoTime();
            pair.primary.post(
                    new PrimaryEvent.DomainEnded("QEMU is gone", PrimaryOutcome.Ending.DIED));
            pair.standby.takenOver.get(10, TimeUnit.SECONDS);
            assertThat(System.nanoTime() - start)
                    .as("the primary's node says so: nobody waits for a deadline")
                    .isLessThan(TimeUnit.MILLISECONDS.toNanos(400));
        }
    }

    @Test
    void failed_captures_are_tried_again_and_lose_no_page() throws Exception {
        try (Pair pair = new Pair(StreamEncoding.DELTA, Arbiters.NONE)) {
            pair.awaitCommits(5);
            pair.guest.failCaptures = 2;
            long before = pair.primary.figures().epochsCommitted();
            pair.awaitCommits(before + 20);
            assertThat(pair.primary.figures().failures()).isEqualTo(2);
            pair.cut();
            PagedStandby.TakenOver survivor = pair.standby.takenOver.get(10, TimeUnit.SECONDS);
            assertThat(survivor.foundChecksum()).isEqualTo(survivor.expectedChecksum());
        }
    }

    /** A primary and a secondary. The cut is made by a relay between them. */
    private static final class Pair implements AutoCloseable {
        final PagedGuest guest = new PagedGuest(PAGES, 11);
        final PagedStandby standby = new PagedStandby(PAGES);
        final CompletableFuture<PrimaryOutcome> primaryOutcome;
        final CompletableFuture<SecondaryOutcome> secondaryOutcome;
        final RemusPrimary primary;
        final RemusSecondary secondary;
        private final Relay relay;
        private final SessionPair sessions;

        Pair(StreamEncoding encoding, Arbiters arbiter) throws Exception {
            LinkMessage.OpenSession opening =
                    new LinkMessage.OpenSession(
                            UUID.randomUUID(),
                            "guest",
                            1,
                            Bytes.ofHex("7b7d"),
                            PAGES * 4096,
                            encoding,
                            50,
                            // No test here is about silence: a busy machine must not look like it.
                            10_000,
                            25,
                            arbiter.kind(),
                            List.of());
            sessions = new SessionPair(opening, arbiter, standby, Optional.empty());
            relay = new Relay(sessions.address());
            primary = sessions.protect(guest, relay.port());
            secondary = sessions.secondary;
            primaryOutcome = sessions.primaryOutcome;
            secondaryOutcome = sessions.secondaryOutcome;
        }

        void cut() {
            relay.close();
        }

        void awaitCommits(long count) throws InterruptedException {
            await(() -> primary.figures().epochsCommitted() >= count);
        }

        void await(BooleanSupplier condition) throws InterruptedException {
            long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
            while (!condition.getAsBoolean()) {
                assertThat(primaryOutcome)
                        .as("%s %s", primary.state(), secondary.state())
                        .isNotCompletedExceptionally();
                assertThat(secondaryOutcome).isNotCompletedExceptionally();
                if (System.nanoTime() - until > 0) {
                    throw new AssertionError(primary.state() + " " + secondary.state());
                }
                Thread.onSpinWait();
                java.util.concurrent.locks.LockSupport.parkNanos(1_000_000);
            }
        }

        private void endUndecided() throws InterruptedException {
            await(
                    () -> {
                        if (primary.state() instanceof PrimaryState.Deciding) {
                            primary.post(new PrimaryEvent.Verdict(Arbiter.Verdict.GO_ON));
                        }
                        if (secondary.state() instanceof SecondaryState.Deciding) {
                            secondary.post(new SecondaryEvent.Verdict(Arbiter.Verdict.GO_ON));
                        }
                        return primaryOutcome.isDone() && secondaryOutcome.isDone();
                    });
        }

        @Override
        public void close() {
            relay.close();
            try {
                endUndecided();
                primaryOutcome.get(10, TimeUnit.SECONDS);
                secondaryOutcome.get(10, TimeUnit.SECONDS);
                sessions.close();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            } catch (java.util.concurrent.ExecutionException
                    | java.util.concurrent.TimeoutException
                    | InterruptedException e) {
                throw new AssertionError(
                        "the sessions did not end: " + primary.state() + " " + secondary.state(),
                        e);
            }
            guest.close();
        }
    }
}
