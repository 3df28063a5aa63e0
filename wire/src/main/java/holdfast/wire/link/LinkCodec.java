package holdfast.wire.link;

import holdfast.wire.Bytes;
import holdfast.wire.ProtocolException;
import holdfast.wire.TruncatedStreamException;
import holdfast.wire.link.LinkMessage.Answer;
import holdfast.wire.link.LinkMessage.CancelMigration;
import holdfast.wire.link.LinkMessage.CheckpointDigest;
import holdfast.wire.link.LinkMessage.CheckpointMessage;
import holdfast.wire.link.LinkMessage.Claim;
import holdfast.wire.link.LinkMessage.Close;
import holdfast.wire.link.LinkMessage.Discarded;
import holdfast.wire.link.LinkMessage.DiskBoundary;
import holdfast.wire.link.LinkMessage.DiskSize;
import holdfast.wire.link.LinkMessage.DiskWrite;
import holdfast.wire.link.LinkMessage.DiskZeroes;
import holdfast.wire.link.LinkMessage.Dismiss;
import holdfast.wire.link.LinkMessage.DomainDied;
import holdfast.wire.link.LinkMessage.HandOver;
import holdfast.wire.link.LinkMessage.Heartbeat;
import holdfast.wire.link.LinkMessage.Hello;
import holdfast.wire.link.LinkMessage.InboundFrame;
import holdfast.wire.link.LinkMessage.Inquire;
import holdfast.wire.link.LinkMessage.MigrationAccepted;
import holdfast.wire.link.LinkMessage.MigrationFinished;
import holdfast.wire.link.LinkMessage.MigrationPerformed;
import holdfast.wire.link.LinkMessage.MigrationPrepared;
import holdfast.wire.link.LinkMessage.OpenMigration;
import holdfast.wire.link.LinkMessage.OpenSession;
import holdfast.wire.link.LinkMessage.Refused;
import holdfast.wire.link.LinkMessage.RolledBack;
import holdfast.wire.link.LinkMessage.SessionAccepted;
import holdfast.wire.link.LinkMessage.SessionRefused;
import holdfast.wire.link.LinkMessage.StayProtected;
import holdfast.wire.link.LinkMessage.StoodDown;
import holdfast.wire.link.LinkMessage.StreamDigest;
import holdfast.wire.link.LinkMessage.TakenOver;
import holdfast.wire.link.LinkMessage.Welcome;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.CRC32C;

/** Frames to messages and back. The only place that knows type numbers, sizes and byte order. */
public final class LinkCodec {
    /** Bytes of a frame's header. */
    public static final int HEADER_BYTES = 16;

    /** Bytes of the largest body of any type. */
    public static final int BODY_BYTES_MAX = LinkMessage.COOKIE_BYTES_MAX + 2048;

    static final String STREAM = "link";

    private LinkCodec() {}

    /** The numbers of the messages on the wire, with the most bytes of their bodies. */
    enum Type {
        HELLO(1, 1024),
        WELCOME(2, 1024),
        REFUSED(3, LinkMessage.REASON_BYTES_MAX + 8),
        OPEN_SESSION(16, LinkMessage.SPEC_BYTES_MAX + 2048),
        SESSION_ACCEPTED(17, 0),
        SESSION_REFUSED(18, LinkMessage.REASON_BYTES_MAX + 8),
        STAY_PROTECTED(24, LinkMessage.WISH_BYTES_MAX + LinkMessage.NAME_BYTES_MAX + 8),
        HEARTBEAT(32, 8),
        CHECKPOINT_MESSAGE(33, 20),
        CHECKPOINT_DIGEST(34, 20),
        DISMISS(35, LinkMessage.REASON_BYTES_MAX + 8),
        DISCARDED(36, LinkMessage.REASON_BYTES_MAX + 8),
        CLAIM(37, LinkMessage.REASON_BYTES_MAX + 8),
        STOOD_DOWN(38, 0),
        DOMAIN_DIED(39, LinkMessage.REASON_BYTES_MAX + 8),
        CLOSE(40, LinkMessage.REASON_BYTES_MAX + 8),
        INBOUND_FRAME(48, LinkMessage.FRAME_BYTES_MAX + 12),
        DISK_WRITE(49, 18),
        DISK_ZEROES(50, 18),
        DISK_BOUNDARY(51, 24),
        INQUIRE(64, 17),
        ANSWER(65, LinkMessage.REASON_BYTES_MAX + 16),
        OPEN_MIGRATION(80, LinkMessage.COOKIE_BYTES_MAX + 1024),
        MIGRATION_PREPARED(81, LinkMessage.COOKIE_BYTES_MAX + 4),
        MIGRATION_PERFORMED(82, LinkMessage.COOKIE_BYTES_MAX + 256),
        MIGRATION_FINISHED(83, LinkMessage.COOKIE_BYTES_MAX + 4),
        HAND_OVER(84, 8),
        TAKEN_OVER(85, LinkMessage.COOKIE_BYTES_MAX + 4),
        CANCEL_MIGRATION(86, LinkMessage.REASON_BYTES_MAX + 8),
        ROLLED_BACK(87, LinkMessage.COOKIE_BYTES_MAX + 4),
        MIGRATION_ACCEPTED(88, LinkMessage.COOKIE_BYTES_MAX + 4);

