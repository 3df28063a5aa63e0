package holdfast.engine;

/**
 * A replica's image or journal could not be used, or what was to be written there has no place in
 * it. Reaction: protection ends, the domain goes on where it is; the text goes to the operator.
 */
public final class DiskException extends ReplicationException {
    /**
     * @param message the file, what happened, and what to do
     */
    public DiskException(String message) {
        super(message, null);
    }

    public DiskException(String message, Throwable cause) {
        super(message, cause);
    }
}
