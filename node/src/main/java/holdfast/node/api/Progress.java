package holdfast.node.api;

import com.fasterxml.jackson.annotation.JsonInclude;

/**
 * How far a long operation is.
 *
 * @param stage what is done now: {@code preparing}, {@code copying-disks}, {@code copying} (live
 *     rounds of memory), {@code first-checkpoint}, {@code saving}, {@code loading}
 * @param round round of the live stage, from 0; 0 elsewhere
 * @param doneBytes bytes of this stage that are done
 * @param totalBytes bytes of this stage, or 0 while unknown
 * @param text one short sentence for the operator
 * @param migration what else is known, for a migration; null for anything else
 */
public record Progress(
        String stage,
        int round,
        long doneBytes,
        long totalBytes,
        String text,
        @JsonInclude(JsonInclude.Include.NON_NULL) MigrationStatus migration) {
    /** Of anything but a migration. */
    public Progress(String stage, int round, long doneBytes, long totalBytes, String text) {
        this(stage, round, doneBytes, totalBytes, text, null);
    }

    public Progress {
        if (round < 0 || doneBytes < 0 || totalBytes < 0) {
            throw new IllegalArgumentException(
                    "round "
                            + round
                            + ", doneBytes "
                            + doneBytes
                            + ", totalBytes "
                            + totalBytes
                            + ": none may be negative");
        }
    }
}
