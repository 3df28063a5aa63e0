package holdfast.qemu.state;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import holdfast.engine.HypervisorException;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * What the front of a QEMU migration stream taken with {@code x-ignore-shared} says.
 *
 * @param pagesOffset where the pages begin, behind the list of blocks
 * @param endOffset where the section begins that ends the pages; it may hold pages itself
 * @param cutOffset where the first full device section begins, in bytes
 * @param blocks RAM blocks in the stream's order
 * @param dataPages pages whose content is in the stream
 * @param zeroPages pages the stream says are filled with one byte
 */
public record StateStream(
        long pagesOffset,
        long endOffset,
        long cutOffset,
        List<Block> blocks,
        long dataPages,
        long zeroPages) {
    /** Bytes before the first section: magic and version. */
    static final int HEADER_BYTES = 8;

    /** RAM blocks a machine may have; a busy one has about twenty. */
    static final int BLOCKS_MAX = 1024;

    static final int TYPE_END_OF_FILE = 0x00;
    static final int TYPE_FULL = 0x04;

    private static final int MAGIC = 0x5145564d;
    private static final int VERSION = 3;
    private static final int TYPE_START = 0x01;
    private static final int TYPE_PART = 0x02;
    private static final int TYPE_END = 0x03;
    private static final int TYPE_CONFIGURATION = 0x07;
    private static final int TYPE_COMMAND = 0x08;
    private static final int FOOTER = 0x7e;
    private static final int PAGE_BYTES = 4096;
    private static final long FLAGS = PAGE_BYTES - 1;
    private static final int FLAG_ZERO = 0x02;
    private static final int FLAG_BLOCK_LIST = 0x04;
    private static final int FLAG_PAGE = 0x08;
    private static final int FLAG_END_OF_SECTION = 0x10;
    private static final int FLAG_SAME_BLOCK = 0x20;
    private static final int FLAG_FLUSH = 0x200;

    private static final ValueLayout.OfShort U16 =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
    private static final ValueLayout.OfInt U32 =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
    private static final ValueLayout.OfLong U64 =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

    /**
     * A RAM block.
     *
     * @param name QEMU's, such as {@code pc.bios}
     * @param bytes its used length
     */
    public record Block(String name, long bytes) {}

    public StateStream {
        blocks = List.copyOf(blocks);
    }

    /**
     * Reads a stream up to its first full section.
     *
     * @param stream a whole stream, or a base, which ends where the first full section would begin
     * @throws HypervisorException naming offset, field, found and expected, if it is anything else
     */
    public static StateStream parse(MemorySegment stream) {
        return new Reader(stream).parse();
    }

    /**
     * Checks magic and version.
     *
     * @param what names the stream in the error
     */
    static void requireHeader(String what, MemorySegment stream) {
        if (stream.byteSize() <= HEADER_BYTES) {
            throw malformed(what, 0, "length", stream.byteSize(), "more than " + HEADER_BYTES);
        }
        int magic = stream.get(U32, 0);
        int version = stream.get(U32, 4);
        if (magic != MAGIC) {
            throw malformed(what, 0, "magic", Integer.toHexString(magic), "5145564d (QEVM)");
        }
        if (version != VERSION) {
            throw malformed(what, 4, "version", version, VERSION);
        }
    }

    static HypervisorException malformed(
            String what, long offset, String field, Object found, Object expected) {
        return new HypervisorException(
                what,
                "offset %d: %s: found %s, expected %s".formatted(offset, field, found, expected));
    }

    /** One pass over a stream; every read is checked against the bytes left. */
    private static final class Reader {
        private static final String WHAT = "QEMU state stream";

        private final MemorySegment stream;
        private final List<Block> blocks = new ArrayList<>();
        private final Set<String> names = new HashSet<>();
        private long offset = HEADER_BYTES;
        private long ramId = -1;
        private boolean ended;
        private long pagesOffset;
        private long endOffset;
        private boolean inBlock;
        private long dataPages;
        private long zeroPages;

        private Reader(MemorySegment stream) {
            this.stream = stream;
        }

        private StateStream parse() {
            requireHeader(WHAT, stream);
            while (offset < stream.byteSize()) {
                long at = offset;
                int type = u8("section type");
                switch (type) {
                    case TYPE_START -> start(at);
                    case TYPE_PART -> ramSection(at);
                    case TYPE_END -> {
                        endOffset = at;
                        ramSection(at);
                        ended = true;
                    }
                    case TYPE_COMMAND -> {
                        u16("command");
                        skip("command body", u16("command length"));
                    }
                    case TYPE_CONFIGURATION ->
                            throw malformed(
                                    WHAT,
                                    at,
                                    "section type",
                                    "a configuration section",
                                    "none: start QEMU with -global"
                                            + " migration.send-configuration=off");
                    case TYPE_FULL -> {
                        return finish(at);
                    }
                    default -> throw malformed(WHAT, at, "section type", type, "1, 2, 3, 4 or 8");
                }
            }
            return finish(offset);
        }

        private StateStream finish(long cut) {
            if (!ended) {
                throw malformed(WHAT, cut, "RAM section", "no end", "one before the devices");
            }
            return new StateStream(pagesOffset, endOffset, cut, blocks, dataPages, zeroPages);
        }

        private void start(long at) {
            if (ramId >= 0) {
                throw malformed(WHAT, at, "section", "a second start", "one, of ram");
            }
            long id = u32("section id");
            String name = name("section name");
            if (!name.equals("ram")) {
                throw malformed(WHAT, at, "section name", name, "ram");
            }
            u32("instance");
            u32("section version");
            ramId = id;
            entries();
            footer();
            pagesOffset = offset;
        }

        private void ramSection(long at) {
            long id = u32("section id");
            if (ramId < 0 || ended || id != ramId) {
                throw malformed(WHAT, at, "section id", id, ended ? "none" : ramId);
            }
            entries();
            footer();
        }

        private void entries() {
            while (true) {
                long at = offset;
                long word = u64("page word");
                int flags = (int) (word & FLAGS);
                long value = word & ~FLAGS;
                switch (flags) {
                    case FLAG_END_OF_SECTION -> {
                        return;
                    }
                    case FLAG_BLOCK_LIST -> blockList(at, value);
                    case FLAG_ZERO, FLAG_ZERO | FLAG_SAME_BLOCK -> {
                        block(at, flags);
                        skip("fill byte", 1);
                        zeroPages++;
                    }
                    case FLAG_PAGE, FLAG_PAGE | FLAG_SAME_BLOCK -> {
                        block(at, flags);
                        skip("page", PAGE_BYTES);
                        dataPages++;
                    }
                    case FLAG_FLUSH -> {}
                    default ->
                            throw malformed(
                                    WHAT,
                                    at,
                                    "page flags",
                                    "0x" + Integer.toHexString(flags),
                                    "2, 4, 8, 0x10, 0x22, 0x28 or 0x200");
                }
            }
        }

        private void blockList(long at, long totalBytes) {
            if (!blocks.isEmpty()) {
                throw malformed(WHAT, at, "block list", "a second one", "one");
            }
            if (totalBytes < 0) {
                throw malformed(WHAT, at, "bytes of all blocks", totalBytes, "0 or more");
            }
            long left = totalBytes;
            while (left > 0) {
                long start = offset;
                String name = name("block name");
                long bytes = u64("block length");
                u64("block address");
                if (bytes <= 0 || bytes > left) {
                    throw malformed(WHAT, start, "length of " + name, bytes, "1 to " + left);
                }
                if (!names.add(name) || blocks.size() == BLOCKS_MAX) {
                    throw malformed(
                            WHAT, start, "block", name, "at most " + BLOCKS_MAX + ", each once");
                }
                blocks.add(new Block(name, bytes));
                left -= bytes;
            }
        }

        private void block(long at, int flags) {
            if ((flags & FLAG_SAME_BLOCK) != 0) {
                if (!inBlock) {
                    throw malformed(WHAT, at, "page", "of the same block", "a block name first");
                }
                return;
            }
            String name = name("block name");
            if (!names.contains(name)) {
                throw malformed(WHAT, at, "block name", name, "one of " + names);
            }
            inBlock = true;
        }

        private void footer() {
            long at = offset;
            int mark = u8("section footer");
            long id = u32("section footer id");
            if (mark != FOOTER || id != ramId) {
                throw malformed(WHAT, at, "section footer", mark + " " + id, FOOTER + " " + ramId);
            }
        }

        private String name(String field) {
            int length = u8(field);
            long at = offset;
            skip(field, length);
            return new String(
                    stream.asSlice(at, length).toArray(JAVA_BYTE), StandardCharsets.ISO_8859_1);
        }

        private int u8(String field) {
            long at = skip(field, 1);
            return Byte.toUnsignedInt(stream.get(JAVA_BYTE, at));
        }

        private int u16(String field) {
            long at = skip(field, 2);
            return Short.toUnsignedInt(stream.get(U16, at));
        }

        private long u32(String field) {
            long at = skip(field, 4);
            return Integer.toUnsignedLong(stream.get(U32, at));
        }

        private long u64(String field) {
            long at = skip(field, 8);
            return stream.get(U64, at);
        }

        private long skip(String field, long bytes) {
            long left = stream.byteSize() - offset;
            if (bytes > left) {
                throw malformed(WHAT, offset, field, left + " bytes left", bytes + " bytes");
            }
            long at = offset;
            offset += bytes;
            return at;
        }
    }
}
