package holdfast.node.link;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.remus.PrimaryEvent;
import holdfast.engine.remus.SecondaryEvent;
import holdfast.wire.colo.ToPrimary;
import holdfast.wire.colo.ToSecondary;
import holdfast.wire.link.ConnectionKind;
import holdfast.wire.link.LinkCodec;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.RefusalReason;
import holdfast.wire.link.Standing;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.zip.CRC32C;

@Timeout(30)
class TcpLinkTest {
    @TempDir Path directory;

    @Test
    void control_messages_arrive_in_order_both_ways() throws Exception {
        try (LinkPair pair = new LinkPair(100, 5000, Optional.empty())) {
            for (long epoch = 0; epoch < 500; epoch++) {
                pair.primary.send(epoch, new ToSecondary.CheckpointRequest());
                pair.primary.sendDigest(epoch, new CheckpointDigest(epoch * 3, (int) epoch));
                pair.secondary.send(epoch, new ToPrimary.CheckpointReply());
            }
            for (long epoch = 0; epoch < 500; epoch++) {
                assertThat(pair.nextAtSecondary())
                        .isEqualTo(
                                new SecondaryEvent.FromPrimary(
                                        epoch, new ToSecondary.CheckpointRequest()));
                assertThat(pair.nextAtSecondary())
                        .isEqualTo(
                                new SecondaryEvent.DigestReceived(
                                        epoch, new CheckpointDigest(epoch * 3, (int) epoch)));
                assertThat(pair.nextAtPrimary())
                        .isEqualTo(
                                new PrimaryEvent.FromSecondary(
                                        epoch, new ToPrimary.CheckpointReply()));
            }
        }
    }

    @Test
    void every_message_of_a_session_reaches_the_other_side_as_its_event() throws Exception {
        try (LinkPair pair = new LinkPair(100, 5000, Optional.empty())) {
            pair.primary.send(3, new ToSecondary.VmstateSize(77));
            assertThat(pair.nextAtSecondary())
                    .isEqualTo(new SecondaryEvent.FromPrimary(3, new ToSecondary.VmstateSize(77)));
            pair.primary.domainDied("QEMU is gone");
            assertThat(((SecondaryEvent.PeerLost) pair.nextAtSecondary()).reason())
                    .contains("host-a", "QEMU is gone");
            pair.secondary.claim("operator");
            assertThat(((PrimaryEvent.PeerTookOver) pair.nextAtPrimary()).reason())
                    .contains("host-b", "operator");
            pair.primary.stoodDown();
            assertThat(pair.nextAtSecondary()).isEqualTo(new SecondaryEvent.PrimaryStoodDown());
            pair.secondary.discarded("of its own will");
            assertThat(((PrimaryEvent.PeerClosed) pair.nextAtPrimary()).reason())
                    .contains("of its own will");
            pair.primary.dismiss("enough");
            assertThat(pair.nextAtSecondary()).isEqualTo(new SecondaryEvent.Dismiss("enough"));
            pair.secondary.discarded("enough");
            assertThat(pair.nextAtPrimary()).isEqualTo(new PrimaryEvent.Dismissed());
        }
    }

    @Test
    void standing_down_without_a_claim_breaks_the_protocol() throws Exception {
        try (LinkPair pair = new LinkPair(100, 5000, Optional.empty())) {
            pair.primary.stoodDown();
            assertThat(((SecondaryEvent.PeerViolated) pair.nextAtSecondary()).reason())
                    .contains("STOOD_DOWN");
        }
    }

    @Test
    void a_large_bulk_stream_arrives_whole_while_heartbeats_go_on() throws Exception {
        Path tee = directory.resolve("tee");
        long total = 256L << 20;
        try (LinkPair pair = new LinkPair(20, 400, Optional.of(tee))) {
            byte[] block = new byte[1 << 20];
            new Random(7).nextBytes(block);
            CRC32C sent = new CRC32C();
            CompletableFuture<Void> written = new CompletableFuture<>();
            pair.primary.transmit(
                    () -> {
                        for (long at = 0; at < total; at += block.length) {
                            ByteBuffer part = ByteBuffer.wrap(block);
                            while (part.hasRemaining()) {
                                pair.primary.bulk().write(part);
                            }
                            sent.update(block);
                        }
                        written.complete(null);
                    });
            CRC32C read = new CRC32C();
            ByteBuffer target = ByteBuffer.allocateDirect(1 << 20);
            // A receiver that does nothing for longer than the deadline: the peer is alive all the
            // same.
            Thread.sleep(900);
            for (long at = 0; at < total; ) {
                target.clear();
                at += pair.secondary.channel().read(target);
                read.update(target.flip());
            }
            written.get(5, TimeUnit.SECONDS);
            assertThat(read.getValue()).isEqualTo(sent.getValue());
            assertThat(pair.atPrimary).isEmpty();
            assertThat(pair.atSecondary).isEmpty();
            pair.primary.sendDigest(0, new CheckpointDigest(total - 5, 0));
        }
        assertThat(Files.size(tee)).as("cut after the last whole checkpoint").isEqualTo(total - 5);
    }

