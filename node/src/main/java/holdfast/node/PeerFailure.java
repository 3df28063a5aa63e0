package holdfast.node;

import holdfast.engine.HypervisorException;
import holdfast.node.api.ApiException;
import holdfast.node.link.NodeAddress;
import holdfast.wire.ProtocolException;

import java.io.IOException;

/** Why something was not begun with another node, as an operator is told. */
final class PeerFailure {
    private PeerFailure() {}

    /**
     * @param undone what did not happen, for what has no better words
     */
    static ApiException told(NodeAddress peer, String undone, Exception e) {
        return switch (e) {
            case ProtocolException protocol ->
                    new ApiException(
                            ApiException.Kind.UNKNOWN_NODE,
                            peer + " is reached but is no Holdfast node: " + protocol.getMessage(),
                            protocol);
            case IOException io ->
                    new ApiException(
                            ApiException.Kind.UNKNOWN_NODE,
                            "node "
                                    + peer
                                    + " cannot be reached: "
                                    + io.getMessage()
                                    + "; start it there with `holdfast node start`, or check the"
                                    + " address",
                            io);
            case ApiException api -> api;
            case HypervisorException hypervisor ->
                    new ApiException(
                            ApiException.Kind.MISSING, hypervisor.getMessage(), hypervisor);
            default -> ApiException.failed(undone + ": " + e.getMessage(), e);
        };
    }
}
