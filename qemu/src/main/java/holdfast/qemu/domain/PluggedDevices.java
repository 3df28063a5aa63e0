package holdfast.qemu.domain;

import com.fasterxml.jackson.databind.JsonNode;

import holdfast.qemu.qmp.QmpClient;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;

/**
 * The devices of a QEMU that can be plugged while it runs, which it tells nobody: its state then
 * fits no copy that was started without them. One thread.
 */
final class PluggedDevices {
    private static final List<String> PLACES =
            List.of("/machine/peripheral", "/machine/peripheral-anon");

    /** Until then a device that came is not noticed; each look costs QEMU half a millisecond. */
    private static final long LOOK_NANOS = 1_000_000_000L;

    private final QmpClient qmp;
    private Optional<List<String>> first = Optional.empty();
    private long lookedNanos;

    PluggedDevices(QmpClient qmp) {
        this.qmp = qmp;
    }

    /** Which device came or went since the first call; looks once in a while. */
    Optional<String> change() {
        long now = System.nanoTime();
        if (first.isEmpty()) {
            first = Optional.of(found());
        } else if (now - lookedNanos < LOOK_NANOS) {
            return Optional.empty();
        } else {
            List<String> found = found();
            TreeSet<String> came = new TreeSet<>(found);
            TreeSet<String> went = new TreeSet<>(first.get());
            came.removeAll(first.get());
            went.removeAll(found);
            if (!came.isEmpty()) {
                return Optional.of("device " + came.first() + " was plugged");
            }
            if (!went.isEmpty()) {
                return Optional.of("device " + went.first() + " was unplugged");
            }
        }
        lookedNanos = now;
        return Optional.empty();
    }

    private List<String> found() {
        List<String> found = new ArrayList<>();
        for (String place : PLACES) {
            for (JsonNode entry : qmp.execute("qom-list", Map.of("path", place))) {
                String type = entry.path("type").asText();
                if (type.startsWith("child<")) {
                    found.add(
                            entry.path("name").asText()
                                    + " ("
                                    + type.substring("child<".length(), type.length() - 1)
                                    + ")");
                }
            }
        }
        return found;
    }
}
