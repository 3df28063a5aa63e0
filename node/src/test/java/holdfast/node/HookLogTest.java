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
import java.nio.file.StandardOpenOption;
import java.util.List;

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

    /** The disk was full for a moment. */
    @Test
    void what_was_cut_short_is_no_part_of_what_is_noted_after_it() throws Exception {
        log().note(Stage.UP, "first");
        log().note(Stage.UP, "second");
        Files.writeString(log().file(), "GOING_DOWN second-and-longer", StandardOpenOption.APPEND);
        log().note(Stage.DOWN, "second");
        assertThat(log().file()).hasContent("UP first\nUP second\nDOWN second\n");
        assertThat(log().left()).containsExactly(new Left("first", Stage.UP));
    }

    @Test
    void a_line_that_is_cut_short_and_nothing_before_it_makes_way() throws Exception {
        Files.writeString(log().file(), "BEG");
        log().note(Stage.BEGUN, "a");
        assertThat(log().file()).hasContent("BEGUN a\n");
    }

    @Test
    void a_line_that_is_none_costs_no_other() throws Exception {
        log().note(Stage.UP, "a");
        for (String damaged : List.of("BEGDOWN a", "UP", "UP ", "", " a", "\0\0\0")) {
            Files.writeString(log().file(), damaged + "\n", StandardOpenOption.APPEND);
        }
        Files.write(log().file(), new byte[] {(byte) 0xff, '\n'}, StandardOpenOption.APPEND);
        log().note(Stage.BEGUN, "b");
        assertThat(log().left())
                .containsExactly(new Left("b", Stage.BEGUN), new Left("a", Stage.UP));
    }

    @Test
    void what_cannot_be_written_down_is_told() {
        HookLog nowhere = new HookLog(directory.resolve("absent").resolve("hooks"));
        assertThatThrownBy(() -> nowhere.note(Stage.BEGUN, "a")).isInstanceOf(IOException.class);
    }
}
