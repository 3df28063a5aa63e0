package holdfast.node.config;

import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;

/**
 * Reads the values of one mapping and notes what is wrong with them. A mistake yields a harmless
 * value, so that the rest is looked at too; whoever began must call {@link Mistakes#throwIfAny}
 * before using any of it.
 */
final class Keys {
    /** What was found wrong in one file. */
    static final class Mistakes {
        private final String file;
        private final List<Mistake> found = new ArrayList<>();

        Mistakes(String file) {
            this.file = file;
        }

        void add(int line, int column, String text) {
            found.add(new Mistake(file, line, column, text));
        }

        boolean none() {
            return found.isEmpty();
        }

        void throwIfAny() {
            if (!found.isEmpty()) {
                found.sort(
                        (a, b) ->
                                a.line() != b.line()
                                        ? Integer.compare(a.line(), b.line())
                                        : Integer.compare(a.column(), b.column()));
                throw new ConfigException(found, null);
            }
        }
    }

    private final Mistakes mistakes;
    private final String prefix;
    private final YamlNode.Mapping mapping;

    /**
     * @param where path of this mapping for messages, empty at the top
     * @param allowed every key it may have
     */
    Keys(Mistakes mistakes, String where, YamlNode node, List<String> allowed) {
        this.mistakes = mistakes;
        this.prefix = where.isEmpty() ? "" : where + ".";
        if (node instanceof YamlNode.Mapping found) {
            mapping = found;
        } else {
            mistakes.add(
                    node.line(),
                    node.column(),
                    (where.isEmpty() ? "the file" : where)
                            + ": found "
                            + node.describe()
                            + ", expected a mapping with the keys "
                            + String.join(", ", allowed));
            mapping = new YamlNode.Mapping(node.line(), node.column(), List.of());
        }
        for (YamlNode.Entry entry : mapping.entries()) {
            if (!allowed.contains(entry.key())) {
                mistakes.add(
                        entry.line(),
                        entry.column(),
                        prefix
                                + entry.key()
                                + ": unknown key"
                                + nearest(entry.key(), allowed)
                                + "; allowed are "
                                + String.join(", ", allowed));
            }
        }
    }

    private static String nearest(String found, List<String> allowed) {
        String best = null;
        int bestDistance = Math.max(1, found.length() / 3) + 1;
        for (String candidate : allowed) {
            int distance =
                    distance(found.toLowerCase(Locale.ROOT), candidate.toLowerCase(Locale.ROOT));
            if (distance < bestDistance) {
                best = candidate;
                bestDistance = distance;
            }
        }
        return best == null ? "" : ", did you mean " + best + "?";
    }

    /** Edits (insert, delete, replace, swap neighbours) that make one word the other. */
    private static int distance(String a, String b) {
        int[][] edits = new int[a.length() + 1][b.length() + 1];
        for (int i = 0; i <= a.length(); i++) {
            for (int j = 0; j <= b.length(); j++) {
                if (i == 0 || j == 0) {
                    edits[i][j] = i + j;
                    continue;
                }
                int replaced = edits[i - 1][j - 1] + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
                edits[i][j] = Math.min(replaced, 1 + Math.min(edits[i - 1][j], edits[i][j - 1]));
                if (i > 1
                        && j > 1
                        && a.charAt(i - 1) == b.charAt(j - 2)
                        && a.charAt(i - 2) == b.charAt(j - 1)) {
                    edits[i][j] = Math.min(edits[i][j], 1 + edits[i - 2][j - 2]);
                }
            }
        }
        return edits[a.length()][b.length()];
    }

    boolean has(String key) {
        return find(key).isPresent();
    }

    private Optional<YamlNode.Entry> find(String key) {
        return mapping.entries().stream().filter(entry -> entry.key().equals(key)).findFirst();
    }

