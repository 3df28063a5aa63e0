package holdfast.wire.nbd;

import holdfast.wire.ProtocolException;
import holdfast.wire.TruncatedStreamException;
import holdfast.wire.nbd.NbdReply.ChunkType;
import holdfast.wire.nbd.NbdReply.Extent;
import holdfast.wire.nbd.NbdReply.Position;
import holdfast.wire.nbd.NbdRequest.Type;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** Requests and replies to bytes and back. */
public final class TransmissionCodec {
    /** Bytes of a request without its payload. */
    public static final int REQUEST_BYTES = 28;

    /** Bytes of a simple reply without its data. */
    public static final int SIMPLE_REPLY_BYTES = 16;

    /** Bytes of a chunk's header. */
    public static final int CHUNK_HEADER_BYTES = 20;

    /** Bytes of {@link NbdReply.OffsetData} without its data. */
    public static final int OFFSET_DATA_BYTES = CHUNK_HEADER_BYTES + 8;

    /** Bytes of any reply that this codec writes, without data, at most. */
    public static final int REPLY_BYTES_MAX = CHUNK_HEADER_BYTES + 4 + 8 * NbdMessage.EXTENTS_MAX;

    private static final int REQUEST_MAGIC = 0x25609513;
    private static final int SIMPLE_MAGIC = 0x67446698;
    private static final int CHUNK_MAGIC = 0x668e33ef;
    private static final int DONE = 1;
    private static final Type[] REQUESTS = Type.values();

    private TransmissionCodec() {}

    /** Appends a request; a WRITE's payload is the caller's to send. */
    public static void encode(NbdRequest request, ByteBuffer out) {
        switch (request) {
            case NbdRequest.Read r -> put(r, Type.READ, r.offset(), r.lengthBytes(), out);
            case NbdRequest.Write r -> put(r, Type.WRITE, r.offset(), r.lengthBytes(), out);
            case NbdRequest.Disconnect r -> put(r, Type.DISC, 0, 0, out);
            case NbdRequest.Flush r -> put(r, Type.FLUSH, 0, 0, out);
            case NbdRequest.Trim r -> put(r, Type.TRIM, r.offset(), r.lengthBytes(), out);
            case NbdRequest.Cache r -> put(r, Type.CACHE, r.offset(), r.lengthBytes(), out);
            case NbdRequest.WriteZeroes r ->
                    put(r, Type.WRITE_ZEROES, r.offset(), r.lengthBytes(), out);
            case NbdRequest.BlockStatus r ->
                    put(r, Type.BLOCK_STATUS, r.offset(), r.lengthBytes(), out);
            case NbdRequest.Illegal r -> put(r, r.type(), r.offset(), r.lengthBytes(), out);
        }
    }

    private static void put(
            NbdRequest request, Type type, long offset, long lengthBytes, ByteBuffer out) {
        put(request, type.number(), offset, lengthBytes, out);
    }

    private static void put(
            NbdRequest request, int type, long offset, long lengthBytes, ByteBuffer out) {
        out.putInt(REQUEST_MAGIC)
                .putShort((short) request.flags())
                .putShort((short) type)
                .putLong(request.cookie())
                .putLong(offset)
                .putInt((int) lengthBytes);
    }

