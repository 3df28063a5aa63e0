package holdfast.wire.xen;

import holdfast.wire.Bytes;
import holdfast.wire.ProtocolException;
import holdfast.wire.TruncatedStreamException;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/**
 * The octets of xl's handshake: fixed texts, all but the banner with their NUL, and one status
 * byte. Stateless.
 */
public final class XlMessageCodec {
    /** Longest message. */
    public static final int MESSAGE_BYTES_MAX = 54;

    /** Largest status: it is one byte. */
    static final int STATUS_MAX = 255;

    private static final String STREAM = "xl migration handshake";

    private static final Bytes BANNER =
            text("xl migration receiver ready, send binary domain data.\n");
    private static final Bytes RECEIVED = text("domain received, ready to unpause\0");
    private static final Bytes PERMISSION = text("domain is yours, you are cleared to unpause\0");
    private static final Bytes REPORT = text("my copy unpause results are as follows\0");

    private XlMessageCodec() {}

    /**
     * Puts a message at the target's position and advances it.
     *
     * @param target at least {@link #MESSAGE_BYTES_MAX} bytes
     */
    public static void encode(XlMessage message, ByteBuffer target) {
        switch (message) {
            case XlToSender.Banner _ -> put(BANNER, target);
            case XlToSender.DomainReceived _ -> put(RECEIVED, target);
            case XlToReceiver.DomainIsYours _ -> put(PERMISSION, target);
            case XlToSender.UnpauseResult(int status) -> {
                put(REPORT, target);
                target.put((byte) status);
            }
            case XlToSender.DomainIsYoursAgain _ -> put(PERMISSION, target);
        }
    }

    /**
     * How many bytes the sender's next message has: there is only one.
     *
     * @see #decodeToReceiver
     */
    public static int toReceiverBytes() {
        return PERMISSION.size();
    }

    /**
     * Takes a message of the sender off the source.
     *
     * @param streamOffset where the source's position stands in what the sender sent
     * @throws TruncatedStreamException if it is incomplete; the source's position has not moved
     * @throws ProtocolException if it is none of the sender's; the position has not moved
     */
    public static XlToReceiver decodeToReceiver(ByteBuffer source, long streamOffset) {
        int same = samePrefix(PERMISSION, source);
        if (same < PERMISSION.size()) {
            throw refused(source, streamOffset, same, PERMISSION);
        }
        source.position(source.position() + PERMISSION.size());
        return new XlToReceiver.DomainIsYours();
    }

    /**
     * Takes a message of the receiver off the source.
     *
     * @param streamOffset where the source's position stands in what the receiver sent
     * @throws TruncatedStreamException if it is incomplete; the source's position has not moved
     * @throws ProtocolException if it is none of the receiver's; the position has not moved
     */
    public static XlToSender decodeToSender(ByteBuffer source, long streamOffset) {
        Bytes text = nearest(source);
        int same = samePrefix(text, source);
        if (same < text.size()) {
            throw refused(source, streamOffset, same, text);
        }
        int begin = source.position();
        if (text == REPORT) {
            if (source.remaining() == REPORT.size()) {
                throw new TruncatedStreamException(
                        STREAM, streamOffset, "message", REPORT.size() + 1L, REPORT.size());
            }
            int status = Byte.toUnsignedInt(source.get(begin + REPORT.size()));
            source.position(begin + REPORT.size() + 1);
            return new XlToSender.UnpauseResult(status);
        }
        source.position(begin + text.size());
        return text == BANNER
                ? new XlToSender.Banner()
                : text == RECEIVED
                        ? new XlToSender.DomainReceived()
                        : new XlToSender.DomainIsYoursAgain();
    }

    /** The receiver's text that agrees with the source for longest. */
    private static Bytes nearest(ByteBuffer source) {
        Bytes nearest = BANNER;
        for (Bytes text : new Bytes[] {RECEIVED, PERMISSION, REPORT}) {
            if (samePrefix(text, source) > samePrefix(nearest, source)) {
                nearest = text;
            }
        }
        return nearest;
    }

    private static int samePrefix(Bytes text, ByteBuffer source) {
        int limit = Math.min(text.size(), source.remaining());
        int same = 0;
        while (same < limit && source.get(source.position() + same) == text.at(same)) {
            same++;
        }
        return same;
    }

    private static ProtocolException refused(
            ByteBuffer source, long streamOffset, int same, Bytes text) {
        if (same == source.remaining()) {
            return new TruncatedStreamException(
                    STREAM, streamOffset, "message", text.size(), source.remaining());
        }
        return new ProtocolException(
                STREAM,
                streamOffset + same,
                "byte " + same + " of the message",
                "0x%02x of \"%s\"".formatted(text.at(same), readable(text)),
                "0x%02x".formatted(source.get(source.position() + same)));
    }

    private static String readable(Bytes text) {
        return new String(text.toArray(), StandardCharsets.US_ASCII).strip().replace("\0", "");
    }

    private static Bytes text(String text) {
        return Bytes.copyOf(text.getBytes(StandardCharsets.US_ASCII));
    }

    private static void put(Bytes text, ByteBuffer target) {
        target.put(text.toArray());
    }
}
