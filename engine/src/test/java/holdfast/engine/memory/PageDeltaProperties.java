package holdfast.engine.memory;

import static org.assertj.core.api.Assertions.assertThat;

import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.SplittableRandom;

class PageDeltaProperties {
    private static final int PAGE = 4096;

    /** What no page may touch: pages stand in the middle of something larger. */
    private static final int MARGIN = 64;

    private static byte[] randomBytes(int length, SplittableRandom random) {
        byte[] bytes = new byte[length];
        random.nextBytes(bytes);
        return bytes;
    }

    /** A page's old and new content, with some of its words changed in runs. */
    private static byte[] changed(byte[] old, int runs, SplittableRandom random) {
        byte[] changed = old.clone();
        for (int i = 0; i < runs; i++) {
            int first = random.nextInt(PAGE);
            int end = Math.min(PAGE, first + 1 + random.nextInt(40));
            for (int at = first; at < end; at++) {
                changed[MARGIN + at] = (byte) random.nextInt();
            }
        }
        return changed;
    }

    @Property
    void a_delta_turns_the_old_page_into_the_new_one_and_touches_nothing_else(
            @ForAll long seed, @ForAll @IntRange(max = 60) int runs) {
        SplittableRandom random = new SplittableRandom(seed);
        byte[] old = randomBytes(PAGE + 2 * MARGIN, random);
        byte[] now = changed(old, runs, random);
        byte[] delta = new byte[PAGE + 2 * MARGIN];
        int length =
                PageDelta.encode(
                        MemorySegment.ofArray(now),
                        MARGIN,
                        MemorySegment.ofArray(old),
                        MARGIN,
                        MemorySegment.ofArray(delta),
                        MARGIN,
                        PAGE);
        if (length == PageDelta.TOO_LARGE) {
            assertThat(runs).as("many changes").isGreaterThan(10);
            return;
        }
        assertThat(length).isLessThan(PAGE);
        assertThat(Arrays.copyOf(delta, MARGIN)).containsOnly(0);
        assertThat(Arrays.copyOfRange(delta, MARGIN + length, delta.length)).containsOnly(0);
        if (length == 0) {
            assertThat(now).isEqualTo(old);
            return;
        }
        assertThat(PageDelta.check(MemorySegment.ofArray(delta), MARGIN, length)).isTrue();
        PageDelta.apply(
                MemorySegment.ofArray(delta), MARGIN, length, MemorySegment.ofArray(old), MARGIN);
        assertThat(old).isEqualTo(now);
    }

    @Property
    void bytes_that_pass_the_check_stay_inside_their_page_and_their_delta(
            @ForAll long seed, @ForAll @IntRange(max = 80) int length) {
        SplittableRandom random = new SplittableRandom(seed);
        byte[] delta = randomBytes(length, random);
        // Small numbers, so that a good part of the draws is legal.
        for (int at = 0; at + 4 <= length; at += 4) {
            if (random.nextInt(3) != 0) {
                delta[at + 1] = (byte) random.nextInt(3);
                delta[at + 2] = (byte) random.nextInt(4);
                delta[at + 3] = 0;
            }
        }
        if (!PageDelta.check(MemorySegment.ofArray(delta), 0, length)) {
            return;
        }
        byte[] before = randomBytes(PAGE + 2 * MARGIN, random);
        byte[] page = before.clone();
        MemorySegment borrowed = MemorySegment.ofArray(page);
        PageDelta.apply(MemorySegment.ofArray(delta), 0, length, borrowed, MARGIN);
        assertThat(Arrays.copyOf(page, MARGIN)).isEqualTo(Arrays.copyOf(before, MARGIN));
        assertThat(Arrays.copyOfRange(page, MARGIN + PAGE, page.length))
                .isEqualTo(Arrays.copyOfRange(before, MARGIN + PAGE, before.length));
        PageDelta.apply(MemorySegment.ofArray(delta), 0, length, borrowed, MARGIN);
        assertThat(page).as("a difference applied twice").isEqualTo(before);
    }

    @Property
    void a_delta_that_would_reach_the_limit_is_not_made(
            @ForAll long seed, @ForAll @IntRange(min = 1, max = PAGE) int limit) {
        SplittableRandom random = new SplittableRandom(seed);
        byte[] old = randomBytes(PAGE + 2 * MARGIN, random);
        byte[] now = changed(old, 1 + random.nextInt(8), random);
        MemorySegment unbounded = MemorySegment.ofArray(new byte[2 * PAGE]);
        int full =
                PageDelta.encode(
                        MemorySegment.ofArray(now),
                        MARGIN,
                        MemorySegment.ofArray(old),
                        MARGIN,
                        unbounded,
                        0,
                        2 * PAGE);
        int limited =
                PageDelta.encode(
                        MemorySegment.ofArray(now),
                        MARGIN,
                        MemorySegment.ofArray(old),
                        MARGIN,
                        MemorySegment.ofArray(new byte[limit]),
                        0,
                        limit);
        assertThat(limited).isEqualTo(full < limit ? full : PageDelta.TOO_LARGE);
    }

    @Example
    void the_format_is_the_documented_one() {
        MemorySegment old = MemorySegment.ofArray(new byte[PAGE]);
        MemorySegment now = MemorySegment.ofArray(new byte[PAGE]);
        now.set(ValueLayout.JAVA_BYTE, 8, (byte) 0x11);
        now.set(ValueLayout.JAVA_BYTE, 17, (byte) 0x22);
        now.set(ValueLayout.JAVA_BYTE, PAGE - 1, (byte) 0x33);
        byte[] out = new byte[PAGE];
        int length = PageDelta.encode(now, 0, old, 0, MemorySegment.ofArray(out), 0, PAGE);
        assertThat(HexFormat.of().formatHex(out, 0, length))
                .isEqualTo(
                        "01000200"
                                + "1100000000000000"
                                + "0022000000000000"
                                + "fc010100"
                                + "0000000000000033");
    }

    @Example
    void illegal_deltas_are_found() {
        for (String hex :
                new String[] {
                    "", // nothing
                    "010001", // a header cut short
                    "00000000", // an empty run
                    "00000100" + "11223344556677", // a run cut short
                    "00020100" + "1122334455667788", // a word behind the page
                    "ff010200" + "1122334455667788" + "1122334455667788", // one of two behind it
                    "ffffffff" + "1122334455667788", // as large as can be said
                    "00000100" + "1122334455667788" + "ff010100" + "1122334455667788" + "00"
                }) {
            byte[] delta = HexFormat.of().parseHex(hex);
            assertThat(PageDelta.check(MemorySegment.ofArray(delta), 0, delta.length))
                    .as(hex)
                    .isFalse();
        }
    }

    @Property
    void zero_and_equal_pages_are_told_from_all_others(
            @ForAll @IntRange(max = PAGE - 1) int where, @ForAll @IntRange(max = 7) int bit) {
        byte[] memory = new byte[PAGE + 2 * MARGIN];
        memory[MARGIN - 1] = 1;
        memory[MARGIN + PAGE] = 1;
        MemorySegment one = MemorySegment.ofArray(memory);
        MemorySegment other = MemorySegment.ofArray(new byte[PAGE]);
        assertThat(PageScan.isZero(one, MARGIN)).isTrue();
        assertThat(PageScan.same(one, MARGIN, other, 0)).isTrue();
        memory[MARGIN + where] ^= (byte) (1 << bit);
        assertThat(PageScan.isZero(one, MARGIN)).isFalse();
        assertThat(PageScan.same(one, MARGIN, other, 0)).isFalse();
    }
}
