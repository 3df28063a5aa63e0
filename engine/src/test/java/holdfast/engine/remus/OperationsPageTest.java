package holdfast.engine.remus;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** The operator's page names every state a session can be in. */
class OperationsPageTest {
    private static final Path PAGE = Path.of("..", "docs", "operations.md");

    @Test
    void everyStateHasItsRow() throws IOException {
        String page = Files.readString(PAGE);
        String primaries =
                page.substring(
                        page.indexOf("## States of a primary"),
                        page.indexOf("## States of a secondary"));
        String secondaries =
                page.substring(
                        page.indexOf("## States of a secondary"),
                        page.indexOf("## How protection ends"));
        assertThat(rows(primaries)).containsExactlyInAnyOrderElementsOf(names(PrimaryState.class));
        assertThat(rows(secondaries))
                .containsExactlyInAnyOrderElementsOf(names(SecondaryState.class));
    }

    private static List<String> rows(String section) {
        return section.lines()
                .filter(line -> line.startsWith("| `"))
                .map(line -> line.substring(3, line.indexOf('`', 3)))
                .toList();
    }

    private static List<String> names(Class<?> sealed) {
        return Arrays.stream(sealed.getPermittedSubclasses())
                .map(Class::getSimpleName)
                .map(name -> name.replaceAll("(?<=[a-z])(?=[A-Z])", "-").toLowerCase(Locale.ROOT))
                .toList();
    }
}
