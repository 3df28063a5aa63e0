package holdfast.node.api;

import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/** How constants are written in JSON: lower case with hyphens. */
final class JsonNames {
    private JsonNames() {}

    static String kebab(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    static <E extends Enum<E>> E parse(Class<E> type, String text) {
        for (E constant : type.getEnumConstants()) {
            if (kebab(constant).equals(text)) {
                return constant;
            }
        }
        throw new IllegalArgumentException(
                "found \""
                        + text
                        + "\", allowed: "
                        + Arrays.stream(type.getEnumConstants())
                                .map(JsonNames::kebab)
                                .collect(Collectors.joining(", ")));
    }
}
