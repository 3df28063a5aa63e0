package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.HookLog.Left;
import holdfast.node.HookLog.Stage;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

class HookLogTest {
    @TempDir private Path directory;

    private HookLog log() {
        return new HookLog(directory.resolve("hooks"));
    }

    @Test
    void what_is_not_down_is_left_the_newest_first() throws Exception {
        assertThat(log().left()).isEmpty();
        for (String hook : new String[] {"port-profile", "a", "b", "c"}) {
            log().note(Stage.BEGUN, hook);
            if (!hook.equals("c")) {
                log().note(Stage.UP, hook);
            }
        }
        assertThat(log().left())
                .containsExactly(
                        new Left("c", Stage.BEGUN),
                        new Left("b", Stage.UP),
                        new Left("a", Stage.UP),
                        new Left("port-profile", Stage.UP));
        log().note(Stage.DOWN, "c");
        log().note(Stage.GOING_DOWN, "b");
        assertThat(log().left())
                .containsExactly(
                        new Left("b", Stage.GOING_DOWN),
                        new Left("a", Stage.UP),
                        new Left("port-profile", Stage.UP));
    }

    /** Its daemon died while it was written. */
    @Test
    void a_last_line_that_was_cut_short_is_passed_over() throws Exception {
        log().note(Stage.BEGUN, "a");
        Files.writeString(log().file(), Files.readString(log().file()) + "U");
        assertThat(log().left()).containsExactly(new Left("a", Stage.BEGUN));
    }

    @Test
    void what_cannot_be_written_down_is_told() {
        HookLog nowhere = new HookLog(directory.resolve("absent").resolve("hooks"));
        assertThatThrownBy(() -> nowhere.note(Stage.BEGUN, "a")).isInstanceOf(IOException.class);
    }
}
