package holdfast.node.link;

import holdfast.engine.remus.PrimaryEvent;
import holdfast.engine.remus.SecondaryEvent;
import holdfast.wire.Bytes;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.Standing;
import holdfast.wire.link.StreamEncoding;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** Two ends of a link in one process, over loopback. */
final class LinkPair implements AutoCloseable {
    static final NodeIdentity PRIMARY = new NodeIdentity("host-a", UUID.randomUUID(), "test");
    static final NodeIdentity SECONDARY = new NodeIdentity("host-b", UUID.randomUUID(), "test");

    record Inbound(long epoch, int nic, int vnetHeaderBytes, Bytes bytes) {}

    final BlockingQueue<PrimaryEvent> atPrimary = new LinkedBlockingQueue<>();
    final BlockingQueue<SecondaryEvent> atSecondary = new LinkedBlockingQueue<>();
    final BlockingQueue<Inbound> inbound = new LinkedBlockingQueue<>();
    final LinkListener listener;
    final TcpPrimaryLink primary;
    final TcpSecondaryLink secondary;

    static LinkMessage.OpenSession session(int heartbeatMillis, int deadlineMillis) {
        return new LinkMessage.OpenSession(
                UUID.randomUUID(),
                "guest",
                1,
                Bytes.ofHex("7b7d"),
                1 << 20,
                StreamEncoding.PLAIN,
                heartbeatMillis,
                deadlineMillis,
                25,
                "operator",
                List.of());
    }

    /** An accepter that takes every session and has never heard of any other. */
    SessionAccepter accepter(CompletableFuture<TcpSecondaryLink> opened) {
        return new SessionAccepter() {
            @Override
            public Decision decide(
                    LinkMessage.Hello peer,
                    String address,
                    LinkMessage.OpenSession session,
                    Optional<LinkMessage.StayProtected> staying) {
                return session.domain().equals("unwelcome")
                        ? new Decision.Refused("no room for unwelcome; free 1 GiB")
                        : new Decision.Accepted(
                                atSecondary::add,
                                (epoch, nic, vnet, frame) -> {
                                    byte[] octets = new byte[frame.remaining()];
                                    frame.get(octets);
                                    inbound.add(
                                            new Inbound(epoch, nic, vnet, Bytes.copyOf(octets)));
                                },
                                Optional.empty(),
                                opened::complete,
                                reason -> opened.completeExceptionally(new IOException(reason)));
            }

            @Override
            public LinkMessage.Answer answer(LinkMessage.Hello peer, LinkMessage.Inquire inquiry) {
                return new LinkMessage.Answer(Standing.UNKNOWN, 0, "never heard of it");
            }
        };
    }

    LinkPair(int heartbeatMillis, int deadlineMillis, Optional<Path> tee) throws Exception {
        CompletableFuture<TcpSecondaryLink> opened = new CompletableFuture<>();
        listener = LinkListener.open("127.0.0.1", 0, SECONDARY, accepter(opened));
        primary =
                TcpPrimaryLink.open(
                        address(),
                        PRIMARY,
                        session(heartbeatMillis, deadlineMillis),
                        Optional.empty(),
                        atPrimary::add,
                        tee.isPresent() ? BulkCompression.NONE : BulkCompression.AUTO,
                        tee);
        secondary = opened.get(5, TimeUnit.SECONDS);
    }

    NodeAddress address() throws IOException {
        return new NodeAddress("127.0.0.1", listener.address().getPort());
    }

    PrimaryEvent nextAtPrimary() throws InterruptedException {
        return next(atPrimary);
    }

    SecondaryEvent nextAtSecondary() throws InterruptedException {
        return next(atSecondary);
    }

    static <T> T next(BlockingQueue<T> queue) throws InterruptedException {
        T event = queue.poll(5, TimeUnit.SECONDS);
        if (event == null) {
            throw new AssertionError("no event within 5 s");
        }
        return event;
    }

    @Override
    public void close() throws IOException {
        Thread other = Thread.ofVirtual().start(secondary::close);
        primary.close();
        Joining.join(other, TimeUnit.SECONDS.toNanos(10));
        listener.close();
    }
}
