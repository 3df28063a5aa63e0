package holdfast.engine;

/**
 * A command failed because the guest has shut itself down and took its process with it. Reaction:
 * the session ends and the replica is discarded; nobody goes on with a guest that wanted to end.
 */
public final class GuestShutDownException extends HypervisorException {
    /**
     * @param command the command that found nobody
     * @param reason the hypervisor's word for the guest's end
     */
    public GuestShutDownException(String command, String reason, HypervisorException cause) {
        super(command, "the guest shut down (" + reason + ")", cause);
    }
}
