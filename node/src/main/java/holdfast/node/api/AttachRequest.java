package holdfast.node.api;

/**
 * A QEMU that somebody else started.
 *
 * @param qmpSocket absolute path of its QMP Unix socket
 * @param name the domain's name here, or null: QEMU's own {@code -name}
 */
public record AttachRequest(String qmpSocket, String name) {
    public AttachRequest {
        ApiException.require("qmpSocket", qmpSocket);
    }
}
