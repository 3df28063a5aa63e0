package holdfast.node.link;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CompressionChoiceTest {
    private static final int BLOCK = 1 << 20;

    /** Blocks that are sent until the figures have settled; how many of the last 64 are packed. */
    private static int packed(
            BulkCompression wish, double linkMbPerSecond, double packMbPerSecond, double ratio) {
        CompressionChoice choice = new CompressionChoice(wish);
        int packed = 0;
        for (int i = 0; i < 256; i++) {
            int stored = BLOCK;
            if (choice.compress(BLOCK)) {
                stored = (int) (BLOCK * ratio);
                choice.compressed(BLOCK, stored, (long) (BLOCK * 1e3 / packMbPerSecond));
                packed += i >= 192 ? 1 : 0;
            }
            choice.sent(stored, (long) (stored * 1e3 / linkMbPerSecond));
        }
        return packed;
    }

    @ParameterizedTest(name = "{0} MB/s, {1} MB/s to {2}: packed {3} of 64")
    @CsvSource({
        // A link that is the limit, and pages that shrink.
        "10, 500, 0.4, 64",
        "100, 500, 0.5, 64",
        // 1 / 500 + 0.5 / 400 is more than 0.9 / 400: only tried now and then.
        "400, 500, 0.5, 8",
        "300, 1000, 0.4, 64",
        // They do not shrink.
        "10, 500, 1.0, 8",
        "10, 500, 0.95, 8",
        // Faster than any compressor: not even tried.
        "1000, 800, 0.1, 0"
    })
    void what_shortens_the_way_is_compressed(double link, double pack, double ratio, int expected) {
        assertThat(packed(BulkCompression.AUTO, link, pack, ratio)).isEqualTo(expected);
    }

    @Test
    void what_is_ordered_is_done_whatever_the_link_does() {
        assertThat(packed(BulkCompression.ZSTD, 10_000, 100, 1.0)).isEqualTo(64);
        assertThat(packed(BulkCompression.NONE, 1, 10_000, 0.1)).isZero();
    }

    @Test
    void headers_between_pages_are_left_alone() {
        CompressionChoice choice = new CompressionChoice(BulkCompression.ZSTD);
        assertThat(choice.compress(CompressionChoice.BYTES_MIN - 1)).isFalse();
        assertThat(choice.compress(CompressionChoice.BYTES_MIN)).isTrue();
    }

    @Test
    void a_link_that_becomes_slow_is_noticed() {
        CompressionChoice choice = new CompressionChoice(BulkCompression.AUTO);
        for (int i = 0; i < 100; i++) {
            assertThat(choice.compress(BLOCK)).isFalse();
            choice.sent(BLOCK, BLOCK);
        }
        int packed = 0;
        for (int i = 0; i < 100; i++) {
            if (choice.compress(BLOCK)) {
                packed++;
                choice.compressed(BLOCK, BLOCK / 2, 2 * BLOCK);
                choice.sent(BLOCK / 2, 50L * BLOCK);
            } else {
                choice.sent(BLOCK, 100L * BLOCK);
            }
        }
        assertThat(packed).isGreaterThan(80);
    }

    /** Small checkpoints: written at once, whatever the link is. */
    @Test
    void what_answers_say_of_the_link_counts_where_writes_say_nothing() {
        CompressionChoice choice = new CompressionChoice(BulkCompression.AUTO);
        int block = 100_000;
        int packed = 0;
        for (int i = 0; i < 64; i++) {
            choice.drained(i < 32 ? 100 : 0);
            if (choice.compress(block)) {
                choice.compressed(block, block / 3, block * 2L);
                packed += i >= 16 ? 1 : 0;
            }
            choice.sent(block, block / 10);
        }
        assertThat(packed).isEqualTo(16);
    }
}
