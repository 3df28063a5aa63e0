package holdfast.node.store;

import java.io.IOException;

/**
 * State could not be read or written. No domain is harmed; the message names the file, the reason
 * and the next step.
 */
public final class StoreException extends RuntimeException {
    StoreException(String what, IOException cause, String nextStep) {
        super(what + (cause == null ? "" : ": " + reason(cause)) + "; " + nextStep, cause);
    }

    private static String reason(IOException cause) {
        if (cause instanceof java.nio.file.AccessDeniedException) {
            return "no right to";
        }
        if (cause instanceof java.nio.file.NoSuchFileException) {
            return "no such file or directory";
        }
        return cause instanceof java.nio.file.FileSystemException file && file.getReason() != null
                ? file.getReason()
                : String.valueOf(cause.getMessage());
    }
}