    @Test
    void inbound_frames_arrive_with_their_epoch() throws Exception {
        try (LinkPair pair = new LinkPair(100, 5000, Optional.empty())) {
            pair.primary.sendInbound(4, 1, 2, ByteBuffer.wrap(new byte[] {0, 0, 9, 8}));
            LinkPair.Inbound frame = LinkPair.next(pair.inbound);
            assertThat(frame)
                    .isEqualTo(
                            new LinkPair.Inbound(4, 1, 2, holdfast.wire.Bytes.ofHex("00000908")));
            pair.primary.sendInbound(4, 0, 0, ByteBuffer.allocate(LinkMessage.FRAME_BYTES_MAX + 1));
            assertThat(pair.primary.inboundDropped()).isOne();
        }
    }

    @Test
    void a_goodbye_with_a_dismissal_arrives_before_the_end() throws Exception {
        LinkPair pair = new LinkPair(100, 1000, Optional.empty());
        pair.primary.dismiss("the guest shut down");
        Thread closing = Thread.ofVirtual().start(pair.primary::close);
        assertThat(pair.nextAtSecondary())
                .isEqualTo(new SecondaryEvent.Dismiss("the guest shut down"));
        assertThat(((SecondaryEvent.PeerLost) pair.nextAtSecondary()).reason())
                .contains("closed the link", "the guest shut down");
        pair.secondary.close();
        assertThat(closing.join(java.time.Duration.ofSeconds(5))).isTrue();
        pair.listener.close();
    }

    @Test
    void a_process_that_dies_is_noticed_at_once() throws Exception {
        // Heartbeats are far away: only the end of the connection can tell.
        try (RawPeer raw = new RawPeer(60_000, 600_000)) {
            long start = System.nanoTime();
            raw.control.setOption(java.net.StandardSocketOptions.SO_LINGER, 0);
            raw.control.close();
            SecondaryEvent event = LinkPair.next(raw.events);
            assertThat(event).isInstanceOf(SecondaryEvent.PeerLost.class);
            assertThat(System.nanoTime() - start).isLessThan(TimeUnit.SECONDS.toNanos(1));
        }
    }