        private final int number;
        private final int bodyBytesMax;

        Type(int number, int bodyBytesMax) {
            this.number = number;
            this.bodyBytesMax = bodyBytesMax;
        }

        int number() {
            return number;
        }

        private static Type of(int number, long offset) {
            for (Type type : values()) {
                if (type.number == number) {
                    return type;
                }
            }
            throw new ProtocolException(
                    STREAM, offset + 4, "frame type", "a known type", Integer.toString(number));
        }
    }

    /**
     * A frame's header whose checksum was right and whose length its type allows.
     *
     * @param offset of the header, bytes from the start of the connection
     */
    public record Header(long offset, String type, int bodyBytes, int bodyCrc32c) {}

    /** A whole frame, ready to be written. */
    public static ByteBuffer encode(LinkMessage message) {
        FrameWriter body = new FrameWriter(HEADER_BYTES, estimate(message));
        Type type = encodeBody(message, body);
        return body.finish(type.number);
    }

    private static int estimate(LinkMessage message) {
        return switch (message) {
            case InboundFrame frame -> frame.bytes().size() + 32;
            case OpenSession open -> open.specJson().size() + 1024;
            case StayProtected stay -> stay.wishJson().size() + 64;
            case OpenMigration open -> open.cookie().size() + 512;
            case MigrationPerformed performed -> performed.cookie().size() + 256;
            default -> 64;
        };
    }

