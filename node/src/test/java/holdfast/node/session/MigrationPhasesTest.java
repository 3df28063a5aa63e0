package holdfast.node.session;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.session.MigrationPhases.Entered;

import org.junit.jupiter.api.Test;

import java.util.List;

class MigrationPhasesTest {
    private final MigrationPhases phases = new MigrationPhases();

    @Test
    void each_is_kept_once_in_its_order_and_no_time_is_before_the_one_before() {
        List.of("prepare", "perform", "perform", "suspended", "finish", "finish", "moved")
                .forEach(phases::enter);
        assertThat(phases.entered())
                .extracting(Entered::phase)
                .containsExactly("prepare", "perform", "suspended", "finish", "moved");
        assertThat(phases.entered()).extracting(Entered::at).isSorted();
    }

    @Test
    void of_many_the_newest_are_kept() {
        for (int i = 0; i <= MigrationPhases.KEPT_MAX; i++) {
            phases.enter("asking " + i);
        }
        assertThat(phases.entered()).hasSize(MigrationPhases.KEPT_MAX);
        assertThat(phases.entered().getFirst().phase()).isEqualTo("asking 1");
        assertThat(phases.entered().getLast().phase())
                .isEqualTo("asking " + MigrationPhases.KEPT_MAX);
    }
}
