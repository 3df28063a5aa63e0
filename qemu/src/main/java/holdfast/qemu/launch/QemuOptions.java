package holdfast.qemu.launch;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;

/**
 * The value of one of QEMU's options: keys with values, in order; keys may repeat. Written as
 * {@code key=value,key=value}, where a comma in a value is doubled, or as a JSON object, whose
 * inner keys are joined by dots, as QEMU does.
 */
record QemuOptions(List<Entry> entries) {
    /** QEMU's own nesting is three deep; what is far deeper is no option. */
    private static final int DEPTH_MAX = 16;

    private static final Set<String> TRUE_WORDS = Set.of("on", "yes", "true", "y");
    private static final ObjectMapper JSON = new ObjectMapper();

    record Entry(String key, String value) {}

    QemuOptions {
        entries = List.copyOf(entries);
    }

    /**
     * @param implied the key of a first value that has none, such as {@code driver}
     * @throws IllegalArgumentException if it begins like JSON and is none
     */
    static QemuOptions parse(String text, String implied) {
        return text.startsWith("{") ? ofJson(text) : new QemuOptions(ofPairs(text, implied));
    }

    private static List<Entry> ofPairs(String text, String implied) {
        List<Entry> entries = new ArrayList<>();
        StringBuilder piece = new StringBuilder();
        for (int i = 0; i <= text.length(); i++) {
            boolean doubled = text.startsWith(",,", i);
            if (i < text.length() && (text.charAt(i) != ',' || doubled)) {
                piece.append(text.charAt(i));
                i += doubled ? 1 : 0;
            } else {
                if (!piece.isEmpty()) {
                    entries.add(entry(piece.toString(), entries.isEmpty() ? implied : ""));
                }
                piece.setLength(0);
            }
        }
        return entries;
    }

    private static Entry entry(String piece, String implied) {
        int equals = piece.indexOf('=');
        if (equals >= 0) {
            return new Entry(piece.substring(0, equals), piece.substring(equals + 1));
        }
        if (!implied.isEmpty()) {
            return new Entry(implied, piece);
        }
        // QEMU's old short form of a switch: "readonly", "nowait".
        return piece.startsWith("no") && piece.length() > 2
                ? new Entry(piece.substring(2), "off")
                : new Entry(piece, "on");
    }

    private static QemuOptions ofJson(String text) {
        try {
            List<Entry> entries = new ArrayList<>();
            flatten("", JSON.readTree(text), entries, 0);
            return new QemuOptions(entries);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("no JSON object: " + e.getOriginalMessage(), e);
        }
    }

    private static void flatten(String path, JsonNode node, List<Entry> entries, int depth) {
        if (depth > DEPTH_MAX) {
            throw new IllegalArgumentException("nested deeper than " + DEPTH_MAX);
        }
        String prefix = path.isEmpty() ? "" : path + ".";
        if (node.isObject()) {
            for (Map.Entry<String, JsonNode> field : node.properties()) {
                flatten(prefix + field.getKey(), field.getValue(), entries, depth + 1);
            }
        } else if (node.isArray()) {
            for (int i = 0; i < node.size(); i++) {
                flatten(prefix + i, node.get(i), entries, depth + 1);
            }
        } else if (node.isBoolean()) {
            entries.add(new Entry(path, node.booleanValue() ? "on" : "off"));
        } else {
            // Without a value: QEMU takes an empty backing= for none, which null says in JSON.
            entries.add(new Entry(path, node.isNull() ? "" : node.asText()));
        }
    }

    /** The last value of {@code key}, which is the one that counts. */
    Optional<String> get(String key) {
        return entries.stream()
                .filter(entry -> entry.key().equals(key))
                .map(Entry::value)
                .reduce((_, last) -> last);
    }

    boolean has(String key) {
        return get(key).isPresent();
    }

    boolean isOn(String key) {
        return get(key).filter(TRUE_WORDS::contains).isPresent();
    }

    /** Without every key that {@code unwanted} says yes to. */
    QemuOptions without(Predicate<String> unwanted) {
        return new QemuOptions(
                entries.stream().filter(entry -> !unwanted.test(entry.key())).toList());
    }

    /** With this value in the place of the key's first, or at the end; the others go. */
    QemuOptions with(String key, String value) {
        List<Entry> changed = new ArrayList<>();
        boolean there = false;
        for (Entry entry : entries) {
            if (!entry.key().equals(key)) {
                changed.add(entry);
            } else if (!there) {
                changed.add(new Entry(key, value));
                there = true;
            }
        }
        if (!there) {
            changed.add(new Entry(key, value));
        }
        return new QemuOptions(changed);
    }

    /** As an argument, always with keys. */
    String text() {
        StringBuilder text = new StringBuilder();
        for (Entry entry : entries) {
            text.append(text.isEmpty() ? "" : ",")
                    .append(entry.key())
                    .append('=')
                    .append(entry.value().replace(",", ",,"));
        }
        return text.toString();
    }
}