    private static Type encodeBody(LinkMessage message, FrameWriter out) {
        return switch (message) {
            case Hello m -> {
                out.u16(m.versions().size());
                m.versions().forEach(out::u16);
                out.text(m.softwareVersion());
                out.text(m.nodeName());
                out.uuid(m.nodeId());
                out.u8(m.kind().ordinal());
                out.uuid(m.session());
                yield Type.HELLO;
            }
            case Welcome m -> {
                out.u16(m.version());
                out.text(m.softwareVersion());
                out.text(m.nodeName());
                out.uuid(m.nodeId());
                yield Type.WELCOME;
            }
            case Refused m -> {
                out.u8(m.reason().ordinal());
                out.text(m.text());
                yield Type.REFUSED;
            }
            case OpenSession m -> {
                out.uuid(m.session());
                out.u64(m.generation());
                out.u64(m.memoryBytes());
                out.u32(m.heartbeatMillis());
                out.u32(m.deadlineMillis());
                out.u32(m.intervalMillis());
                out.u8(m.encoding().ordinal());
                out.text(m.domain());
                out.text(m.arbiter());
                out.u32(m.specJson().size());
                out.bytes(m.specJson());
                out.u16(m.disks().size());
                for (DiskSize disk : m.disks()) {
                    out.u16(disk.index());
                    out.u64(disk.bytes());
                }
                yield Type.OPEN_SESSION;
            }
            case StayProtected(String host, int port, Bytes wish) -> {
                out.text(host);
                out.u16(port);
                out.u32(wish.size());
                out.bytes(wish);
                yield Type.STAY_PROTECTED;
            }
            case SessionAccepted _ -> Type.SESSION_ACCEPTED;
            case SessionRefused(String text) -> {
                out.text(text);
                yield Type.SESSION_REFUSED;
            }
            case Heartbeat(long sequence) -> {
                out.u64(sequence);
                yield Type.HEARTBEAT;
            }
            case CheckpointMessage(long epoch, Bytes bytes) -> {
                out.u64(epoch);
                out.bytes(bytes);
                yield Type.CHECKPOINT_MESSAGE;
            }
            case CheckpointDigest(long epoch, long streamBytes, int crc32c) -> {
                out.u64(epoch);
                out.u64(streamBytes);
                out.u32(crc32c);
                yield Type.CHECKPOINT_DIGEST;
            }
            case Dismiss(String reason) -> {
                out.text(reason);
                yield Type.DISMISS;
            }
            case Discarded(String reason) -> {
                out.text(reason);
                yield Type.DISCARDED;
            }
            case Claim(String reason) -> {
                out.text(reason);
                yield Type.CLAIM;
            }
            case StoodDown _ -> Type.STOOD_DOWN;
            case DomainDied(String reason) -> {
                out.text(reason);
                yield Type.DOMAIN_DIED;
            }
            case Close(String reason) -> {
                out.text(reason);
                yield Type.CLOSE;
            }
            case InboundFrame m -> {
                out.u64(m.epoch());
                out.u16(m.nic());
                out.u16(m.vnetHeaderBytes());
                out.bytes(m.bytes());
                yield Type.INBOUND_FRAME;
            }
            case DiskWrite(int disk, long offset, int bytes, int crc32c) -> {
                out.u16(disk);
                out.u64(offset);
                out.u32(bytes);
                out.u32(crc32c);
                yield Type.DISK_WRITE;
            }
            case DiskZeroes(int disk, long offset, long bytes) -> {
                out.u16(disk);
                out.u64(offset);
                out.u64(bytes);
                yield Type.DISK_ZEROES;
            }
            case DiskBoundary(long epoch, long records, long bytes) -> {
                out.u64(epoch);
                out.u64(records);
                out.u64(bytes);
                yield Type.DISK_BOUNDARY;
            }
            case Inquire m -> {
                out.uuid(m.session());
                out.u8(m.question().ordinal());
                yield Type.INQUIRE;
            }
            case Answer m -> {
                out.u8(m.standing().ordinal());
                out.u64(m.generation());
                out.text(m.text());
                yield Type.ANSWER;
            }
            case OpenMigration m -> {
                out.uuid(m.migration());
                out.u64(m.generation());
                out.u64(m.memoryBytes());
                out.u32(m.heartbeatMillis());
                out.u32(m.deadlineMillis());
                out.u8(m.connections());
                out.text(m.domain());
                cookie(m.cookie(), out);
                yield Type.OPEN_MIGRATION;
            }
            case MigrationAccepted(Bytes cookie) -> {
                cookie(cookie, out);
                yield Type.MIGRATION_ACCEPTED;
            }
            case MigrationPrepared(Bytes cookie) -> {
                cookie(cookie, out);
                yield Type.MIGRATION_PREPARED;
            }
            case MigrationPerformed m -> {
                out.u8(m.streams().size());
                for (StreamDigest stream : m.streams()) {
                    out.u64(stream.streamBytes());
                    out.u32(stream.crc32c());
                }
                cookie(m.cookie(), out);
                yield Type.MIGRATION_PERFORMED;
            }
            case MigrationFinished(Bytes cookie) -> {
                cookie(cookie, out);
                yield Type.MIGRATION_FINISHED;
            }
            case HandOver(long generation) -> {
                out.u64(generation);
                yield Type.HAND_OVER;
            }
            case TakenOver(Bytes cookie) -> {
                cookie(cookie, out);
                yield Type.TAKEN_OVER;
            }
            case CancelMigration(String reason) -> {
                out.text(reason);
                yield Type.CANCEL_MIGRATION;
            }
            case RolledBack(Bytes cookie) -> {
                cookie(cookie, out);
                yield Type.ROLLED_BACK;
            }
        };
    }