    /**
     * @param in holds at least {@link #REQUEST_BYTES}, which are consumed
     * @param offset of the request, bytes from the start of the connection
     * @throws ProtocolException if the next request could not be found: no magic, or a payload that
     *     is too long
     */
    public static NbdRequest decodeRequest(ByteBuffer in, long offset) {
        if (in.remaining() < REQUEST_BYTES) {
            throw new TruncatedStreamException(
                    HandshakeCodec.STREAM, offset, "request", REQUEST_BYTES, in.remaining());
        }
        int magic = in.getInt();
        if (magic != REQUEST_MAGIC) {
            throw broken(offset, "request magic", hex(REQUEST_MAGIC), hex(magic));
        }
        int flags = in.getShort() & 0xFFFF;
        int number = in.getShort() & 0xFFFF;
        long cookie = in.getLong();
        long from = in.getLong();
        long bytes = in.getInt() & NbdMessage.U32_MAX;
        if (number == Type.WRITE.number() && bytes > NbdMessage.PAYLOAD_BYTES_MAX) {
            throw broken(
                    offset + 24,
                    "WRITE length",
                    "at most " + NbdMessage.PAYLOAD_BYTES_MAX,
                    Long.toString(bytes));
        }
        if (number >= REQUESTS.length) {
            return new NbdRequest.Illegal(
                    cookie, flags, number, from, bytes, "unknown command " + number);
        }
        Type type = REQUESTS[number];
        if ((flags & ~type.flagsAllowed()) != 0) {
            return illegal(
                    type, cookie, flags, from, bytes, "flags 0x" + Integer.toHexString(flags));
        }
        return switch (type) {
            case READ ->
                    bytes > NbdMessage.PAYLOAD_BYTES_MAX
                            ? illegal(type, cookie, flags, from, bytes, "length " + bytes)
                            : new NbdRequest.Read(cookie, flags, from, (int) bytes);
            case WRITE -> new NbdRequest.Write(cookie, flags, from, (int) bytes);
            case DISC ->
                    from != 0 || bytes != 0
                            ? illegal(type, cookie, flags, from, bytes, "an offset or length")
                            : new NbdRequest.Disconnect(cookie, flags);
            case FLUSH ->
                    from != 0 || bytes != 0
                            ? illegal(type, cookie, flags, from, bytes, "an offset or length")
                            : new NbdRequest.Flush(cookie, flags);
            case TRIM -> new NbdRequest.Trim(cookie, flags, from, bytes);
            case CACHE -> new NbdRequest.Cache(cookie, flags, from, bytes);
            case WRITE_ZEROES -> new NbdRequest.WriteZeroes(cookie, flags, from, bytes);
            case BLOCK_STATUS ->
                    bytes == 0
                            ? illegal(type, cookie, flags, from, bytes, "length 0")
                            : new NbdRequest.BlockStatus(cookie, flags, from, bytes);
        };
    }

    private static NbdRequest illegal(
            Type type, long cookie, int flags, long offset, long bytes, String what) {
        return new NbdRequest.Illegal(
                cookie, flags, type.number(), offset, bytes, type + " does not take " + what);
    }

    /** Appends a reply; the data of a READ are the caller's to send. */
    public static void encode(NbdReply reply, ByteBuffer out) {
        switch (reply) {
            case NbdReply.SimpleSuccess(long cookie) -> simple(cookie, 0, out);
            case NbdReply.SimpleError(long cookie, NbdError error) ->
                    simple(cookie, error.number(), out);
            case NbdReply.Done(long cookie) -> chunk(ChunkType.NONE, cookie, Position.LAST, 0, out);
            case NbdReply.OffsetData c -> {
                chunk(ChunkType.OFFSET_DATA, c.cookie(), c.position(), 8 + c.dataBytes(), out);
                out.putLong(c.offset());
            }
            case NbdReply.OffsetHole c -> {
                chunk(ChunkType.OFFSET_HOLE, c.cookie(), c.position(), 12, out);
                out.putLong(c.offset()).putInt((int) c.holeBytes());
            }
            case NbdReply.BlockStatus c -> {
                int bytes = 4 + 8 * c.extents().size();
                chunk(ChunkType.BLOCK_STATUS, c.cookie(), c.position(), bytes, out);
                out.putInt((int) c.contextId());
                for (Extent extent : c.extents()) {
                    out.putInt((int) extent.lengthBytes()).putInt(extent.flags());
                }
            }
            case NbdReply.ErrorChunk c -> {
                byte[] text = c.text().getBytes(StandardCharsets.UTF_8);
                chunk(ChunkType.ERROR, c.cookie(), c.position(), 6 + text.length, out);
                error(c.error(), text, out);
            }
            case NbdReply.ErrorOffset c -> {
                byte[] text = c.text().getBytes(StandardCharsets.UTF_8);
                chunk(ChunkType.ERROR_OFFSET, c.cookie(), c.position(), 14 + text.length, out);
                error(c.error(), text, out);
                out.putLong(c.offset());
            }
        }
    }

    private static void simple(long cookie, int error, ByteBuffer out) {
        out.putInt(SIMPLE_MAGIC).putInt(error).putLong(cookie);
    }

    private static void chunk(
            ChunkType type, long cookie, Position position, int bytes, ByteBuffer out) {
        int flags =
                switch (position) {
                    case MORE -> 0;
                    case LAST -> DONE;
                };
        out.putInt(CHUNK_MAGIC)
                .putShort((short) flags)
                .putShort((short) type.number())
                .putLong(cookie)
                .putInt(bytes);
    }

