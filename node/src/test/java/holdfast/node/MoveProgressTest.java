package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.MigrationStatus;

import org.junit.jupiter.api.Test;

import java.util.List;

class MoveProgressTest {
    private static final long MIB = 1 << 20;

    private final MoveProgress progress = new MoveProgress();

    @Test
    void the_first_round_has_a_rate_before_it_is_over() {
        progress.of(at(1_000, 0, 0, 0, 0));
        assertThat(progress.of(at(1_100, 0, MIB, 0, 0)).text()).isEqualTo("round 0, 1.0 MiB sent");
        assertThat(progress.of(at(3_000, 0, 16 * MIB, 0, 0)).text())
                .isEqualTo("round 0, 16.0 MiB sent, 8.0 MiB/s, round ends in at most 6.0 s");
    }

    @Test
    void later_rounds_are_told_by_the_rate_of_the_last_whole_one() {
        progress.of(at(1_000, 1, 60 * MIB, 20 * MIB, 512));
        assertThat(progress.of(at(1_050, 1, 61 * MIB, 20 * MIB, 512)).text())
                .isEqualTo(
                        "round 1, 61.0 MiB sent, 20.0 MiB/s, guest writes 900 pages/s, downtime as"
                                + " it is 100.0 ms, end in about 0.1 s");
    }

    private static MigrationStatus at(
            long elapsedMillis, int round, long sent, long rate, long dirtyPages) {
        return new MigrationStatus(
                "7d1c",
                "outgoing",
                "b",
                "b:7227",
                "perform",
                0,
                round,
                64 * MIB,
                sent,
                rate,
                dirtyPages,
                900,
                100,
                0,
                elapsedMillis,
                0,
                0,
                0,
                new MigrationStatus.Stages(0, 0, 0, 0, 0),
                List.of(),
                "",
                List.of());
    }
}
