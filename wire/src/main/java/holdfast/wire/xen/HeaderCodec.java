package holdfast.wire.xen;

import holdfast.wire.Bytes;

import java.nio.charset.StandardCharsets;

/** The fixed headers: xl's file header, libxl's, libxc's image and domain headers. */
final class HeaderCodec {
    /** xl's magic: the text, then LF, space, NUL, space, CR. */
    static final Bytes XL_MAGIC =
            Bytes.copyOf("Xen saved domain, xl format\n \0 \r".getBytes(StandardCharsets.US_ASCII));

    static final int XL_HEADER_BYTES = 48;
    static final int LIBXL_HEADER_BYTES = 16;
    static final int IMAGE_HEADER_BYTES = 24;
    static final int DOMAIN_HEADER_BYTES = 16;

    static final long LIBXL_IDENT = 0x4c69_6278_6c46_6d74L;
    static final long IMAGE_MARKER = -1L;

    private static final int XL_BYTE_ORDER_MARK = 0x0102_0304;
    private static final int XL_BYTE_ORDER_MARK_SWAPPED = 0x0403_0201;
    private static final int XL_MANDATORY_FLAGS = 3;
    private static final int LIBXL_VERSION = 2;
    private static final int LIBXL_BIG_ENDIAN = 1;
    private static final int LIBXL_LEGACY = 2;
    private static final int IMAGE_ID = 0x5845_4E46;
    private static final int IMAGE_BIG_ENDIAN = 1;
    private static final int PAGE_SHIFT = 12;

    private HeaderCodec() {}

    /** The order of xl's header, from its first 48 bytes, in which they must be read then. */
    static BodyOrder xlOrder(OctetReader bigEndian) {
        long at = bigEndian.offset();
        Bytes magic = bigEndian.bytes("xl header magic", XL_MAGIC.size());
        if (!magic.equals(XL_MAGIC)) {
            throw bigEndian.broken(at, "xl header magic", XL_MAGIC.toHex(), magic.toHex());
        }
        at = bigEndian.offset();
        int mark = bigEndian.int32("xl header byte order");
        return switch (mark) {
            case XL_BYTE_ORDER_MARK -> BodyOrder.BIG_ENDIAN;
            case XL_BYTE_ORDER_MARK_SWAPPED -> BodyOrder.LITTLE_ENDIAN;
            default ->
                    throw bigEndian.broken(
                            at, "xl header byte order", "01020304 either way round", hex(mark));
        };
    }

    /** Length of the optional data, checked; {@code header} stands at the magic. */
    static int xlOptionalDataBytes(OctetReader header) {
        header.skip("xl header magic and byte order", XL_MAGIC.size() + 4L);
        long at = header.offset();
        int mandatory = header.int32("xl header mandatory flags");
        if (mandatory != XL_MANDATORY_FLAGS) {
            throw header.broken(
                    at,
                    "xl header mandatory flags",
                    "3 (JSON configuration, libxl stream v2)",
                    hex(mandatory));
        }
        header.skip("xl header optional flags", 4);
        at = header.offset();
        long bytes = header.u32("xl header optional data length");
        if (bytes > XenLimits.XL_OPTIONAL_DATA_BYTES_MAX) {
            throw header.broken(
                    at,
                    "xl header optional data length",
                    "0.." + XenLimits.XL_OPTIONAL_DATA_BYTES_MAX,
                    Long.toString(bytes));
        }
        return (int) bytes;
    }

    /** {@code header} stands at the magic and reaches to the end of the optional data. */
    static XlFileHeader decodeXl(OctetReader header, BodyOrder order) {
        long at = header.offset();
        header.skip("xl header magic, byte order, mandatory flags", XL_MAGIC.size() + 8L);
        long optionalFlags = header.u32("xl header optional flags");
        header.skip("xl header optional data length", 4);
        Bytes data = header.bytes("xl header optional data", header.remaining());
        try {
            return new XlFileHeader(order, optionalFlags, data);
        } catch (IllegalRecordException e) {
            throw header.broken(at + XL_HEADER_BYTES, e);
        }
    }

    static void encodeXl(XlFileHeader header, OctetWriter out) {
        out.bytes(XL_MAGIC);
        out.u32(XL_BYTE_ORDER_MARK);
        out.u32(XL_MANDATORY_FLAGS);
        out.u32(header.optionalFlags());
        out.u32(header.optionalData().size());
        out.bytes(header.optionalData());
    }

