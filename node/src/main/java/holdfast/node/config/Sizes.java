package holdfast.node.config;

import java.util.Locale;
import java.util.OptionalLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Sizes such as {@code 256M} and {@code 1G}: whole numbers of KiB, MiB, GiB or TiB. */
public final class Sizes {
    private static final Pattern SIZE =
            Pattern.compile("([0-9]{1,12})([KMGT])(?:i?B)?", Pattern.CASE_INSENSITIVE);

    private Sizes() {}

    /** Bytes, or empty where the text is no size. */
    public static OptionalLong bytes(String text) {
        Matcher matcher = SIZE.matcher(text.strip());
        if (!matcher.matches()) {
            return OptionalLong.empty();
        }
        int shift =
                switch (matcher.group(2).toUpperCase(Locale.ROOT)) {
                    case "K" -> 10;
                    case "M" -> 20;
                    case "G" -> 30;
                    default -> 40;
                };
        long number = Long.parseLong(matcher.group(1));
        return number > Long.MAX_VALUE >> shift
                ? OptionalLong.empty()
                : OptionalLong.of(number << shift);
    }
}
