package holdfast.bench;

import holdfast.engine.port.Domain;
import holdfast.engine.remus.PrimaryEvent;
import holdfast.engine.remus.PrimaryOutcome;
import holdfast.engine.remus.SecondaryOutcome;
import holdfast.node.link.LinkListener;
import holdfast.node.link.NodeAddress;
import holdfast.node.link.NodeIdentity;
import holdfast.node.link.SessionAccepter;
import holdfast.node.session.Arbiters;
import holdfast.node.session.PrimaryFigures;
import holdfast.node.session.ProtectedGuest;
import holdfast.node.session.RemusPrimary;
import holdfast.node.session.RemusSecondary;
import holdfast.node.session.SecondaryFigures;
import holdfast.qemu.domain.QemuStandby;
import holdfast.qemu.launch.Accelerator;
import holdfast.qemu.launch.DomainSpec;
import holdfast.wire.Bytes;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.Standing;
import holdfast.wire.link.StreamEncoding;

import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;

/**
 * A guest protected by a secondary with a QEMU of its own, both in this process, over TCP on
 * loopback: the sessions that a node runs, without the node around them.
 */
final class Protection implements AutoCloseable {
    private static final int HEARTBEAT_MILLIS = 50;
    private static final int DEADLINE_MILLIS = 5_000;
    private static final Duration LIMIT = Duration.ofSeconds(60);

    private final LinkListener listener;
    private final AtomicReference<RemusSecondary> secondary;
    private final RemusPrimary primary;

    private Protection(
            LinkListener listener,
            AtomicReference<RemusSecondary> secondary,
            RemusPrimary primary) {
        this.listener = listener;
        this.secondary = secondary;
        this.primary = primary;
    }

    /**
     * Returns when the first checkpoint is committed.
     *
     * @param standby the guest's machine with this host's ends
     */
    static Protection start(
            BenchGuest guest, DomainSpec standby, ProtectedGuest measured, Duration interval)
            throws IOException, InterruptedException {
        String id = UUID.randomUUID().toString().substring(0, 8);
        AtomicReference<RemusSecondary> secondary = new AtomicReference<>();
        CompletableFuture<Void> isProtected = new CompletableFuture<>();
        LinkListener listener =
                LinkListener.open(
                        "127.0.0.1",
                        0,
                        new NodeIdentity("bench-b", UUID.randomUUID(), "bench"),
                        accepter(guest, standby, "standby-" + id, secondary, isProtected));
        try {
            RemusPrimary primary =
                    RemusPrimary.start(
                            new RemusPrimary.Settings(
                                    new NodeAddress("127.0.0.1", listener.address().getPort()),
                                    opening(guest.spec(), interval),
                                    Optional.empty(),
                                    Arbiters.OPERATOR,
                                    interval,
                                    Optional.empty()),
                            measured,
                            new NodeIdentity("bench-a", UUID.randomUUID(), "bench"),
                            new PrimaryListener(isProtected));
            Protection protection = new Protection(listener, secondary, primary);
            try {
                isProtected.get(LIMIT.toSeconds(), TimeUnit.SECONDS);
                return protection;
            } catch (ExecutionException | TimeoutException e) {
                protection.close();
                throw new BenchException("the guest could not be protected: " + e, e);
            }
        } catch (IOException | RuntimeException e) {
            listener.close();
            throw e;
        }
    }

    private static LinkMessage.OpenSession opening(DomainSpec spec, Duration interval) {
        return new LinkMessage.OpenSession(
                UUID.randomUUID(),
                spec.name(),
                1,
                Bytes.ofHex("7b7d"),
                spec.memoryBytes(),
                StreamEncoding.DELTA,
                HEARTBEAT_MILLIS,
                DEADLINE_MILLIS,
                Math.toIntExact(interval.toMillis()),
                Arbiters.OPERATOR.kind(),
                List.of());
    }

    private static SessionAccepter accepter(
            BenchGuest guest,
            DomainSpec standby,
            String name,
            AtomicReference<RemusSecondary> secondary,
            CompletableFuture<Void> isProtected) {
        return new SessionAccepter() {
            @Override
            public Decision decide(
                    LinkMessage.Hello peer,
                    String address,
                    LinkMessage.OpenSession session,
                    Optional<LinkMessage.StayProtected> staying) {
                RemusSecondary accepted =
                        new RemusSecondary(
                                session,
                                peer.nodeName(),
                                address,
                                Arbiters.OPERATOR,
                                () ->
                                        QemuStandby.start(
                                                standby,
                                                BenchGuest.files(guest.scratch(), name),
                                                Accelerator.TCG,
                                                guest.scratch().memory().resolve(name + "-state"),
                                                BenchGuest.START_LIMIT),
                                Optional.empty(),
                                new SecondaryListener(isProtected));
                secondary.set(accepted);
                return accepted.accepted();
            }

            @Override
            public LinkMessage.Answer answer(LinkMessage.Hello peer, LinkMessage.Inquire inquiry) {
                return new LinkMessage.Answer(Standing.UNKNOWN, 0, "a bench remembers nothing");
            }
        };
    }

    private record PrimaryListener(CompletableFuture<Void> isProtected)
            implements RemusPrimary.Listener {
        @Override
        public void changed() {}

        @Override
        public void protectedNow() {
            isProtected.complete(null);
        }

        @Override
        public void finished(PrimaryOutcome outcome) {
            isProtected.completeExceptionally(new BenchException(outcome.reason()));
        }

        @Override
        public void broken(RuntimeException failure) {
            isProtected.completeExceptionally(failure);
        }
    }

    private record SecondaryListener(CompletableFuture<Void> isProtected)
            implements RemusSecondary.Listener {
        @Override
        public void changed() {}

        @Override
        public void finished(SecondaryOutcome outcome, Optional<Domain> survivor) {
            isProtected.completeExceptionally(new BenchException(outcome.reason()));
        }

        @Override
        public void broken(RuntimeException failure) {
            isProtected.completeExceptionally(failure);
        }
    }

    /** Fails if protection has ended by itself. */
    void requireAlive() {
        primary.outcome()
                .ifPresent(
                        outcome -> {
                            throw new BenchException("protection ended: " + outcome.reason());
                        });
    }

    PrimaryFigures primary() {
        return primary.figures();
    }

    SecondaryFigures secondary() {
        return secondary.get().figures();
    }

    String tracker() {
        return primary.tracking().kind();
    }

    /** Ends protection in order; the guest runs on, the standby is discarded. */
    @Override
    public void close() {
        try (listener) {
            if (primary.outcome().isEmpty()) {
                primary.request(new PrimaryEvent.Unprotect());
            }
            if (!primary.awaitEnd(LIMIT) || !secondary.get().awaitEnd(LIMIT)) {
                throw new BenchException("the session did not end within " + LIMIT);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new BenchException("interrupted while protection ended", e);
        } catch (IOException e) {
            throw new BenchException("the listener could not be closed", e);
        }
    }
}
