package holdfast.node.session;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class MigrationRehearsalTest {
    @Test
    void a_rehearsal_moves_its_guest_whole() {
        assertThat(MigrationRehearsal.run(20)).isTrue();
    }
}
