package holdfast.node;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Which hooks an arriving domain has brought up, written down so that the next daemon can take them
 * down if this one dies. A line each, {@code VERB NAME}, the newest of a hook counts; not forced:
 * it is about daemons that die, not hosts.
 */
record HookLog(Path file) {
    /** How far a hook was. */
    enum Stage {
        /** Its init was begun, and may still be running. */
        BEGUN,
        UP,
        /** Its deinit was begun, and may still be running. */
        GOING_DOWN,
        /** It failed, or was taken down. */
        DOWN
    }

    /** One that is not down. */
    record Left(String hook, Stage stage) {}

    /**
     * @throws IOException if it cannot be written down; before an init that must not begin then
     */
    void note(Stage stage, String hook) throws IOException {
        Files.writeString(
                file,
                stage + " " + hook + "\n",
                StandardOpenOption.CREATE,
                StandardOpenOption.APPEND);
    }

    /** Those that are not down, the newest first. A last line that was cut short is passed over. */
    List<Left> left() throws IOException {
        if (!Files.exists(file)) {
            return List.of();
        }
        Map<String, Stage> newest = new LinkedHashMap<>();
        String text = Files.readString(file);
        for (String line : text.substring(0, text.lastIndexOf('\n') + 1).lines().toList()) {
            int space = line.indexOf(' ');
            newest.put(line.substring(space + 1), Stage.valueOf(line.substring(0, space)));
        }
        List<Left> left = new ArrayList<>();
        newest.forEach(
                (hook, stage) -> {
                    if (stage != Stage.DOWN) {
                        left.add(new Left(hook, stage));
                    }
                });
        return left.reversed();
    }
}