    /**
     * Notes that {@code key} has a wrong value, at the value's place, or at the mapping's where it
     * is absent.
     */
    void wrong(String key, String text) {
        YamlNode at = find(key).map(YamlNode.Entry::value).orElse(mapping);
        mistakes.add(at.line(), at.column(), prefix + key + ": " + text);
    }

    private void unexpected(String key, YamlNode found, String expected) {
        mistakes.add(
                found.line(),
                found.column(),
                prefix + key + ": found " + found.describe() + ", expected " + expected);
    }

    /** Notes the absence of a key. */
    void require(String key, String expected) {
        if (!has(key)) {
            mistakes.add(
                    mapping.line(),
                    mapping.column(),
                    prefix + key + ": this key is missing, expected " + expected);
        }
    }

    Optional<YamlNode> node(String key) {
        return find(key).map(YamlNode.Entry::value);
    }

    /** Text as it is written; numbers count as text. */
    Optional<String> text(String key, String expected) {
        return node(key)
                .flatMap(
                        found -> {
                            if (found
                                            instanceof
                                            YamlNode.Scalar(
                                                    int _,
                                                    int _,
                                                    YamlNode.Kind kind,
                                                    String text)
                                    && (kind == YamlNode.Kind.TEXT
                                            || kind == YamlNode.Kind.NUMBER)) {
                                return Optional.of(text);
                            }
                            unexpected(key, found, expected);
                            return Optional.empty();
                        });
    }

    /**
     * Text that {@code parse} understands; where it throws IllegalArgumentException the text is a
     * mistake.
     */
    <T> Optional<T> parsed(String key, String expected, Function<String, T> parse) {
        return text(key, expected)
                .flatMap(
                        text -> {
                            try {
                                return Optional.of(parse.apply(text));
                            } catch (IllegalArgumentException e) {
                                wrong(key, "found \"" + text + "\", expected " + expected);
                                return Optional.empty();
                            }
                        });
    }

    /** As {@link #parsed}, where what is thrown says itself what was found and expected. */
    <T> Optional<T> understood(String key, String expected, Function<String, T> parse) {
        return text(key, expected)
                .flatMap(
                        text -> {
                            try {
                                return Optional.of(parse.apply(text));
                            } catch (IllegalArgumentException e) {
                                wrong(key, e.getMessage());
                                return Optional.empty();
                            }
                        });
    }

    /** A number of bytes, a multiple of {@code unit} and not 0. */
    OptionalLong bytes(String key, int unit) {
        String expected = "a number of bytes, a multiple of " + unit;
        return parsed(
                        key,
                        expected,
                        text -> {
                            long bytes = Long.parseLong(text);
                            if (bytes < unit || bytes % unit != 0) {
                                throw new IllegalArgumentException("not a multiple");
                            }
                            return bytes;
                        })
                .map(OptionalLong::of)
                .orElse(OptionalLong.empty());
    }

    int integer(String key, int least, int most, int otherwise) {
        String expected = "a whole number from " + least + " to " + most;
        return node(key)
                .map(
                        found -> {
                            if (found
                                            instanceof
                                            YamlNode.Scalar(
                                                    int _,
                                                    int _,
                                                    YamlNode.Kind kind,
                                                    String text)
                                    && kind == YamlNode.Kind.NUMBER
                                    && text.matches("[+-]?[0-9]{1,10}")
                                    && Long.parseLong(text) >= least
                                    && Long.parseLong(text) <= most) {
                                return Integer.parseInt(text);
                            }
                            unexpected(key, found, expected);
                            return otherwise;
                        })
                .orElse(otherwise);
    }

    boolean truth(String key, boolean otherwise) {
        return node(key)
                .map(
                        found -> {
                            if (found
                                            instanceof
                                            YamlNode.Scalar(
                                                    int _,
                                                    int _,
                                                    YamlNode.Kind kind,
                                                    String text)
                                    && kind == YamlNode.Kind.TRUTH) {
                                return Boolean.parseBoolean(text);
                            }
                            unexpected(key, found, "true or false");
                            return otherwise;
                        })
                .orElse(otherwise);
    }

