package holdfast.node.nbd;

import holdfast.wire.nbd.NbdError;

import java.io.IOException;

/** A request to an export failed, with the error that its client is told. */
public final class NbdException extends IOException {
    private final NbdError error;

    /**
     * @param message clients with structured replies see it too
     */
    public NbdException(NbdError error, String message) {
        super(message);
        this.error = error;
    }

    public NbdException(NbdError error, String message, Throwable cause) {
        super(message, cause);
        this.error = error;
    }

    public NbdError error() {
        return error;
    }
}