    @Test
    void silence_is_a_lost_peer_after_the_deadline_and_not_before() throws Exception {
        try (RawPeer raw = new RawPeer(50, 300)) {
            // The first word has time, see below; from then on the deadline counts.
            raw.control.write(LinkCodec.encode(new LinkMessage.Heartbeat(0)));
            long start = System.nanoTime();
            SecondaryEvent.PeerLost lost = (SecondaryEvent.PeerLost) LinkPair.next(raw.events);
            long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start);
            assertThat(lost.reason()).contains("nothing was heard for 3");
            assertThat(millis).isBetween(250L, 600L);
        }
    }

    @Test
    void a_peer_that_is_slow_to_begin_is_not_lost() throws Exception {
        try (RawPeer raw = new RawPeer(50, 100)) {
            assertThat(raw.events.poll(500, TimeUnit.MILLISECONDS)).isNull();
        }
    }

    @Test
    void a_bulk_reset_of_a_host_that_falls_silent_with_it_is_a_lost_peer() throws Exception {
        try (RawPeer raw = new RawPeer(50, 300)) {
            SocketChannel bulk = raw.joinBulk();
            raw.write(LinkCodec.encode(new LinkMessage.Heartbeat(0)));
            // The last heartbeat arrives together with the end of BULK.
            bulk.close();
            assertThat(raw.link.channel().read(ByteBuffer.allocate(8))).isEqualTo(-1);
            assertThat(LinkPair.next(raw.events)).isInstanceOf(SecondaryEvent.PeerLost.class);
            assertThat(raw.events).isEmpty();
        }
    }

    @Test
    void heartbeats_alone_keep_a_peer_alive() throws Exception {
        try (LinkPair pair = new LinkPair(20, 100, Optional.empty())) {
            assertThat(pair.atPrimary.poll(500, TimeUnit.MILLISECONDS)).isNull();
            assertThat(pair.atSecondary).isEmpty();
        }
    }

    @Test
    void a_corrupt_byte_breaks_the_protocol_and_is_no_lost_peer() throws Exception {
        try (RawPeer raw = new RawPeer(10_000, 60_000)) {
            ByteBuffer frame = LinkCodec.encode(new LinkMessage.Dismiss("end"));
            frame.put(frame.limit() - 1, (byte) 'X');
            raw.write(frame);
            assertThat(((SecondaryEvent.PeerViolated) LinkPair.next(raw.events)).reason())
                    .contains("host-a", "DISMISS body checksum");
            raw.write(LinkCodec.encode(new LinkMessage.Dismiss("end")));
            assertThat(LinkPair.next(raw.events)).isEqualTo(new SecondaryEvent.Dismiss("end"));

            ByteBuffer header = LinkCodec.encode(new LinkMessage.Dismiss("end"));
            header.put(2, (byte) 1);
            raw.write(header);
            assertThat(((SecondaryEvent.PeerViolated) LinkPair.next(raw.events)).reason())
                    .contains("frame header checksum");
            raw.write(LinkCodec.encode(new LinkMessage.Dismiss("unheard")));
            assertThat(raw.events.poll(200, TimeUnit.MILLISECONDS)).isNull();
        }
    }

    @Test
    void a_bulk_connection_that_breaks_alone_ends_the_session_in_order() throws Exception {
        try (LinkPair pair = new LinkPair(50, 400, Optional.empty())) {
            pair.primary.bulk().close();
            assertThat(pair.secondary.channel().read(ByteBuffer.allocate(8))).isEqualTo(-1);
            assertThat(((SecondaryEvent.PeerViolated) pair.nextAtSecondary()).reason())
                    .contains("the bulk connection ended while CONTROL still answers");
            pair.primary.transmit(() -> pair.primary.bulk().write(ByteBuffer.allocate(8)));
            assertThat(((PrimaryEvent.SessionFailed) pair.nextAtPrimary()).reason())
                    .contains("bulk connection broke", "host-b still answers");
        }
    }

    @Test
    void another_protocol_version_is_refused_with_both_named() throws Exception {
        CompletableFuture<TcpSecondaryLink> opened = new CompletableFuture<>();
        try (LinkPair pair = new LinkPair(100, 5000, Optional.empty());
                SocketChannel channel = SocketChannel.open()) {
            channel.connect(new InetSocketAddress("127.0.0.1", pair.address().port()));
            Handshake.write(
                    channel,
                    new LinkMessage.Hello(
                            List.of(9, 8),
                            "9.1",
                            "host-z",
                            UUID.randomUUID(),
                            ConnectionKind.CONTROL,
                            UUID.randomUUID()));
            LinkMessage.Refused refused = (LinkMessage.Refused) Handshake.read(channel);
            assertThat(refused.reason()).isEqualTo(RefusalReason.VERSION);
            assertThat(refused.text()).contains("host-z", "[9, 8]", "host-b", "[1]");
            assertThat(opened).isNotDone();
        }
    }

    @Test
    void a_refused_session_names_the_reason_and_changes_nothing() throws Exception {
        try (LinkPair pair = new LinkPair(100, 5000, Optional.empty())) {
            LinkMessage.OpenSession like = LinkPair.session(100, 500);
            LinkMessage.OpenSession unwelcome =
                    new LinkMessage.OpenSession(
                            like.session(),
                            "unwelcome",
                            1,
                            like.specJson(),
                            like.memoryBytes(),
                            like.encoding(),
                            100,
                            500,
                            25,
                            "none",
                            List.of());
            NodeAddress address = pair.address();
            assertThatThrownBy(
                            () ->
                                    TcpPrimaryLink.open(
                                            address,
                                            LinkPair.PRIMARY,
                                            unwelcome,
                                            Optional.empty(),
                                            _ -> {},
                                            BulkCompression.AUTO,
                                            Optional.empty()))
                    .isInstanceOf(LinkRefusedException.class)
                    .hasMessageContaining("free 1 GiB");
            assertThatThrownBy(
                            () ->
                                    TcpPrimaryLink.open(
                                            address,
                                            LinkPair.SECONDARY,
                                            unwelcome,
                                            Optional.empty(),
                                            _ -> {},
                                            BulkCompression.AUTO,
                                            Optional.empty()))
                    .isInstanceOf(LinkRefusedException.class)
                    .hasMessageContaining("its own peer");
        }
    }

    @Test
    void what_listens_but_is_no_node_is_told_apart() throws Exception {
        try (ServerSocket other = new ServerSocket(0)) {
            Thread.ofVirtual()
                    .start(
                            () -> {
                                try (var socket = other.accept()) {
                                    socket.getOutputStream()
                                            .write("HTTP/1.1 400 Bad Request\r\n\r\n".getBytes());
                                    socket.getInputStream().readAllBytes();
                                } catch (IOException e) {
                                    // The test has seen enough.
                                }
                            });
            NodeAddress address = new NodeAddress("127.0.0.1", other.getLocalPort());
            assertThatThrownBy(
                            () ->
                                    PeerInquiry.ask(
                                            address,
                                            LinkPair.PRIMARY,
                                            UUID.randomUUID(),
                                            LinkMessage.Question.STANDING))
                    .isInstanceOf(holdfast.wire.ProtocolException.class);
        }
    }

    @Test
    void an_inquiry_is_answered() throws Exception {
        try (LinkPair pair = new LinkPair(100, 5000, Optional.empty())) {
            assertThat(
                            PeerInquiry.ask(
                                            pair.address(),
                                            LinkPair.PRIMARY,
                                            UUID.randomUUID(),
                                            LinkMessage.Question.STANDING)
                                    .standing())
                    .isEqualTo(Standing.UNKNOWN);
        }
    }

    @Test
    void a_second_bulk_connection_is_refused() throws Exception {
        try (RawPeer raw = new RawPeer(10_000, 60_000)) {
            assertThat(raw.join(ConnectionKind.BULK)).isInstanceOf(LinkMessage.Welcome.class);
            assertThat(((LinkMessage.Refused) raw.join(ConnectionKind.BULK)).reason())
                    .isEqualTo(RefusalReason.SESSION);
        }
    }

    @Test
    void node_addresses_are_read_as_people_write_them() {
        assertThat(NodeAddress.parse("host-b")).isEqualTo(new NodeAddress("host-b", 7227));
        assertThat(NodeAddress.parse("10.0.0.2:99")).isEqualTo(new NodeAddress("10.0.0.2", 99));
        assertThat(NodeAddress.parse("[2001:db8::1]:99").toString()).isEqualTo("[2001:db8::1]:99");
        assertThat(NodeAddress.parse("2001:db8::1"))
                .isEqualTo(new NodeAddress("2001:db8::1", 7227));
        for (String wrong : List.of("", "host:", "host:0", "host:65536", "host:x", "[::1", "a b")) {
            assertThatThrownBy(() -> NodeAddress.parse(wrong))
                    .as(wrong)
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("node address");
        }
    }

    /** A primary played by hand, up to an accepted session; says nothing by itself. */
    private static final class RawPeer implements AutoCloseable {
        final java.util.concurrent.BlockingQueue<SecondaryEvent> events;
        final SocketChannel control;
        private final LinkPair host;
        private final LinkListener listener;
        private final TcpSecondaryLink link;
        private final LinkMessage.OpenSession session;

        RawPeer(int heartbeatMillis, int deadlineMillis) throws Exception {
            host = new LinkPair(100, 10_000, Optional.empty());
            events = host.atSecondary;
            CompletableFuture<TcpSecondaryLink> opened = new CompletableFuture<>();
            listener = LinkListener.open("127.0.0.1", 0, LinkPair.SECONDARY, host.accepter(opened));
            session = LinkPair.session(heartbeatMillis, deadlineMillis);
            control = SocketChannel.open(listener.address());
            greet(control, ConnectionKind.CONTROL);
            Handshake.write(control, session);
            assertThat(Handshake.read(control)).isInstanceOf(LinkMessage.SessionAccepted.class);
            link = opened.get(5, TimeUnit.SECONDS);
        }

        LinkMessage join(ConnectionKind kind) throws IOException {
            return greet(SocketChannel.open(listener.address()), kind);
        }

        SocketChannel joinBulk() throws IOException {
            SocketChannel channel = SocketChannel.open(listener.address());
            assertThat(greet(channel, ConnectionKind.BULK)).isInstanceOf(LinkMessage.Welcome.class);
            return channel;
        }

        private LinkMessage greet(SocketChannel channel, ConnectionKind kind) throws IOException {
            Handshake.write(
                    channel,
                    new LinkMessage.Hello(
                            List.of(2, 1),
                            "",
                            "host-a",
                            LinkPair.PRIMARY.id(),
                            kind,
                            session.session()));
            return Handshake.read(channel);
        }

        void write(ByteBuffer frame) throws IOException {
            while (frame.hasRemaining()) {
                control.write(frame);
            }
        }

        @Override
        public void close() throws IOException {
            control.close();
            link.close();
            listener.close();
            host.close();
        }
    }
}
