package holdfast.node.session;

import holdfast.engine.port.Domain;
import holdfast.engine.remus.PrimaryOutcome;
import holdfast.engine.remus.SecondaryOutcome;
import holdfast.node.disk.ReplicaImages;
import holdfast.node.link.LinkListener;
import holdfast.node.link.NodeAddress;
import holdfast.node.link.NodeIdentity;
import holdfast.node.link.SessionAccepter;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.Standing;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;

/**
 * Both sessions of a protection in this process, with real connections between them. Whoever makes
 * it ends the sessions, one way or the other, and then closes it.
 */
final class SessionPair implements AutoCloseable {
    final CompletableFuture<PrimaryOutcome> primaryOutcome = new CompletableFuture<>();
    final CompletableFuture<SecondaryOutcome> secondaryOutcome = new CompletableFuture<>();

    /** The first commit is there. */
    final CompletableFuture<Void> protectedNow = new CompletableFuture<>();

    final RemusSecondary secondary;
    private final LinkMessage.OpenSession opening;
    private final Arbiters arbiter;
    private final LinkListener listener;

    /**
     * The secondary, which listens.
     *
     * @param images one for each disk in {@code opening}
     */
    SessionPair(
            LinkMessage.OpenSession opening,
            Arbiters arbiter,
            PagedStandby standby,
            Optional<ReplicaImages> images)
            throws IOException {
        this.opening = opening;
        this.arbiter = arbiter;
        this.secondary =
                new RemusSecondary(
                        opening,
                        "host-a",
                        "127.0.0.1",
                        arbiter,
                        () -> standby,
                        images,
                        new SecondarySide());
        this.listener =
                LinkListener.open(
                        "127.0.0.1",
                        0,
                        new NodeIdentity("host-b", UUID.randomUUID(), "test"),
                        new Accepting());
    }

    /** Of the secondary. */
    InetSocketAddress address() throws IOException {
        return listener.address();
    }

    /**
     * The primary begins.
     *
     * @param guest that is protected; a survivor of it is closed at once
     * @param port of this host that leads to the secondary
     */
    RemusPrimary protect(ProtectedGuest guest, int port) throws IOException {
        return RemusPrimary.start(
                new RemusPrimary.Settings(
                        new NodeAddress("127.0.0.1", port),
                        opening,
                        Optional.empty(),
                        arbiter,
                        Duration.ofMillis(5),
                        Optional.empty()),
                guest,
                new NodeIdentity("host-a", UUID.randomUUID(), "test"),
                new PrimarySide());
    }

    @Override
    public void close() throws IOException {
        listener.close();
    }

    private final class SecondarySide implements RemusSecondary.Listener {
        @Override
        public void changed() {}

        @Override
        public void finished(SecondaryOutcome outcome, Optional<Domain> survivor) {
            survivor.ifPresent(domain -> ((PagedGuest) domain).close());
            secondaryOutcome.complete(outcome);
        }

        @Override
        public void broken(RuntimeException failure) {
            secondaryOutcome.completeExceptionally(failure);
        }
    }

    private final class PrimarySide implements RemusPrimary.Listener {
        @Override
        public void changed() {}

        @Override
        public void protectedNow() {
            protectedNow.complete(null);
        }

        @Override
        public void finished(PrimaryOutcome outcome) {
            primaryOutcome.complete(outcome);
        }

        @Override
        public void broken(RuntimeException failure) {
            primaryOutcome.completeExceptionally(failure);
        }
    }

    private final class Accepting implements SessionAccepter {
        @Override
        public Decision decide(
                LinkMessage.Hello peer,
                String address,
                LinkMessage.OpenSession session,
                Optional<LinkMessage.StayProtected> staying) {
            return secondary.accepted();
        }

        @Override
        public LinkMessage.Answer answer(LinkMessage.Hello peer, LinkMessage.Inquire inquiry) {
            return new LinkMessage.Answer(Standing.UNKNOWN, 0, "");
        }
    }
}
