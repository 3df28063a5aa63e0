package holdfast.wire.disk;

import holdfast.wire.ProtocolException;
import holdfast.wire.TruncatedStreamException;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import java.util.UUID;
import java.util.zip.CRC32C;

/** Journal octets; big-endian. The only place that knows numbers and sizes. */
public final class JournalCodec {
    /** The only version there is. */
    public static final int VERSION = 1;

    /** Bytes that say how long the header is. */
    public static final int PREFIX_BYTES = 16;

    /** Most bytes of a header. */
    public static final int HEADER_BYTES_MAX = 1 << 19;

    /** Bytes of a record without its body. */
    public static final int RECORD_BYTES = 40;

    /** Bytes of a write without its data. */
    public static final int WRITE_BYTES = 24;

    static final String STREAM = "disk journal";

    private static final long MAGIC = 0x4846_4a4f_5552_4e4cL;
    private static final int CRC_AT = 36;
    private static final long NO_EPOCH = -1;
    private static final int BATCH = 1;
    private static final int COMMIT = 2;
    private static final int END = 3;
    private static final int DATA = 1;
    private static final int ZEROES = 2;

    private JournalCodec() {}

    /** Rounded up to 8, as data lies in a body. */
    public static int paddedBytes(int bytes) {
        return Math.addExact(bytes, 7) & ~7;
    }

    /** A whole header, ready to be written. */
    public static ByteBuffer encode(JournalHeader header) {
        ByteBuffer out = ByteBuffer.allocate(HEADER_BYTES_MAX);
        out.putLong(MAGIC).putShort((short) VERSION).putShort((short) 0).putInt(0);
        out.putLong(header.segment());
        out.putLong(header.session().getMostSignificantBits());
        out.putLong(header.session().getLeastSignificantBits());
        out.putLong(header.committedEpoch().orElse(NO_EPOCH));
        putText(out, header.domain());
        out.putShort((short) header.disks().size());
        for (JournalHeader.Disk disk : header.disks()) {
            out.putLong(disk.sizeBytes());
            putText(out, disk.path());
        }
        int bytes = out.position() + 4;
        out.putInt(12, bytes);
        out.putInt(crc(out, 0, bytes - 4));
        return out.flip();
    }

    private static void putText(ByteBuffer out, String text) {
        byte[] octets = text.getBytes(StandardCharsets.UTF_8);
        out.putShort((short) octets.length).put(octets);
    }

    /**
     * How long the header is.
     *
     * @param prefix the file's first {@value #PREFIX_BYTES} bytes, or fewer where it has fewer
     */
    public static int headerBytes(ByteBuffer prefix) {
        int at = prefix.position();
        if (prefix.remaining() < PREFIX_BYTES) {
            throw new TruncatedStreamException(
                    STREAM, 0, "header", PREFIX_BYTES, prefix.remaining());
        }
        expect(prefix.getLong(at) == MAGIC, 0, "magic", MAGIC, prefix.getLong(at));
        int version = prefix.getShort(at + 8) & 0xFFFF;
        expect(version == VERSION, 8, "version", VERSION, version);
        expect(prefix.getShort(at + 10) == 0, 10, "reserved", 0, prefix.getShort(at + 10));
        int bytes = prefix.getInt(at + 12);
        if (bytes < PREFIX_BYTES || bytes > HEADER_BYTES_MAX) {
            throw broken(
                    12,
                    "header length",
                    PREFIX_BYTES + ".." + HEADER_BYTES_MAX,
                    Integer.toString(bytes));
        }
        return bytes;
    }

