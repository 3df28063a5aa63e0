package holdfast.engine.memory;

import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;

import holdfast.engine.port.GuestMemory;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * The difference between two contents of a page: runs of {@code u16 skipWords, u16 lenWords,
 * lenWords * 8 bytes}, little-endian, where the bytes are the XOR of old and new and words are 8
 * bytes. A guest that counts, links or stamps changes a few words of a page: most deltas are a
 * hundredth of it.
 */
public final class PageDelta {
    private static final int WORDS = GuestMemory.PAGE_BYTES / Long.BYTES;
    private static final int HEADER_BYTES = 4;
    private static final ValueLayout.OfShort U16 =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** What {@link #encode} returns when the delta would not be smaller than the limit. */
    public static final int TOO_LARGE = -1;

    private PageDelta() {}

    /**
     * Writes to {@code out} at {@code outOffset} what turns the page at {@code oldOffset} into the
     * one at {@code newOffset}.
     *
     * @param limitBytes the delta must be smaller; {@code out} has at least this much room
     * @return bytes written, 0 if the pages are equal, or {@link #TOO_LARGE}
     */
    public static int encode(
            MemorySegment newPage,
            long newOffset,
            MemorySegment oldPage,
            long oldOffset,
            MemorySegment out,
            long outOffset,
            int limitBytes) {
        int written = 0;
        int ended = 0;
        for (int word = 0; word < WORDS; ) {
            long at = (long) word * Long.BYTES;
            long xor =
                    newPage.get(JAVA_LONG_UNALIGNED, newOffset + at)
                            ^ oldPage.get(JAVA_LONG_UNALIGNED, oldOffset + at);
            if (xor == 0) {
                word++;
                continue;
            }
            int first = word;
            int header = written;
            written += HEADER_BYTES;
            do {
                if (written + Long.BYTES >= limitBytes) {
                    return TOO_LARGE;
                }
                out.set(JAVA_LONG_UNALIGNED, outOffset + written, xor);
                written += Long.BYTES;
                if (++word == WORDS) {
                    break;
                }
                at = (long) word * Long.BYTES;
                xor =
                        newPage.get(JAVA_LONG_UNALIGNED, newOffset + at)
                                ^ oldPage.get(JAVA_LONG_UNALIGNED, oldOffset + at);
            } while (xor != 0);
            out.set(U16, outOffset + header, (short) (first - ended));
            out.set(U16, outOffset + header + 2, (short) (word - first));
            ended = word;
        }
        return written;
    }

    /**
     * Whether the {@code length} bytes at {@code offset} are a legal delta: only then may they be
     * given to {@link #apply}.
     */
    public static boolean check(MemorySegment delta, long offset, int length) {
        int word = 0;
        int at = 0;
        while (at < length) {
            if (length - at < HEADER_BYTES) {
                return false;
            }
            int skip = Short.toUnsignedInt(delta.get(U16, offset + at));
            int words = Short.toUnsignedInt(delta.get(U16, offset + at + 2));
            at += HEADER_BYTES;
            word += skip + words;
            if (words == 0 || word > WORDS || length - at < words * Long.BYTES) {
                return false;
            }
            at += words * Long.BYTES;
        }
        return length > 0;
    }

    /** Changes the page at {@code pageOffset} by a delta that passed {@link #check}. */
    public static void apply(
            MemorySegment delta, long offset, int length, MemorySegment page, long pageOffset) {
        long target = pageOffset;
        long at = offset;
        long end = offset + length;
        while (at < end) {
            target += Short.toUnsignedLong(delta.get(U16, at)) * Long.BYTES;
            int words = Short.toUnsignedInt(delta.get(U16, at + 2));
            at += HEADER_BYTES;
            for (int i = 0; i < words; i++) {
                page.set(
                        JAVA_LONG_UNALIGNED,
                        target,
                        page.get(JAVA_LONG_UNALIGNED, target) ^ delta.get(JAVA_LONG_UNALIGNED, at));
                at += Long.BYTES;
                target += Long.BYTES;
            }
        }
    }
}
