package holdfast.node.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.wire.nbd.HandshakeCodec;
import holdfast.wire.nbd.NbdMessage.ClientFlags;
import holdfast.wire.nbd.NbdMessage.ExportReply;
import holdfast.wire.nbd.NbdMessage.Padding;
import holdfast.wire.nbd.NbdOption;
import holdfast.wire.nbd.NbdOptionReply;
import holdfast.wire.nbd.NbdReply;
import holdfast.wire.nbd.NbdRequest;
import holdfast.wire.nbd.TransmissionCodec;

import java.io.EOFException;
import java.io.IOException;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.List;

/** Speaks NBD word by word, also wrongly. Its waits are bounded by the test's time limit. */
final class TestClient implements AutoCloseable {
    final SocketChannel channel;
    private final ByteBuffer out = ByteBuffer.allocate(HandshakeCodec.MESSAGE_BYTES_MAX);
    private Padding padding = Padding.ZEROES;

    TestClient(SocketAddress address) throws IOException {
        channel =
                address instanceof UnixDomainSocketAddress
                        ? SocketChannel.open(StandardProtocolFamily.UNIX)
                        : SocketChannel.open();
        channel.connect(address);
    }

    /** Past the greeting. */
    static TestClient greeted(SocketAddress address, Padding padding) throws IOException {
        TestClient client = new TestClient(address);
        HandshakeCodec.decodeGreeting(client.receive(HandshakeCodec.GREETING_BYTES), 0);
        client.padding = padding;
        HandshakeCodec.encode(new ClientFlags(padding), client.out);
        client.send();
        return client;
    }

    /** Ready for requests, with structured replies and block status. */
    static TestClient structured(SocketAddress address, String export) throws IOException {
        TestClient client = greeted(address, Padding.NONE);
        assertThat(client.ask(new NbdOption.StructuredReply()))
                .containsExactly(new NbdOptionReply.Ack(8));
        client.ask(new NbdOption.SetMetaContext(export, List.of(Negotiation.ALLOCATION)));
        assertThat(client.ask(new NbdOption.Go(export, List.of())).getLast())
                .isEqualTo(new NbdOptionReply.Ack(7));
        return client;
    }

    /** Ready for requests, as the oldest clients are. */
    static TestClient simple(SocketAddress address, String export) throws IOException {
        TestClient client = greeted(address, Padding.ZEROES);
        client.exportName(export);
        return client;
    }

    ExportReply exportName(String export) throws IOException {
        HandshakeCodec.encode(new NbdOption.ExportName(export), out);
        send();
        int bytes = padding == Padding.ZEROES ? 134 : 10;
        return HandshakeCodec.decodeExportReply(receive(bytes), padding, 0);
    }

    /** All replies to an option, up to its acknowledgement or refusal. */
    List<NbdOptionReply> ask(NbdOption option) throws IOException {
        HandshakeCodec.encode(option, out);
        send();
        List<NbdOptionReply> replies = new ArrayList<>();
        while (true) {
            NbdOptionReply reply = optionReply();
            assertThat(reply.option()).isEqualTo(option.number());
            replies.add(reply);
            if (reply instanceof NbdOptionReply.Ack || reply instanceof NbdOptionReply.Refused) {
                return replies;
            }
        }
    }

    NbdOptionReply optionReply() throws IOException {
        HandshakeCodec.ReplyHeader header =
                HandshakeCodec.decodeReplyHeader(receive(HandshakeCodec.REPLY_HEADER_BYTES), 0);
        return HandshakeCodec.decodeReply(header, receive(header.bodyBytes()));
    }

    void request(NbdRequest request) throws IOException {
        TransmissionCodec.encode(request, out);
        send();
    }

    void write(long cookie, long offset, byte[] data) throws IOException {
        request(new NbdRequest.Write(cookie, 0, offset, data.length));
        raw(data);
    }

    /** The next reply; the data of a READ are still to be received. */
    NbdReply reply() throws IOException {
        ByteBuffer start = receive(4);
        boolean chunk = start.getInt(0) == 0x668e33ef;
        int header =
                chunk ? TransmissionCodec.CHUNK_HEADER_BYTES : TransmissionCodec.SIMPLE_REPLY_BYTES;
        ByteBuffer head = receive(header - 4);
        int body = 0;
        if (chunk) {
            int type = head.getShort(2);
            body = type == 1 ? 8 : head.getInt(12);
        }
        ByteBuffer whole = ByteBuffer.allocate(header + body);
        whole.put(start).put(head).put(receive(body)).flip();
        return TransmissionCodec.decodeReply(whole, 0);
    }

    void raw(byte... octets) throws IOException {
        ByteBuffer buffer = ByteBuffer.wrap(octets);
        while (buffer.hasRemaining()) {
            channel.write(buffer);
        }
    }

    private void send() throws IOException {
        out.flip();
        while (out.hasRemaining()) {
            channel.write(out);
        }
        out.clear();
    }

    ByteBuffer receive(int bytes) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(bytes);
        while (buffer.hasRemaining()) {
            if (channel.read(buffer) < 0) {
                throw new EOFException("the server closed the connection");
            }
        }
        return buffer.flip();
    }

    /** Returns when the server has closed the connection; what it sent before is thrown away. */
    void awaitEnd() {
        ByteBuffer rest = ByteBuffer.allocate(4096);
        try {
            while (channel.read(rest.clear()) >= 0) {
                continue;
            }
        } catch (IOException e) {
            // Closed with unread bytes: reset. As good an end as any.
            return;
        }
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
