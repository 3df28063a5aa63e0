package holdfast.wire.nbd;

import holdfast.wire.ProtocolException;
import holdfast.wire.TruncatedStreamException;
import holdfast.wire.nbd.NbdMessage.ClientFlags;
import holdfast.wire.nbd.NbdMessage.ExportReply;
import holdfast.wire.nbd.NbdMessage.Greeting;
import holdfast.wire.nbd.NbdMessage.Padding;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Messages of the handshake to bytes and back. An option or its reply is a header and a body; a
 * body that makes no sense leaves the connection usable, a header that makes none does not.
 */
public final class HandshakeCodec {
    /** Bytes of {@link Greeting}. */
    public static final int GREETING_BYTES = 18;

    /** Bytes of {@link ClientFlags}. */
    public static final int CLIENT_FLAGS_BYTES = 4;

    /** Bytes of an option's header. */
    public static final int OPTION_HEADER_BYTES = 16;

    /** Bytes of the header of a reply to an option. */
    public static final int REPLY_HEADER_BYTES = 20;

    /** Bytes of any message of the handshake that this codec writes, at most. */
    public static final int MESSAGE_BYTES_MAX = OPTION_HEADER_BYTES + NbdMessage.OPTION_BYTES_MAX;

    static final String STREAM = "nbd";

    private static final long NBDMAGIC = 0x4e42444d41474943L;
    private static final long IHAVEOPT = 0x49484156454f5054L;
    private static final long REPLY_MAGIC = 0x0003e889045565a9L;
    private static final int FIXED_NEWSTYLE = 1;
    private static final int NO_ZEROES = 2;
    private static final int PADDING_BYTES = 124;

    private HandshakeCodec() {}

    /**
     * @param offset of the header, bytes from the start of the connection
     */
    public record OptionHeader(long offset, int option, int bodyBytes) {}

    /**
     * @param offset of the header, bytes from the start of the connection
     */
    public record ReplyHeader(long offset, int option, int type, int bodyBytes) {}

    /** Appends a whole message; {@code out} must have room for it. */
    public static void encode(Greeting greeting, ByteBuffer out) {
        out.putLong(NBDMAGIC)
                .putLong(IHAVEOPT)
                .putShort((short) (FIXED_NEWSTYLE | flag(greeting.padding())));
    }

    /** Appends a whole message. */
    public static void encode(ClientFlags flags, ByteBuffer out) {
        out.putInt(FIXED_NEWSTYLE | flag(flags.padding()));
    }

    private static int flag(Padding padding) {
        return switch (padding) {
            case ZEROES -> 0;
            case NONE -> NO_ZEROES;
        };
    }

    /** Appends a whole message. */
    public static void encode(ExportReply reply, ByteBuffer out) {
        out.putLong(reply.sizeBytes()).putShort((short) TransmissionFlag.bits(reply.flags()));
        switch (reply.padding()) {
            case ZEROES -> out.put(new byte[PADDING_BYTES]);
            case NONE -> {}
        }
    }

    /** Appends a whole message. */
    public static void encode(NbdOption option, ByteBuffer out) {
        int start = out.position();
        out.putLong(IHAVEOPT).putInt(option.number()).putInt(0);
        switch (option) {
            case NbdOption.ExportName(String name) -> out.put(utf8(name));
            case NbdOption.Abort _,
                    NbdOption.ListExports _,
                    NbdOption.StartTls _,
                    NbdOption.StructuredReply _ -> {}
            case NbdOption.Info(String export, List<Integer> requests) ->
                    putRequests(export, requests, out);
            case NbdOption.Go(String export, List<Integer> requests) ->
                    putRequests(export, requests, out);
            case NbdOption.ListMetaContext(String export, List<String> queries) ->
                    putQueries(export, queries, out);
            case NbdOption.SetMetaContext(String export, List<String> queries) ->
                    putQueries(export, queries, out);
            case NbdOption.UnknownOption unknown -> out.put(unknown.data().toArray());
        }
        out.putInt(start + 12, out.position() - start - OPTION_HEADER_BYTES);
    }

