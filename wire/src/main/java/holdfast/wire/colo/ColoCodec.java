package holdfast.wire.colo;

import holdfast.wire.ProtocolException;
import holdfast.wire.TruncatedStreamException;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Numbers and octets of COLO messages; all big-endian. Stateless. */
public final class ColoCodec {
    /** Longest message. */
    public static final int MESSAGE_BYTES_MAX = 12;

    /** Most device state one checkpoint may announce. */
    public static final long VMSTATE_BYTES_MAX = 1L << 30;

    private static final String STREAM = "colo messages";
    private static final int NUMBER_BYTES = 4;

    private static final int CHECKPOINT_READY = 0;
    private static final int CHECKPOINT_REQUEST = 1;
    private static final int CHECKPOINT_REPLY = 2;
    private static final int VMSTATE_SEND = 3;
    private static final int VMSTATE_SIZE = 4;
    private static final int VMSTATE_RECEIVED = 5;
    private static final int VMSTATE_LOADED = 6;

    private ColoCodec() {}

    /**
     * Puts a message at the target's position and advances it.
     *
     * @param target at least {@link #MESSAGE_BYTES_MAX} bytes, in any byte order
     */
    public static void encode(ColoMessage message, ByteBuffer target) {
        switch (message) {
            case ToPrimary.CheckpointReady _ -> putInt(CHECKPOINT_READY, target);
            case ToSecondary.CheckpointRequest _ -> putInt(CHECKPOINT_REQUEST, target);
            case ToPrimary.CheckpointReply _ -> putInt(CHECKPOINT_REPLY, target);
            case ToSecondary.VmstateSend _ -> putInt(VMSTATE_SEND, target);
            case ToSecondary.VmstateSize(long stateBytes) -> {
                putInt(VMSTATE_SIZE, target);
                putInt((int) (stateBytes >>> 32), target);
                putInt((int) stateBytes, target);
            }
            case ToPrimary.VmstateReceived _ -> putInt(VMSTATE_RECEIVED, target);
            case ToPrimary.VmstateLoaded _ -> putInt(VMSTATE_LOADED, target);
        }
    }

    /**
     * How many bytes the message at the source's position has, as far as can be told: the length of
     * its number while that is incomplete.
     */
    public static int messageBytes(ByteBuffer source) {
        if (source.remaining() < NUMBER_BYTES) {
            return NUMBER_BYTES;
        }
        return intAt(source, 0) == VMSTATE_SIZE ? MESSAGE_BYTES_MAX : NUMBER_BYTES;
    }

    /**
     * Takes a message from the primary off the source.
     *
     * @throws TruncatedStreamException if it is incomplete; the source's position has not moved
     * @throws ProtocolException if it is none of the primary's; the position has not moved
     */
    public static ToSecondary decodeToSecondary(ByteBuffer source) {
        int bytes = checkComplete(source);
        int number = intAt(source, 0);
        ToSecondary message =
                switch (number) {
                    case CHECKPOINT_REQUEST -> new ToSecondary.CheckpointRequest();
                    case VMSTATE_SEND -> new ToSecondary.VmstateSend();
                    case VMSTATE_SIZE -> new ToSecondary.VmstateSize(checkedSize(source));
                    default -> throw unexpected(number, "1, 3 or 4 (from the primary)");
                };
        source.position(source.position() + bytes);
        return message;
    }

    /**
     * Takes a message from the secondary off the source.
     *
     * @throws TruncatedStreamException if it is incomplete; the source's position has not moved
     * @throws ProtocolException if it is none of the secondary's; the position has not moved
     */
    public static ToPrimary decodeToPrimary(ByteBuffer source) {
        int bytes = checkComplete(source);
        int number = intAt(source, 0);
        ToPrimary message =
                switch (number) {
                    case CHECKPOINT_READY -> new ToPrimary.CheckpointReady();
                    case CHECKPOINT_REPLY -> new ToPrimary.CheckpointReply();
                    case VMSTATE_RECEIVED -> new ToPrimary.VmstateReceived();
                    case VMSTATE_LOADED -> new ToPrimary.VmstateLoaded();
                    default -> throw unexpected(number, "0, 2, 5 or 6 (from the secondary)");
                };
        source.position(source.position() + bytes);
        return message;
    }

    private static int checkComplete(ByteBuffer source) {
        int bytes = messageBytes(source);
        if (source.remaining() < bytes) {
            throw new TruncatedStreamException(
                    STREAM, ProtocolException.OFFSET_UNKNOWN, "message", bytes, source.remaining());
        }
        return bytes;
    }

    private static long checkedSize(ByteBuffer source) {
        long size =
                (long) intAt(source, NUMBER_BYTES) << 32
                        | Integer.toUnsignedLong(intAt(source, NUMBER_BYTES + 4));
        if (size < 0 || size > VMSTATE_BYTES_MAX) {
            throw new ProtocolException(
                    STREAM,
                    ProtocolException.OFFSET_UNKNOWN,
                    "VMSTATE_SIZE",
                    "0.." + VMSTATE_BYTES_MAX,
                    Long.toUnsignedString(size));
        }
        return size;
    }

    private static ProtocolException unexpected(int number, String expected) {
        return new ProtocolException(
                STREAM,
                ProtocolException.OFFSET_UNKNOWN,
                "message number",
                expected,
                Integer.toUnsignedString(number));
    }

    private static void putInt(int value, ByteBuffer target) {
        target.putInt(target.order() == ByteOrder.BIG_ENDIAN ? value : Integer.reverseBytes(value));
    }

    private static int intAt(ByteBuffer source, int index) {
        int value = source.getInt(source.position() + index);
        return source.order() == ByteOrder.BIG_ENDIAN ? value : Integer.reverseBytes(value);
    }
}
