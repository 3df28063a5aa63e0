package holdfast.node.api;

/**
 * @param file absolute path of a saved domain
 * @param name the domain's name here, or null: the name it was saved with
 */
public record RestoreRequest(String file, String name) {
    public RestoreRequest {
        ApiException.require("file", file);
    }
}