    private static void putRequests(String export, List<Integer> requests, ByteBuffer out) {
        putText(export, out);
        out.putShort((short) requests.size());
        for (int request : requests) {
            out.putShort((short) request);
        }
    }

    private static void putQueries(String export, List<String> queries, ByteBuffer out) {
        putText(export, out);
        out.putInt(queries.size());
        for (String query : queries) {
            putText(query, out);
        }
    }

    private static void putText(String text, ByteBuffer out) {
        byte[] octets = utf8(text);
        out.putInt(octets.length).put(octets);
    }

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Appends a whole message. */
    public static void encode(NbdOptionReply reply, ByteBuffer out) {
        int start = out.position();
        out.putLong(REPLY_MAGIC).putInt(reply.option()).putInt(0).putInt(0);
        int type =
                switch (reply) {
                    case NbdOptionReply.Ack _ -> NbdOptionReply.Type.ACK.number();
                    case NbdOptionReply.Server(String name, String details) -> {
                        putText(name, out);
                        out.put(utf8(details));
                        yield NbdOptionReply.Type.SERVER.number();
                    }
                    case NbdOptionReply.InfoExport info -> {
                        putInfo(InfoType.EXPORT, out)
                                .putLong(info.sizeBytes())
                                .putShort((short) TransmissionFlag.bits(info.flags()));
                        yield NbdOptionReply.Type.INFO.number();
                    }
                    case NbdOptionReply.InfoName(_, String name) -> {
                        putInfo(InfoType.NAME, out).put(utf8(name));
                        yield NbdOptionReply.Type.INFO.number();
                    }
                    case NbdOptionReply.InfoDescription(_, String text) -> {
                        putInfo(InfoType.DESCRIPTION, out).put(utf8(text));
                        yield NbdOptionReply.Type.INFO.number();
                    }
                    case NbdOptionReply.InfoBlockSize info -> {
                        putInfo(InfoType.BLOCK_SIZE, out)
                                .putInt((int) info.minimumBytes())
                                .putInt((int) info.preferredBytes())
                                .putInt((int) info.maximumBytes());
                        yield NbdOptionReply.Type.INFO.number();
                    }
                    case NbdOptionReply.MetaContext(_, long id, String name) -> {
                        out.putInt((int) id).put(utf8(name));
                        yield NbdOptionReply.Type.META_CONTEXT.number();
                    }
                    case NbdOptionReply.Refused(_, var refusal, String text) -> {
                        out.put(utf8(text));
                        yield refusal.number();
                    }
                };
        out.putInt(start + 12, type);
        out.putInt(start + 16, out.position() - start - REPLY_HEADER_BYTES);
    }

    private static ByteBuffer putInfo(InfoType type, ByteBuffer out) {
        return out.putShort((short) type.number());
    }

    /**
     * @throws ProtocolException if this is no server of the fixed newstyle
     */
    public static Greeting decodeGreeting(ByteBuffer in, long offset) {
        FieldReader fields = new FieldReader("greeting", in, GREETING_BYTES, offset);
        fields.magic("magic", NBDMAGIC);
        fields.magic("style", IHAVEOPT);
        return new Greeting(padding(fields, fields.u16("flags")));
    }

    /**
     * @throws ProtocolException if a flag is unknown, or the client is older than the fixed
     *     newstyle
     */
    public static ClientFlags decodeClientFlags(ByteBuffer in, long offset) {
        FieldReader fields = new FieldReader("client flags", in, CLIENT_FLAGS_BYTES, offset);
        return new ClientFlags(padding(fields, fields.u32("flags")));
    }

