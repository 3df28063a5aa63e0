package holdfast.wire.xen;

import static holdfast.wire.xen.VerifierInput.hex;
import static holdfast.wire.xen.VerifierInput.u32;

import holdfast.wire.xen.VerifierInput.DeviationFound;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** PAGE_DELTA, Holdfast's own record, for {@link LibxcVerifier}. */
final class LibxcVerifierDeltas {
    private static final int PAGE_WORDS = 512;
    private static final int PAGES_MAX = 4096;

    private final VerifierInput in;

    LibxcVerifierDeltas(VerifierInput in) {
        this.in = in;
    }

    /** Returns the pages in the record. */
    long pageDelta(long length, ByteOrder order) throws IOException, DeviationFound {
        in.check(length >= 24, StreamRule.RECORD_LENGTH, 4, "at least 24", length);
        ByteBuffer head = in.take(8, order);
        int count = (int) Math.min(u32(head, 0), PAGES_MAX + 1L);
        long listBytes = (8 + 12L * count + 7) / 8 * 8;
        in.check(
                count >= 1 && count <= PAGES_MAX && listBytes <= length,
                StreamRule.RECORD_LENGTH,
                0,
                "count 1.." + Math.min(PAGES_MAX, (length - 8) / 12),
                u32(head, 0));
        in.check(head.getInt(4) == 0, StreamRule.RESERVED_BITS, 4, "zero", hex(u32(head, 4)));
        ByteBuffer list = in.take((int) listBytes - 8, order);
        int[] lengths = new int[count];
        long sum = 0;
        for (int i = 0; i < count; i++) {
            long bits = list.getLong(i * 8) >>> 52;
            in.check((bits & 0xFF) == 0, StreamRule.RESERVED_BITS, i * 8L, "zero", hex(bits));
            in.check(bits >>> 8 <= 1, StreamRule.FIELD_VALUE, i * 8L, "kind 0 or 1", bits >>> 8);
            long bytes = u32(list, count * 8 + i * 4);
            boolean fits = bits == 0 ? bytes == 0 : bytes >= 1 && bytes <= 4095;
            in.check(
                    fits,
                    StreamRule.FIELD_VALUE,
                    count * 8L + i * 4L,
                    bits == 0 ? "length 0" : "length 1..4095",
                    bytes);
            lengths[i] = (int) bytes;
            sum += bytes;
        }
        in.check(
                (count & 1) == 0 || list.getInt(count * 12) == 0,
                StreamRule.PADDING,
                count * 12L,
                "zeros after the lengths",
                "other bytes");
        in.check(
                length == listBytes + sum,
                StreamRule.RECORD_LENGTH,
                0,
                "length " + (listBytes + sum),
                length);
        for (int bytes : lengths) {
            runs(in.take(bytes, ByteOrder.LITTLE_ENDIAN));
        }
        return count;
    }

    private void runs(ByteBuffer delta) throws DeviationFound {
        int at = 0;
        int word = 0;
        while (at < delta.limit()) {
            in.check(at + 4 <= delta.limit(), StreamRule.DELTA_RUNS, at, "a whole run", "a part");
            int skipWords = delta.getShort(at) & 0xFFFF;
            int words = delta.getShort(at + 2) & 0xFFFF;
            word += skipWords + words;
            in.check(
                    words > 0 && word <= PAGE_WORDS,
                    StreamRule.DELTA_RUNS,
                    at,
                    "runs of 1 and more words inside a page",
                    words + " words to word " + word);
            at += 4 + 8 * words;
            in.check(at <= delta.limit(), StreamRule.DELTA_RUNS, at, "a whole run", "a part");
        }
    }
}
