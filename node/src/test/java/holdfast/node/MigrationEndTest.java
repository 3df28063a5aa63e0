package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

import java.util.concurrent.TimeUnit;

class MigrationEndTest {
    private static final long SECOND = TimeUnit.SECONDS.toNanos(1);

    @Test
    void it_goes_on_at_the_rate_by_now() {
        assertThat(MigrationEnd.millis(10, SECOND, 25)).isEqualTo(2_500);
        assertThat(MigrationEnd.millis(10, 2 * SECOND, 5)).isEqualTo(1_000);
    }

    @Test
    void what_has_more_than_travelled_is_at_its_end() {
        assertThat(MigrationEnd.millis(10, SECOND, 0)).isZero();
        assertThat(MigrationEnd.millis(10, SECOND, -3)).isZero();
    }

    @Test
    void the_rate_of_a_moment_is_none() {
        long least = TimeUnit.MILLISECONDS.toNanos(400);
        assertThat(MigrationEnd.millis(10, least - 1, 25)).isEqualTo(MigrationEnd.UNKNOWN);
        assertThat(MigrationEnd.millis(10, least, 25)).isEqualTo(1_000);
        assertThat(MigrationEnd.millis(0, SECOND, 25)).isEqualTo(MigrationEnd.UNKNOWN);
    }
}