    private static void error(NbdError error, byte[] text, ByteBuffer out) {
        out.putInt(error.number()).putShort((short) text.length).put(text);
    }

    /**
     * @param in holds a whole reply but for the data of a READ, which stay in it
     * @param offset of the reply, bytes from the start of the connection
     * @throws ProtocolException if it is no reply, or one of an unknown type
     */
    public static NbdReply decodeReply(ByteBuffer in, long offset) {
        FieldReader fields =
                new FieldReader("reply", in, Math.max(in.remaining(), SIMPLE_REPLY_BYTES), offset);
        int magic = (int) fields.u32("magic");
        return switch (magic) {
            case SIMPLE_MAGIC -> {
                int error = (int) fields.u32("error");
                long cookie = fields.u64("cookie");
                yield error == 0
                        ? new NbdReply.SimpleSuccess(cookie)
                        : new NbdReply.SimpleError(cookie, NbdError.of(error));
            }
            case CHUNK_MAGIC -> decodeChunk(in, fields, offset);
            default -> throw broken(offset, "reply magic", hex(SIMPLE_MAGIC), hex(magic));
        };
    }

    private static NbdReply decodeChunk(ByteBuffer in, FieldReader header, long offset) {
        // Unknown flags are ignored, as the protocol wants of a client.
        Position position = (header.u16("flags") & DONE) != 0 ? Position.LAST : Position.MORE;
        int number = header.u16("type");
        long cookie = header.u64("cookie");
        long bytes = header.u32("length");
        for (ChunkType type : ChunkType.values()) {
            if (type.number() == number) {
                try {
                    return chunk(type, position, cookie, bytes, in, offset);
                } catch (IllegalFieldException e) {
                    throw broken(offset, e.field(), e.expected(), e.found());
                }
            }
        }
        throw broken(offset + 6, "chunk type", "a known type", Integer.toString(number));
    }

    private static NbdReply chunk(
            ChunkType type,
            Position position,
            long cookie,
            long bytes,
            ByteBuffer in,
            long offset) {
        boolean data = type == ChunkType.OFFSET_DATA;
        long most = data ? 8L + NbdMessage.PAYLOAD_BYTES_MAX : REPLY_BYTES_MAX;
        if (bytes > most) {
            throw broken(offset + 16, type + " length", "at most " + most, Long.toString(bytes));
        }
        int own = data ? 8 : (int) bytes;
        FieldReader fields = new FieldReader(type + " chunk", in, own, offset + CHUNK_HEADER_BYTES);
        NbdReply reply =
                switch (type) {
                    case NONE -> {
                        if (position != Position.LAST) {
                            throw broken(offset + 4, "NONE flags", "the last chunk", "more");
                        }
                        yield new NbdReply.Done(cookie);
                    }
                    case OFFSET_DATA ->
                            new NbdReply.OffsetData(
                                    cookie, position, fields.u64("offset"), (int) bytes - 8);
                    case OFFSET_HOLE ->
                            new NbdReply.OffsetHole(
                                    cookie,
                                    position,
                                    fields.u64("offset"),
                                    fields.u32("hole length"));
                    case BLOCK_STATUS -> {
                        long context = fields.u32("context");
                        yield new NbdReply.BlockStatus(cookie, position, context, extents(fields));
                    }
                    case ERROR -> {
                        NbdError error = error(fields);
                        yield new NbdReply.ErrorChunk(cookie, position, error, text(fields));
                    }
                    case ERROR_OFFSET -> {
                        NbdError error = error(fields);
                        String text = text(fields);
                        yield new NbdReply.ErrorOffset(
                                cookie, position, error, text, fields.u64("offset"));
                    }
                };
        fields.end();
        return reply;
    }

    private static List<Extent> extents(FieldReader in) {
        List<Extent> extents = new ArrayList<>();
        while (in.left() > 0) {
            extents.add(new Extent(in.u32("extent length"), (int) in.u32("extent flags")));
        }
        return extents;
    }

    private static NbdError error(FieldReader in) {
        int number = (int) in.u32("error");
        if (number == 0) {
            throw in.broken("error", "not 0", "0");
        }
        return NbdError.of(number);
    }

    private static String text(FieldReader in) {
        return in.text("text", in.u16("text length"));
    }

    private static String hex(int value) {
        return String.format("0x%08x", value);
    }

    private static ProtocolException broken(
            long offset, String field, String expected, String found) {
        return new ProtocolException(HandshakeCodec.STREAM, offset, field, expected, found);
    }
}
