package holdfast.node;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Which hooks an arriving domain has brought up, written down so that the next daemon can take them
 * down if this one dies. A line each, {@code VERB NAME}, the newest of a hook counts; not forced:
 * it is about daemons that die, not hosts.
 */
record HookLog(Path file) {
    private static final Logger LOG = LoggerFactory.getLogger(HookLog.class);

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

    /** What a line says; of those that are not down, what is left. */
    record Left(String hook, Stage stage) {}

    /**
     * @throws IOException if it cannot be written down; before an init that must not begin then
     */
    void note(Stage stage, String hook) throws IOException {
        ByteBuffer line = StandardCharsets.UTF_8.encode(stage + " " + hook + "\n");
        try (FileChannel log =
                FileChannel.open(
                        file,
                        StandardOpenOption.CREATE,
                        StandardOpenOption.READ,
                        StandardOpenOption.WRITE)) {
            long end = whole(log);
            log.truncate(end).position(end);
            while (line.hasRemaining()) {
                log.write(line);
            }
        }
    }

    /**
     * Where the whole lines end. One that could not be written to its end was told as not written;
     * run into by the next it would be neither, and ended by a newline another hook's.
     */
    private static long whole(FileChannel log) throws IOException {
        ByteBuffer last = ByteBuffer.allocate(1);
        long end = log.size();
        while (end > 0) {
            if (log.read(last.clear(), end - 1) == 1 && last.get(0) == '\n') {
                break;
            }
            end--;
        }
        return end;
    }

    /**
     * Those that are not down, the newest first. A last line that was cut short is passed over, and
     * any other that is none is reported.
     */
    List<Left> left() throws IOException {
        if (!Files.exists(file)) {
            return List.of();
        }
        Map<String, Stage> newest = new LinkedHashMap<>();
        // Bytes that are no text make one line unreadable, not all.
        String text = new String(Files.readAllBytes(file), StandardCharsets.UTF_8);
        for (String line : text.substring(0, text.lastIndexOf('\n') + 1).lines().toList()) {
            parse(line)
                    .ifPresentOrElse(
                            each -> newest.put(each.hook(), each.stage()), () -> report(line));
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

    private static Optional<Left> parse(String line) {
        int space = line.indexOf(' ');
        if (space < 0 || space == line.length() - 1) {
            return Optional.empty();
        }
        return Arrays.stream(Stage.values())
                .filter(stage -> stage.name().equals(line.substring(0, space)))
                .findFirst()
                .map(stage -> new Left(line.substring(space + 1), stage));
    }

    private void report(String line) {
        LOG.warn(
                "event=hook-log-damaged file={} line=\"{}\" expected=\"BEGUN, UP, GOING_DOWN or"
                    + " DOWN and a hook's name\" next=\"if it was about one, see whether that is to"
                    + " be taken down by hand\"",
                file,
                line.replaceAll("\\p{Cntrl}", "?"));
    }
}
