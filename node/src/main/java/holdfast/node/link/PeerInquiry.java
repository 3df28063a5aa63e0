package holdfast.node.link;

import holdfast.wire.ProtocolException;
import holdfast.wire.link.ConnectionKind;
import holdfast.wire.link.LinkMessage;

import java.io.IOException;
import java.time.Duration;
import java.util.UUID;

/** Asks another node what became of a session that this node does not know the end of. */
public final class PeerInquiry {
    /** Long enough for the other node to end a replica first. */
    private static final Duration LIMIT = Duration.ofSeconds(20);

    private PeerInquiry() {}

    /**
     * @throws LinkRefusedException if the other node says no
     * @throws IOException if it cannot be reached; nothing follows from that
     * @throws ProtocolException if what answers is no node
     */
    public static LinkMessage.Answer ask(
            NodeAddress address, NodeIdentity self, UUID session, LinkMessage.Question question)
            throws IOException {
        Handshake.Opened opened = Handshake.open(address, self, ConnectionKind.INQUIRY, session);
        try (var channel = opened.channel()) {
            return ClosingDeadline.within(
                    LIMIT,
                    channel,
                    address + " does not answer INQUIRE",
                    () -> {
                        Handshake.write(channel, new LinkMessage.Inquire(session, question));
                        return switch (Handshake.read(channel)) {
                            case LinkMessage.Answer answer -> answer;
                            case LinkMessage other ->
                                    throw new ProtocolException(
                                            "link to " + address,
                                            ProtocolException.OFFSET_UNKNOWN,
                                            "answer to INQUIRE",
                                            "ANSWER",
                                            Handshake.name(other));
                        };
                    });
        }
    }
}
