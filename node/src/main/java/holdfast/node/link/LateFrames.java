package holdfast.node.link;

import holdfast.engine.port.InboundFrames;
import holdfast.wire.Bytes;
import holdfast.wire.ProtocolException;
import holdfast.wire.link.ConnectionKind;
import holdfast.wire.link.LinkCodec;
import holdfast.wire.link.LinkMessage;

import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;

/**
 * What the network sent to a guest in its pause, and the source found when the guest had gone: over
 * an INBOUND connection of its own, after the migration. Its loss costs retransmissions.
 */
public final class LateFrames {
    private static final Duration LIMIT = Duration.ofSeconds(2);
    private static final int FRAMES_MAX = 4096;

    /** More than the source takes out; frames may be a little longer than that. */
    private static final long BYTES_MAX = 9 << 20;

    private LateFrames() {}

    /**
     * Sends them all.
     *
     * @throws LinkRefusedException if the destination does not want them, as one of an older
     *     release
     * @throws IOException if it cannot be reached, or takes too long
     */
    public static void send(
            NodeAddress address, NodeIdentity self, UUID migration, InboundFrames frames)
            throws IOException {
        try (SocketChannel channel =
                Handshake.open(address, self, ConnectionKind.INBOUND, migration).channel()) {
            ClosingDeadline.within(
                    LIMIT,
                    channel,
                    address + " does not take the frames of the pause",
                    () -> {
                        for (InboundFrames.Frame frame : frames.frames()) {
                            ByteBuffer encoded =
                                    LinkCodec.encode(
                                            new LinkMessage.InboundFrame(
                                                    0,
                                                    frame.nic(),
                                                    frame.vnetHeaderBytes(),
                                                    Bytes.copyOf(
                                                            MemorySegment.ofBuffer(
                                                                    frame.bytes()))));
                            while (encoded.hasRemaining()) {
                                channel.write(encoded);
                            }
                        }
                        return channel.shutdownOutput();
                    });
        }
    }

    /**
     * Takes them in, to the connection's end.
     *
     * @throws IOException if that does not come in time
     * @throws ProtocolException if something else comes
     */
    static InboundFrames receive(SocketChannel channel) throws IOException {
        return ClosingDeadline.within(
                LIMIT, channel, "the frames of the pause do not end", () -> toTheEnd(channel));
    }

    private static InboundFrames toTheEnd(SocketChannel channel) throws IOException {
        List<InboundFrames.Frame> frames = new ArrayList<>();
        long bytes = 0;
        try {
            while (true) {
                switch (Handshake.read(channel)) {
                    case LinkMessage.InboundFrame frame -> {
                        bytes += frame.bytes().size();
                        if (frames.size() == FRAMES_MAX || bytes > BYTES_MAX) {
                            throw tooMany(frames.size() + 1, bytes);
                        }
                        frames.add(
                                new InboundFrames.Frame(
                                        frame.nic(),
                                        frame.vnetHeaderBytes(),
                                        frame.bytes().asSegment().asByteBuffer()));
                    }
                    case LinkMessage other ->
                            throw new ProtocolException(
                                    "INBOUND",
                                    ProtocolException.OFFSET_UNKNOWN,
                                    "frame",
                                    "INBOUND_FRAME",
                                    Handshake.name(other));
                }
            }
        } catch (EOFException e) {
            return new InboundFrames(frames);
        }
    }

    private static ProtocolException tooMany(int frames, long bytes) {
        return new ProtocolException(
                "INBOUND",
                ProtocolException.OFFSET_UNKNOWN,
                "frames after a migration",
                "at most " + FRAMES_MAX + " and " + BYTES_MAX + " bytes",
                frames + " and " + bytes + " bytes");
    }
}
