package holdfast.node.link;

import holdfast.wire.ProtocolException;
import holdfast.wire.TruncatedStreamException;
import holdfast.wire.link.ConnectionKind;
import holdfast.wire.link.LinkCodec;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.LinkMessage.Hello;
import holdfast.wire.link.LinkMessage.Refused;
import holdfast.wire.link.LinkMessage.Welcome;
import holdfast.wire.link.RefusalReason;

import java.io.EOFException;
import java.io.IOException;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.List;
import java.util.UUID;

/**
 * Opens and accepts connections. Everything here blocks, on channels in blocking mode, within a
 * deadline.
 */
final class Handshake {
    /** Time for one answer of a node that was reached. */
    static final Duration ANSWER_LIMIT = Duration.ofSeconds(5);

    static final Duration CONNECT_LIMIT = Duration.ofSeconds(5);

    private Handshake() {}

    /** A connection past its handshake. {@code offset}: bytes the peer has sent so far. */
    record Opened(SocketChannel channel, Welcome peer) {}

    static Opened open(NodeAddress address, NodeIdentity self, ConnectionKind kind, UUID session)
            throws IOException {
        return open(address, self, kind, session, List.of(LinkMessage.PROTOCOL_VERSION));
    }

    /**
     * @param versions that may be spoken, best first
     */
    static Opened open(
            NodeAddress address,
            NodeIdentity self,
            ConnectionKind kind,
            UUID session,
            List<Integer> versions)
            throws IOException {
        var resolved = address.resolve();
        if (resolved.isUnresolved()) {
            throw new IOException("the name \"" + address.host() + "\" is unknown to this host");
        }
        SocketChannel channel = SocketChannel.open();
        try {
            channel.socket().connect(resolved, (int) CONNECT_LIMIT.toMillis());
            tune(channel);
            Hello hello =
                    new Hello(
                            versions,
                            self.softwareVersion(),
                            self.name(),
                            self.id(),
                            kind,
                            session);
            return ClosingDeadline.within(
                    ANSWER_LIMIT,
                    channel,
                    address + " does not answer HELLO",
                    () -> {
                        write(channel, hello);
                        return welcomed(address, channel, versions);
                    });
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    private static Opened welcomed(
            NodeAddress address, SocketChannel channel, List<Integer> versions) throws IOException {
        return switch (read(channel)) {
            case Welcome welcome when versions.contains(welcome.version()) ->
                    new Opened(channel, welcome);
            case Welcome welcome ->
                    throw new LinkRefusedException(
                            address
                                    + " chose protocol version "
                                    + welcome.version()
                                    + ", which was not offered; offered "
                                    + versions);
            case Refused(RefusalReason reason, String text) ->
                    throw new LinkRefusedException(
                            address + " refuses: " + text, reason == RefusalReason.SAME_NODE);
            case LinkMessage other ->
                    throw new ProtocolException(
                            "link to " + address,
                            0,
                            "answer to HELLO",
                            "WELCOME or REFUSED",
                            name(other));
        };
    }

    /**
     * Small frames leave at once; socket buffers stay the kernel's, whose own tuning reaches
     * further than a fixed size may.
     */
    static void tune(SocketChannel channel) throws IOException {
        channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
    }

    static void write(SocketChannel channel, LinkMessage message) throws IOException {
        ByteBuffer frame = LinkCodec.encode(message);
        while (frame.hasRemaining()) {
            channel.write(frame);
        }
    }

    /**
     * Reads one frame and not a byte more.
     *
     * @throws EOFException when the connection ended before it
     */
    static LinkMessage read(SocketChannel channel) throws IOException {
        ByteBuffer head = ByteBuffer.allocate(LinkCodec.HEADER_BYTES);
        fill(channel, head, "frame header");
        LinkCodec.Header header = LinkCodec.decodeHeader(head.flip(), 0);
        ByteBuffer body = ByteBuffer.allocate(header.bodyBytes());
        fill(channel, body, header.type() + " body");
        return LinkCodec.decodeBody(header, body.flip());
    }

    private static void fill(SocketChannel channel, ByteBuffer target, String unit)
            throws IOException {
        while (target.hasRemaining()) {
            if (channel.read(target) < 0) {
                if (target.position() == 0 && unit.equals("frame header")) {
                    throw new EOFException("the other node closed the connection without a word");
                }
                throw new TruncatedStreamException(
                        "link", 0, unit, target.capacity(), target.position());
            }
        }
    }

    /** The message's name in the documents. */
    static String name(LinkMessage message) {
        return message.getClass()
                .getSimpleName()
                .replaceAll("(?<=[a-z])(?=[A-Z])", "_")
                .toUpperCase(java.util.Locale.ROOT);
    }
}
