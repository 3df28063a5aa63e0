package holdfast.node.api;

import java.util.regex.Pattern;

/** How a domain may be called: the name is also that of a directory, a file and a part of a URL. */
public final class DomainName {
    /** In words, for messages. */
    public static final String RULE =
            "1 to 63 of the letters a-z, A-Z, digits, \".\", \"_\" and \"-\", beginning with a"
                    + " letter or digit";

    private static final Pattern LEGAL = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,62}");

    private DomainName() {}

    public static boolean isLegal(String name) {
        return LEGAL.matcher(name).matches();
    }
}
