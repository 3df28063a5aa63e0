package holdfast.node.api;

/**
 * A domain's description as the operator wrote it.
 *
 * @param file absolute path it was read from: named in messages, and what relative paths in it are
 *     relative to
 * @param yaml its text, at most {@value #YAML_CHARS_MAX} characters
 */
public record DomainSource(String file, String yaml) {
    /** More is no description of one domain. */
    public static final int YAML_CHARS_MAX = 1 << 20;

    public DomainSource {
        ApiException.require("file", file);
        ApiException.require("yaml", yaml);
        if (yaml.length() > YAML_CHARS_MAX) {
            throw ApiException.badRequest(
                    file + ": " + yaml.length() + " characters, allowed at most " + YAML_CHARS_MAX);
        }
    }
}