    private static Padding padding(FieldReader fields, long flags) {
        if ((flags & FIXED_NEWSTYLE) == 0 || (flags & ~(FIXED_NEWSTYLE | NO_ZEROES)) != 0) {
            throw fields.broken(
                    "flags", "fixed newstyle and no unknown bit", "0x" + Long.toHexString(flags));
        }
        return (flags & NO_ZEROES) == 0 ? Padding.ZEROES : Padding.NONE;
    }

    /**
     * @param padding what the client has accepted
     */
    public static ExportReply decodeExportReply(ByteBuffer in, Padding padding, long offset) {
        int padded =
                switch (padding) {
                    case ZEROES -> PADDING_BYTES;
                    case NONE -> 0;
                };
        FieldReader fields = new FieldReader("export", in, 10 + padded, offset);
        long size = fields.u64("size");
        if (size < 0) {
            throw fields.broken("size", "less than 2^63", Long.toUnsignedString(size));
        }
        ExportReply reply =
                new ExportReply(size, TransmissionFlag.of(fields.u16("flags")), padding);
        in.position(in.position() + padded);
        return reply;
    }

    /**
     * @throws ProtocolException if it is no option, or longer than {@link
     *     NbdMessage#OPTION_BYTES_MAX}
     */
    public static OptionHeader decodeOptionHeader(ByteBuffer in, long offset) {
        FieldReader fields = new FieldReader("option header", in, OPTION_HEADER_BYTES, offset);
        fields.magic("magic", IHAVEOPT);
        int option = (int) fields.u32("option");
        int bytes = fields.count("length", fields.u32("length"), NbdMessage.OPTION_BYTES_MAX);
        return new OptionHeader(offset, option, bytes);
    }

    /**
     * @param in holds at least the header's number of bytes, which are consumed in every case
     * @throws ProtocolException if the body is not what its option wants; the next option can be
     *     read
     */
    public static NbdOption decodeOption(OptionHeader header, ByteBuffer in) {
        long offset = header.offset() + OPTION_HEADER_BYTES;
        String unit = "option " + name(header.option());
        FieldReader fields = new FieldReader(unit, in, header.bodyBytes(), offset);
        int end = in.position() + header.bodyBytes();
        try {
            NbdOption option = option(header.option(), fields);
            fields.end();
            return option;
        } catch (IllegalFieldException e) {
            throw new ProtocolException(STREAM, offset, e.field(), e.expected(), e.found());
        } finally {
            in.position(end);
        }
    }

    private static String name(int number) {
        for (NbdOption.Type type : NbdOption.Type.values()) {
            if (type.number() == number) {
                return type.name();
            }
        }
        return Integer.toUnsignedString(number);
    }

    private static NbdOption option(int number, FieldReader in) {
        for (NbdOption.Type type : NbdOption.Type.values()) {
            if (type.number() == number) {
                return option(type, in);
            }
        }
        return new NbdOption.UnknownOption(number, in.rest());
    }

    private static NbdOption option(NbdOption.Type type, FieldReader in) {
        return switch (type) {
            case EXPORT_NAME -> new NbdOption.ExportName(in.text("name", in.left()));
            case ABORT -> new NbdOption.Abort();
            case LIST -> new NbdOption.ListExports();
            case STARTTLS -> new NbdOption.StartTls();
            case INFO -> new NbdOption.Info(name(in), requests(in));
            case GO -> new NbdOption.Go(name(in), requests(in));
            case STRUCTURED_REPLY -> new NbdOption.StructuredReply();
            case LIST_META_CONTEXT -> new NbdOption.ListMetaContext(name(in), queries(in));
            case SET_META_CONTEXT -> new NbdOption.SetMetaContext(name(in), queries(in));
        };
    }

    private static String name(FieldReader in) {
        return in.text("export", in.u32("export length"));
    }