    /** Decodes a header that lies at the buffer's position; moves behind it. */
    public static JournalHeader decodeHeader(ByteBuffer in) {
        int bytes = headerBytes(in);
        if (in.remaining() < bytes) {
            throw new TruncatedStreamException(STREAM, 0, "header", bytes, in.remaining());
        }
        int start = in.position();
        int crc = crc(in, start, bytes - 4);
        int found = in.getInt(start + bytes - 4);
        expect(found == crc, bytes - 4L, "header checksum", crc, found);
        // Fields end before the checksum.
        ByteBuffer fields = in.slice(start, bytes - 4).position(PREFIX_BYTES);
        long segment = positive(fields, "segment", u64(fields, "segment"));
        UUID session = new UUID(u64(fields, "session"), u64(fields, "session"));
        long committed = u64(fields, "committed epoch");
        if (committed < NO_EPOCH) {
            throw broken(
                    fields.position() - 8L, "committed epoch", "0 or more, or -1", "" + committed);
        }
        String domain = text(fields, "domain");
        int count = need(fields, "number of disks", 2).getShort() & 0xFFFF;
        if (count == 0 || count > JournalHeader.DISKS_MAX) {
            throw broken(
                    fields.position() - 2L,
                    "number of disks",
                    "1.." + JournalHeader.DISKS_MAX,
                    Integer.toString(count));
        }
        List<JournalHeader.Disk> disks = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            long size = positive(fields, "disk size", u64(fields, "disk size"));
            disks.add(new JournalHeader.Disk(text(fields, "image path"), size));
        }
        if (fields.hasRemaining()) {
            throw broken(
                    fields.position(),
                    "end of the header",
                    "nothing",
                    fields.remaining() + " more");
        }
        in.position(start + bytes);
        return new JournalHeader(
                segment,
                session,
                domain,
                committed == NO_EPOCH ? OptionalLong.empty() : OptionalLong.of(committed),
                disks);
    }

    private static long positive(ByteBuffer fields, String field, long value) {
        if (value <= 0) {
            throw broken(fields.position() - 8L, field, "above 0", Long.toString(value));
        }
        return value;
    }

    private static long u64(ByteBuffer fields, String field) {
        return need(fields, field, 8).getLong();
    }

    private static String text(ByteBuffer fields, String field) {
        int bytes = need(fields, field + " length", 2).getShort() & 0xFFFF;
        if (bytes == 0 || bytes > JournalHeader.TEXT_BYTES_MAX) {
            throw broken(
                    fields.position() - 2L,
                    field + " length",
                    "1.." + JournalHeader.TEXT_BYTES_MAX,
                    Integer.toString(bytes));
        }
        need(fields, field, bytes);
        ByteBuffer octets = fields.slice(fields.position(), bytes);
        try {
            // A new decoder refuses what is malformed instead of replacing it.
            String text = StandardCharsets.UTF_8.newDecoder().decode(octets).toString();
            fields.position(fields.position() + bytes);
            return text;
        } catch (CharacterCodingException e) {
            throw broken(fields.position(), field, "UTF-8", "malformed bytes");
        }
    }

    private static ByteBuffer need(ByteBuffer fields, String field, int bytes) {
        if (fields.remaining() < bytes) {
            throw broken(
                    fields.position(), field, bytes + " bytes", fields.remaining() + " in header");
        }
        return fields;
    }

    /** Writes a record's header at an index of {@code out}, whose position stays. */
    public static void encode(JournalRecord record, ByteBuffer out, int at) {
        switch (record) {
            case JournalRecord.Batch(
                            long segment,
                            long epoch,
                            long number,
                            int bodyBytes,
                            int bodyCrc) ->
                    encode(out, at, BATCH, bodyBytes, segment, epoch, number, bodyCrc);
            case JournalRecord.Commit(long segment, long epoch, long batches) ->
                    encode(out, at, COMMIT, 0, segment, epoch, batches, 0);
            case JournalRecord.End(long segment) -> encode(out, at, END, 0, segment, 0, 0, 0);
        }
    }

    private static void encode(
            ByteBuffer out,
            int at,
            int type,
            int bodyBytes,
            long segment,
            long epoch,
            long number,
            int bodyCrc) {
        out.putShort(at, (short) type).putShort(at + 2, (short) 0).putInt(at + 4, bodyBytes);
        out.putLong(at + 8, segment).putLong(at + 16, epoch).putLong(at + 24, number);
        out.putInt(at + 32, bodyCrc).putInt(at + CRC_AT, crc(out, at, CRC_AT));
    }

    /**
     * Decodes the record header at the buffer's position and moves behind it; a batch's body is not
     * looked at.
     *
     * @param offset of the record in its file, for errors
     */
    public static JournalRecord decode(ByteBuffer in, long offset) {
        if (in.remaining() < RECORD_BYTES) {
            throw new TruncatedStreamException(
                    STREAM, offset, "record", RECORD_BYTES, in.remaining());
        }
        int at = in.position();
        int crc = crc(in, at, CRC_AT);
        int found = in.getInt(at + CRC_AT);
        expect(found == crc, offset + CRC_AT, "record checksum", crc, found);
        expect(in.getShort(at + 2) == 0, offset + 2, "reserved", 0, in.getShort(at + 2));
        int type = in.getShort(at) & 0xFFFF;
        int bodyBytes = in.getInt(at + 4);
        long segment = in.getLong(at + 8);
        long epoch = in.getLong(at + 16);
        long number = in.getLong(at + 24);
        int bodyCrc = in.getInt(at + 32);
        if (segment <= 0) {
            throw broken(offset + 8, "segment", "above 0", Long.toString(segment));
        }
        if (epoch < 0) {
            throw broken(offset + 16, "epoch", "0 or more", Long.toString(epoch));
        }
        if (number < 0) {
            throw broken(offset + 24, "number", "0 or more", Long.toString(number));
        }
        JournalRecord record =
                switch (type) {
                    case BATCH -> {
                        if (bodyBytes <= 0
                                || bodyBytes > JournalRecord.BODY_BYTES_MAX
                                || bodyBytes % 8 != 0) {
                            throw broken(
                                    offset + 4,
                                    "body length",
                                    "a multiple of 8 up to " + JournalRecord.BODY_BYTES_MAX,
                                    Integer.toString(bodyBytes));
                        }
                        yield new JournalRecord.Batch(segment, epoch, number, bodyBytes, bodyCrc);
                    }
                    case COMMIT -> {
                        expect(bodyBytes == 0, offset + 4, "body length", 0, bodyBytes);
                        expect(bodyCrc == 0, offset + 32, "body checksum", 0, bodyCrc);
                        yield new JournalRecord.Commit(segment, epoch, number);
                    }
                    case END -> {
                        expect(bodyBytes == 0, offset + 4, "body length", 0, bodyBytes);
                        expect(epoch == 0, offset + 16, "epoch", 0, epoch);
                        expect(number == 0, offset + 24, "number", 0, number);
                        expect(bodyCrc == 0, offset + 32, "body checksum", 0, bodyCrc);
                        yield new JournalRecord.End(segment);
                    }
                    default -> throw broken(offset, "record type", BATCH + ".." + END, "" + type);
                };
        in.position(at + RECORD_BYTES);
        return record;
    }

    /**
     * Checks a body against its batch.
     *
     * @param body from its position to its limit; stays as it is
     */
    public static void requireBody(JournalRecord.Batch batch, ByteBuffer body, long offset) {
        if (body.remaining() < batch.bodyBytes()) {
            throw new TruncatedStreamException(
                    STREAM, offset, "batch", batch.bodyBytes(), body.remaining());
        }
        int crc = crc(body, body.position(), batch.bodyBytes());
        expect(crc == batch.bodyCrc32c(), offset, "body checksum", batch.bodyCrc32c(), crc);
    }

    /**
     * Puts a write's header at the position of {@code out}; for {@link DiskWrite.Data} its bytes
     * have to follow, and zeros up to {@link #paddedBytes}.
     */
    public static void encode(DiskWrite write, ByteBuffer out) {
        int type =
                switch (write) {
                    case DiskWrite.Data _ -> DATA;
                    case DiskWrite.Zeroes _ -> ZEROES;
                };
        out.putShort((short) type).putShort((short) write.disk()).putInt(0);
        out.putLong(write.offsetBytes()).putLong(write.lengthBytes());
    }

    /**
     * Decodes the write at the buffer's position; moves to its data, which is all there.
     *
     * @param offset of the write in its file, for errors
     */
    public static DiskWrite decodeWrite(ByteBuffer in, long offset) {
        if (in.remaining() < WRITE_BYTES) {
            throw new TruncatedStreamException(
                    STREAM, offset, "write", WRITE_BYTES, in.remaining());
        }
        int at = in.position();
        int type = in.getShort(at) & 0xFFFF;
        int disk = in.getShort(at + 2) & 0xFFFF;
        long first = in.getLong(at + 8);
        long length = in.getLong(at + 16);
        if (disk >= JournalHeader.DISKS_MAX) {
            throw broken(offset + 2, "disk", "below " + JournalHeader.DISKS_MAX, "" + disk);
        }
        expect(in.getInt(at + 4) == 0, offset + 4, "reserved", 0, in.getInt(at + 4));
        if (first < 0) {
            throw broken(offset + 8, "offset", "0 or more", Long.toString(first));
        }
        if (length <= 0 || first > Long.MAX_VALUE - length) {
            throw broken(offset + 16, "length", "above 0, within 2^63", Long.toString(length));
        }
        DiskWrite write =
                switch (type) {
                    case DATA -> {
                        if (length > in.remaining() - WRITE_BYTES
                                || paddedBytes((int) length) > in.remaining() - WRITE_BYTES) {
                            throw new TruncatedStreamException(
                                    STREAM,
                                    offset,
                                    "write's data",
                                    length,
                                    in.remaining() - WRITE_BYTES);
                        }
                        yield new DiskWrite.Data(disk, first, (int) length);
                    }
                    case ZEROES -> new DiskWrite.Zeroes(disk, first, length);
                    default -> throw broken(offset, "write type", DATA + ".." + ZEROES, "" + type);
                };
        in.position(at + WRITE_BYTES);
        return write;
    }

    private static int crc(ByteBuffer buffer, int at, int bytes) {
        CRC32C crc = new CRC32C();
        crc.update(buffer.slice(at, bytes));
        return (int) crc.getValue();
    }

    private static void expect(
            boolean holds, long offset, String field, long expected, long found) {
        if (!holds) {
            throw broken(
                    offset,
                    field,
                    "0x" + Long.toHexString(expected),
                    "0x" + Long.toHexString(found));
        }
    }

    private static ProtocolException broken(
            long offset, String field, String expected, String found) {
        return new ProtocolException(STREAM, offset, field, expected, found);
    }
}
