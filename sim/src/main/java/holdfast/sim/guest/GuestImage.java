package holdfast.sim.guest;

import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;

import holdfast.engine.port.GuestMemory;

import java.lang.foreign.MemorySegment;
import java.util.OptionalLong;

/**
 * How a simulated guest uses its memory: words 0 to 2 hold the last request's number, a count of
 * changes and a checksum over all other words; words 3 and 4 a count of its writes to the disk and
 * a checksum of what is on it; the first quarter of the pages after the first holds a table of
 * answers; in the rest the guest scribbles.
 */
public final class GuestImage {
    static final long LAST_REQUEST = 0;
    static final long WRITES = 1;
    static final long CHECKSUM = 2;
    static final long DISK_WRITES = 3;
    static final long DISK_CHECKSUM = 4;
    private static final int WORDS_OF_PAGE = GuestMemory.PAGE_BYTES / Long.BYTES;

    private GuestImage() {}

    static long tablePages(long pages) {
        return Math.max(1, pages / 4);
    }

    /** First word of the answer to request {@code number}: the number, then the answer's value. */
    static long slot(long pages, long number) {
        long slots = tablePages(pages) * (WORDS_OF_PAGE / 2);
        return WORDS_OF_PAGE + 2 * (number % slots);
    }

    static long firstScratchWord(long pages) {
        return (1 + tablePages(pages)) * WORDS_OF_PAGE;
    }

    static long words(long pages) {
        return pages * WORDS_OF_PAGE;
    }

    static long mix(long word, long value) {
        if (value == 0) {
            return 0;
        }
        long mixed = (value ^ word * 0x9E3779B97F4A7C15L) * 0xBF58476D1CE4E5B9L;
        return mixed ^ mixed >>> 29;
    }

    /** The number of the last request that this memory has answered. */
    public static long lastRequest(MemorySegment memory) {
        return memory.get(JAVA_LONG_UNALIGNED, LAST_REQUEST * Long.BYTES);
    }

    /** What this memory answered to request {@code number}. */
    public static OptionalLong answer(MemorySegment memory, long number) {
        long at = slot(memory.byteSize() / GuestMemory.PAGE_BYTES, number) * Long.BYTES;
        return memory.get(JAVA_LONG_UNALIGNED, at) == number
                ? OptionalLong.of(memory.get(JAVA_LONG_UNALIGNED, at + Long.BYTES))
                : OptionalLong.empty();
    }

    /** The checksum as it is, over every word. */
    static long checksum(MemorySegment memory) {
        long sum = 0;
        long words = memory.byteSize() / Long.BYTES;
        for (long word = CHECKSUM + 1; word < words; word++) {
            sum += mix(word, memory.get(JAVA_LONG_UNALIGNED, word * Long.BYTES));
        }
        return sum;
    }
}
