package holdfast.engine;

/** One hypervisor command failed. Reaction: the engine decides; the text goes to the operator. */
public sealed class HypervisorException extends ReplicationException
        permits GuestShutDownException {
    private final String command;

    /**
     * @param command the command or step that failed, in the hypervisor's own words
     * @param message what happened, where, and what to do
     */
    public HypervisorException(String command, String message) {
        this(command, message, null);
    }

    public HypervisorException(String command, String message, Throwable cause) {
        super(command + ": " + message, cause);
        this.command = command;
    }

    public String command() {
        return command;
    }
}