    private static List<Integer> requests(FieldReader in) {
        int count = in.count("request count", in.u16("request count"), NbdMessage.QUERIES_MAX);
        List<Integer> requests = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            requests.add(in.u16("request"));
        }
        return requests;
    }

    private static List<String> queries(FieldReader in) {
        int count = in.count("query count", in.u32("query count"), NbdMessage.QUERIES_MAX);
        List<String> queries = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            queries.add(in.text("query", in.u32("query length")));
        }
        return queries;
    }

    /**
     * @throws ProtocolException if it is no reply to an option, or too long
     */
    public static ReplyHeader decodeReplyHeader(ByteBuffer in, long offset) {
        FieldReader fields = new FieldReader("option reply header", in, REPLY_HEADER_BYTES, offset);
        fields.magic("magic", REPLY_MAGIC);
        int option = (int) fields.u32("option");
        int type = (int) fields.u32("type");
        int bytes = fields.count("length", fields.u32("length"), NbdMessage.OPTION_BYTES_MAX);
        return new ReplyHeader(offset, option, type, bytes);
    }

    /**
     * @param in holds at least the header's number of bytes
     * @throws ProtocolException if the reply's type is unknown or its body is not of that type
     */
    public static NbdOptionReply decodeReply(ReplyHeader header, ByteBuffer in) {
        long offset = header.offset() + REPLY_HEADER_BYTES;
        if (in.remaining() < header.bodyBytes()) {
            throw new TruncatedStreamException(
                    STREAM, offset, "option reply", header.bodyBytes(), in.remaining());
        }
        FieldReader fields = new FieldReader("option reply", in, header.bodyBytes(), offset);
        try {
            NbdOptionReply reply = reply(header, fields);
            fields.end();
            return reply;
        } catch (IllegalFieldException e) {
            throw new ProtocolException(STREAM, offset, e.field(), e.expected(), e.found());
        }
    }

    private static NbdOptionReply reply(ReplyHeader header, FieldReader in) {
        int option = header.option();
        for (NbdOptionReply.Refusal refusal : NbdOptionReply.Refusal.values()) {
            if (refusal.number() == header.type()) {
                return new NbdOptionReply.Refused(option, refusal, in.text("text", in.left()));
            }
        }
        for (NbdOptionReply.Type type : NbdOptionReply.Type.values()) {
            if (type.number() == header.type()) {
                return reply(type, option, in);
            }
        }
        throw in.broken("type", "a known type", Integer.toHexString(header.type()));
    }

    private static NbdOptionReply reply(NbdOptionReply.Type type, int option, FieldReader in) {
        return switch (type) {
            case ACK -> new NbdOptionReply.Ack(option);
            case SERVER -> {
                if (option != NbdOption.Type.LIST.number()) {
                    throw in.broken("SERVER option", "LIST", Integer.toUnsignedString(option));
                }
                String name = in.text("name", in.u32("name length"));
                yield new NbdOptionReply.Server(name, in.text("details", in.left()));
            }
            case INFO -> info(option, in);
            case META_CONTEXT -> {
                long id = in.u32("context id");
                yield new NbdOptionReply.MetaContext(option, id, in.text("name", in.left()));
            }
        };
    }

    private static NbdOptionReply info(int option, FieldReader in) {
        int number = in.u16("information type");
        for (InfoType type : InfoType.values()) {
            if (type.number() == number) {
                return switch (type) {
                    case EXPORT ->
                            new NbdOptionReply.InfoExport(
                                    option, in.u64("size"), TransmissionFlag.of(in.u16("flags")));
                    case NAME -> new NbdOptionReply.InfoName(option, in.text("name", in.left()));
                    case DESCRIPTION ->
                            new NbdOptionReply.InfoDescription(
                                    option, in.text("description", in.left()));
                    case BLOCK_SIZE ->
                            new NbdOptionReply.InfoBlockSize(
                                    option,
                                    in.u32("minimum"),
                                    in.u32("preferred"),
                                    in.u32("maximum"));
                };
            }
        }
        throw in.broken("information type", "a known type", Integer.toString(number));
    }
}