    /** A size in whole MiB. */
    int mebibytes(String key, int most, int otherwise) {
        String expected = "a size in whole MiB such as 256M or 1G, at most " + most / 1024 + "G";
        return text(key, expected)
                .map(
                        text -> {
                            OptionalLong bytes = Sizes.bytes(text);
                            if (bytes.isPresent()
                                    && bytes.getAsLong() % (1 << 20) == 0
                                    && bytes.getAsLong() >> 20 >= 1
                                    && bytes.getAsLong() >> 20 <= most) {
                                return (int) (bytes.getAsLong() >> 20);
                            }
                            wrong(key, "found \"" + text + "\", expected " + expected);
                            return otherwise;
                        })
                .orElse(otherwise);
    }

    /** One of an enum's constants, in lower case with hyphens. */
    <E extends Enum<E>> E choice(String key, Class<E> type, E otherwise) {
        String allowed =
                Arrays.stream(type.getEnumConstants())
                        .map(Keys::kebab)
                        .collect(Collectors.joining(", "));
        return text(key, "one of " + allowed)
                .flatMap(
                        text -> {
                            for (E constant : type.getEnumConstants()) {
                                if (kebab(constant).equals(text)) {
                                    return Optional.of(constant);
                                }
                            }
                            wrong(key, "found \"" + text + "\", expected one of " + allowed);
                            return Optional.empty();
                        })
                .orElse(otherwise);
    }

    static String kebab(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** A path; a relative one is relative to {@code base}, {@code ~/} is the home of the user. */
    Optional<Path> path(String key, Path base) {
        return understood(key, "a path", text -> resolved(text, base));
    }

    /**
     * As {@link #path(String, Path)}, of the text itself.
     *
     * @throws IllegalArgumentException with what was found and expected
     */
    static Path resolved(String text, Path base) {
        if (text.isBlank()) {
            throw new IllegalArgumentException("found \"" + text + "\", expected a path");
        }
        try {
            Path path =
                    text.startsWith("~/")
                            ? Path.of(System.getProperty("user.home"), text.substring(2))
                            : Path.of(text);
            return base.resolve(path).normalize();
        } catch (InvalidPathException e) {
            throw new IllegalArgumentException(
                    "found \"" + text + "\", expected a path: " + e.getReason(), e);
        }
    }

    /** The items of a list, each with its path for messages. */
    <T> List<T> list(String key, ItemReader<T> reader) {
        return node(key)
                .map(
                        found -> {
                            List<T> items = new ArrayList<>();
                            if (found
                                    instanceof
                                    YamlNode.Sequence(int _, int _, List<YamlNode> nodes)) {
                                for (int i = 0; i < nodes.size(); i++) {
                                    reader.read(prefix + key + "[" + i + "]", nodes.get(i))
                                            .ifPresent(items::add);
                                }
                            } else {
                                unexpected(key, found, "a list");
                            }
                            return List.copyOf(items);
                        })
                .orElse(List.of());
    }

    /** Reads one item of a list; empty where it is a mistake, which it noted. */
    interface ItemReader<T> {
        Optional<T> read(String where, YamlNode item);
    }

    /**
     * Makes a value whose constructor has rules of its own: what it refuses is a mistake of this
     * mapping.
     */
    <T> Optional<T> make(Supplier<T> maker) {
        if (!mistakes.none()) {
            return Optional.empty();
        }
        try {
            return Optional.of(maker.get());
        } catch (IllegalArgumentException e) {
            String message = String.valueOf(e.getMessage());
            int colon = message.indexOf(": ");
            if (colon > 0 && has(message.substring(0, colon))) {
                wrong(message.substring(0, colon), message.substring(colon + 2));
            } else {
                mistakes.add(mapping.line(), mapping.column(), prefix + message);
            }
            return Optional.empty();
        }
    }
}