    static LibxlHeader decodeLibxl(OctetReader bigEndian) {
        long at = bigEndian.offset();
        long ident = bigEndian.u64("libxl header ident");
        if (ident != LIBXL_IDENT) {
            throw bigEndian.broken(at, "libxl header ident", "LibxlFmt", hex(ident));
        }
        at = bigEndian.offset();
        int version = bigEndian.int32("libxl header version");
        if (version != LIBXL_VERSION) {
            throw bigEndian.broken(at, "libxl header version", "2", hex(version));
        }
        int options = bigEndian.int32("libxl header options");
        return new LibxlHeader(
                (options & LIBXL_BIG_ENDIAN) == 0 ? BodyOrder.LITTLE_ENDIAN : BodyOrder.BIG_ENDIAN,
                (options & LIBXL_LEGACY) == 0
                        ? LibxlHeader.Origin.NATIVE
                        : LibxlHeader.Origin.LEGACY_CONVERTER);
    }

    static void encodeLibxl(LibxlHeader header, OctetWriter bigEndian) {
        bigEndian.u64(LIBXL_IDENT);
        bigEndian.u32(LIBXL_VERSION);
        int order =
                switch (header.order()) {
                    case LITTLE_ENDIAN -> 0;
                    case BIG_ENDIAN -> LIBXL_BIG_ENDIAN;
                };
        int origin =
                switch (header.origin()) {
                    case NATIVE -> 0;
                    case LEGACY_CONVERTER -> LIBXL_LEGACY;
                };
        bigEndian.u32(order | origin);
    }

    static ImageHeader decodeImage(OctetReader bigEndian) {
        long at = bigEndian.offset();
        long marker = bigEndian.u64("image header marker");
        if (marker != IMAGE_MARKER) {
            throw bigEndian.broken(at, "image header marker", hex(IMAGE_MARKER), hex(marker));
        }
        at = bigEndian.offset();
        int id = bigEndian.int32("image header id");
        if (id != IMAGE_ID) {
            throw bigEndian.broken(at, "image header id", hex(IMAGE_ID), hex(id));
        }
        at = bigEndian.offset();
        int version = bigEndian.int32("image header version");
        int options = bigEndian.u16("image header options");
        bigEndian.skip("image header reserved", 6);
        try {
            return new ImageHeader(
                    version,
                    (options & IMAGE_BIG_ENDIAN) == 0
                            ? BodyOrder.LITTLE_ENDIAN
                            : BodyOrder.BIG_ENDIAN);
        } catch (IllegalRecordException e) {
            throw bigEndian.broken(at, e);
        }
    }

    static void encodeImage(ImageHeader header, OctetWriter bigEndian) {
        bigEndian.u64(IMAGE_MARKER);
        bigEndian.u32(IMAGE_ID);
        bigEndian.u32(header.version());
        bigEndian.u16(
                switch (header.order()) {
                    case LITTLE_ENDIAN -> 0;
                    case BIG_ENDIAN -> IMAGE_BIG_ENDIAN;
                });
        bigEndian.zeros(6);
    }

    static DomainHeader decodeDomain(OctetReader header) {
        long at = header.offset();
        long type = header.u32("domain header type");
        if (type != 1 && type != 2) {
            throw header.broken(
                    at, "domain header type", "1 (x86 PV) or 2 (x86 HVM)", Long.toString(type));
        }
        at = header.offset();
        int pageShift = header.u16("domain header page_shift");
        if (pageShift != PAGE_SHIFT) {
            throw header.broken(at, "domain header page_shift", "12", Integer.toString(pageShift));
        }
        header.skip("domain header reserved", 2);
        return new DomainHeader(
                type == 1 ? DomainType.X86_PV : DomainType.X86_HVM,
                header.u32("domain header xen_major"),
                header.u32("domain header xen_minor"));
    }

    static void encodeDomain(DomainHeader header, OctetWriter out) {
        out.u32(
                switch (header.type()) {
                    case X86_PV -> 1;
                    case X86_HVM -> 2;
                });
        out.u16(PAGE_SHIFT);
        out.u16(0);
        out.u32(header.xenMajor());
        out.u32(header.xenMinor());
    }

    private static String hex(int value) {
        return "0x" + Integer.toHexString(value);
    }

    private static String hex(long value) {
        return "0x" + Long.toHexString(value);
    }
}
