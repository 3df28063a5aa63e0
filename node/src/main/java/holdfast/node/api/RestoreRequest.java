package holdfast.node.api;

import java.util.Map;

/**
 * @param file absolute path of a saved domain
 * @param name the domain's name here, or null: the name it was saved with
 * @param paths absolute paths of its description and what stands for them here; one stands for all
 *     below it, too. null for none
 */
public record RestoreRequest(String file, String name, Map<String, String> paths) {
    public RestoreRequest {
        ApiException.require("file", file);
        paths = paths == null ? Map.of() : Map.copyOf(paths);
    }

    /** Everything where it was. */
    public RestoreRequest(String file, String name) {
        this(file, name, Map.of());
    }
}