    /**
     * @param header exactly {@link #HEADER_BYTES} remaining bytes, which are consumed
     * @param offset of the header, bytes from the start of the connection
     * @throws ProtocolException if the header is not one of this protocol or was damaged
     */
    public static Header decodeHeader(ByteBuffer header, long offset) {
        if (header.remaining() < HEADER_BYTES) {
            throw new TruncatedStreamException(
                    STREAM, offset, "frame header", HEADER_BYTES, header.remaining());
        }
        int start = header.position();
        int headerCrc = header.getInt(start + 12);
        CRC32C crc = new CRC32C();
        crc.update(header.slice(start, 12));
        if ((int) crc.getValue() != headerCrc) {
            throw new ProtocolException(
                    STREAM,
                    offset + 12,
                    "frame header checksum",
                    hex((int) crc.getValue()),
                    hex(headerCrc));
        }
        long bodyBytes = Integer.toUnsignedLong(header.getInt(start));
        Type type = Type.of(header.getShort(start + 4) & 0xFFFF, offset);
        if (header.getShort(start + 6) != 0) {
            throw new ProtocolException(
                    STREAM,
                    offset + 6,
                    "reserved field of the frame header",
                    "0",
                    Integer.toString(header.getShort(start + 6) & 0xFFFF));
        }
        if (bodyBytes > type.bodyBytesMax) {
            throw new ProtocolException(
                    STREAM,
                    offset,
                    type + " body length",
                    "at most " + type.bodyBytesMax + " bytes",
                    Long.toString(bodyBytes));
        }
        int bodyCrc = header.getInt(start + 8);
        header.position(start + HEADER_BYTES);
        return new Header(offset, type.name(), (int) bodyBytes, bodyCrc);
    }

    /**
     * @param body exactly the header's number of bytes, which are consumed
     * @throws ProtocolException if the body was damaged or holds what its type does not allow
     */
    public static LinkMessage decodeBody(Header header, ByteBuffer body) {
        long offset = header.offset() + HEADER_BYTES;
        if (body.remaining() != header.bodyBytes()) {
            throw new TruncatedStreamException(
                    STREAM,
                    header.offset(),
                    header.type() + " frame",
                    HEADER_BYTES + (long) header.bodyBytes(),
                    HEADER_BYTES + (long) body.remaining());
        }
        CRC32C crc = new CRC32C();
        crc.update(body.duplicate());
        if ((int) crc.getValue() != header.bodyCrc32c()) {
            throw new ProtocolException(
                    STREAM,
                    offset,
                    header.type() + " body checksum",
                    hex(header.bodyCrc32c()),
                    hex((int) crc.getValue()));
        }
        FrameReader in = new FrameReader(header.type(), body, offset);
        try {
            LinkMessage message = decodeBody(Type.valueOf(header.type()), in);
            in.end();
            return message;
        } catch (IllegalMessageException e) {
            throw new ProtocolException(STREAM, offset, e.field(), e.expected(), e.found());
        }
    }

    private static LinkMessage decodeBody(Type type, FrameReader in) {
        return switch (type) {
            case HELLO -> {
                int count = in.u16("version count");
                if (count > LinkMessage.VERSIONS_MAX) {
                    throw in.broken(
                            "version count",
                            "at most " + LinkMessage.VERSIONS_MAX,
                            Integer.toString(count));
                }
                List<Integer> versions = new ArrayList<>(count);
                for (int i = 0; i < count; i++) {
                    versions.add(in.u16("version"));
                }
                yield new Hello(
                        versions,
                        in.text("software version"),
                        in.text("node name"),
                        in.uuid("node id"),
                        in.constant("connection kind", ConnectionKind.values()),
                        in.uuid("session"));
            }
            case WELCOME ->
                    new Welcome(
                            in.u16("version"),
                            in.text("software version"),
                            in.text("node name"),
                            in.uuid("node id"));
            case REFUSED ->
                    new Refused(in.constant("reason", RefusalReason.values()), in.text("text"));
            case OPEN_SESSION -> openSession(in);
            case SESSION_ACCEPTED -> new SessionAccepted();
            case SESSION_REFUSED -> new SessionRefused(in.text("text"));
            case STAY_PROTECTED ->
                    new StayProtected(
                            in.text("host"),
                            in.u16("port"),
                            in.bytes("wish", in.u32("wish bytes")));
            case HEARTBEAT -> new Heartbeat(in.u64("sequence"));
            case CHECKPOINT_MESSAGE -> new CheckpointMessage(in.u64("epoch"), in.rest());
            case CHECKPOINT_DIGEST ->
                    new CheckpointDigest(
                            in.u64("epoch"), in.u64("stream bytes"), in.u32("checksum"));
            case DISMISS -> new Dismiss(in.text("reason"));
            case DISCARDED -> new Discarded(in.text("reason"));
            case CLAIM -> new Claim(in.text("reason"));
            case STOOD_DOWN -> new StoodDown();
            case DOMAIN_DIED -> new DomainDied(in.text("reason"));
            case CLOSE -> new Close(in.text("reason"));
            case INBOUND_FRAME ->
                    new InboundFrame(
                            in.u64("epoch"),
                            in.u16("nic"),
                            in.u16("virtio-net header bytes"),
                            in.rest());
            case DISK_WRITE ->
                    new DiskWrite(
                            in.u16("disk"), in.u64("offset"), in.u32("bytes"), in.u32("checksum"));
            case DISK_ZEROES -> new DiskZeroes(in.u16("disk"), in.u64("offset"), in.u64("bytes"));
            case DISK_BOUNDARY ->
                    new DiskBoundary(in.u64("epoch"), in.u64("records"), in.u64("bytes"));
            case INQUIRE ->
                    new Inquire(
                            in.uuid("session"),
                            in.constant("question", LinkMessage.Question.values()));
            case ANSWER ->
                    new Answer(
                            in.constant("standing", Standing.values()),
                            in.u64("generation"),
                            in.text("text"));
            case OPEN_MIGRATION -> openMigration(in);
            case MIGRATION_ACCEPTED -> new MigrationAccepted(cookie(in));
            case MIGRATION_PREPARED -> new MigrationPrepared(cookie(in));
            case MIGRATION_PERFORMED -> performed(in);
            case MIGRATION_FINISHED -> new MigrationFinished(cookie(in));
            case HAND_OVER -> new HandOver(in.u64("generation"));
            case TAKEN_OVER -> new TakenOver(cookie(in));
            case CANCEL_MIGRATION -> new CancelMigration(in.text("reason"));
            case ROLLED_BACK -> new RolledBack(cookie(in));
        };
    }

