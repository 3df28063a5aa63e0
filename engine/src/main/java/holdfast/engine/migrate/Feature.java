package holdfast.engine.migrate;

import java.util.regex.Pattern;

/**
 * Something that must be, or should be, up on the destination before the domain is handed over.
 *
 * @param name {@code memory}, {@code devices}, {@code disk}, {@code disk-cache}, {@code network} or
 *     {@code hook:NAME}
 */
public record Feature(String name, Necessity necessity) {
    public static final String MEMORY = "memory";
    public static final String DEVICES = "devices";
    public static final String DISK = "disk";
    public static final String DISK_CACHE = "disk-cache";
    public static final String NETWORK = "network";
    public static final String HOOK_PREFIX = "hook:";

    private static final Pattern NAME =
            Pattern.compile(
                    "memory|devices|disk|disk-cache|network|hook:[A-Za-z0-9][A-Za-z0-9._-]{0,62}");

    /** What its failure means. */
    public enum Necessity {
        /** Without it the domain stays where it is. */
        REQUIRED,
        /** The domain moves all the same, and the result says what is missing. */
        BEST_EFFORT
    }

    public Feature {
        if (!isKnown(name)) {
            throw new IllegalArgumentException(
                    "feature: found \""
                            + name
                            + "\", allowed: memory, devices, disk, disk-cache, network, hook:NAME");
        }
    }

    /** Whether there is such a feature. */
    public static boolean isKnown(String name) {
        return NAME.matcher(name).matches();
    }
}