    private static void cookie(Bytes cookie, FrameWriter out) {
        out.u32(cookie.size());
        out.bytes(cookie);
    }

    private static Bytes cookie(FrameReader in) {
        return in.bytes("cookie", in.u32("cookie bytes"));
    }

    private static OpenMigration openMigration(FrameReader in) {
        var migration = in.uuid("migration");
        long generation = in.u64("generation");
        long memoryBytes = in.u64("memory bytes");
        int heartbeatMillis = in.u32("heartbeat");
        int deadlineMillis = in.u32("deadline");
        int connections = in.u8("connections");
        String domain = in.text("domain");
        return new OpenMigration(
                migration,
                domain,
                generation,
                memoryBytes,
                heartbeatMillis,
                deadlineMillis,
                connections,
                cookie(in));
    }

    private static MigrationPerformed performed(FrameReader in) {
        int count = in.u8("stream count");
        if (count > LinkMessage.MIGRATION_CONNECTIONS_MAX) {
            throw in.broken(
                    "stream count",
                    "at most " + LinkMessage.MIGRATION_CONNECTIONS_MAX,
                    Integer.toString(count));
        }
        List<StreamDigest> streams = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            streams.add(new StreamDigest(in.u64("stream bytes"), in.u32("checksum")));
        }
        return new MigrationPerformed(streams, cookie(in));
    }

    private static OpenSession openSession(FrameReader in) {
        var session = in.uuid("session");
        long generation = in.u64("generation");
        long memoryBytes = in.u64("memory bytes");
        int heartbeatMillis = in.u32("heartbeat");
        int deadlineMillis = in.u32("deadline");
        int intervalMillis = in.u32("interval");
        StreamEncoding encoding = in.constant("encoding", StreamEncoding.values());
        String domain = in.text("domain");
        String arbiter = in.text("arbiter");
        Bytes spec = in.bytes("specification", in.u32("specification bytes"));
        int count = in.u16("disk count");
        if (count > LinkMessage.DISKS_MAX) {
            throw in.broken(
                    "disk count", "at most " + LinkMessage.DISKS_MAX, Integer.toString(count));
        }
        List<DiskSize> disks = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            disks.add(new DiskSize(in.u16("disk index"), in.u64("disk bytes")));
        }
        return new OpenSession(
                session,
                domain,
                generation,
                spec,
                memoryBytes,
                encoding,
                heartbeatMillis,
                deadlineMillis,
                intervalMillis,
                arbiter,
                disks);
    }

    private static String hex(int value) {
        return String.format("0x%08x", value);
    }
}
