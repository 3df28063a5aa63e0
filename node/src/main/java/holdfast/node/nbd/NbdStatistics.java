package holdfast.node.nbd;

/**
 * What an export's clients did since it was added. Failed requests count among the requests.
 *
 * @param connections now
 * @param readRequests READ
 * @param writeRequests WRITE
 * @param zeroRequests WRITE_ZEROES
 * @param flushRequests FLUSH
 * @param otherRequests TRIM, BLOCK_STATUS and what was refused as illegal
 * @param errors requests that were answered with an error
 * @param bytesRead of successful reads
 * @param bytesWritten of successful writes, zeros not among them
 * @param bytesZeroed of successful WRITE_ZEROES
 */
public record NbdStatistics(
        long connections,
        long readRequests,
        long writeRequests,
        long zeroRequests,
        long flushRequests,
        long otherRequests,
        long errors,
        long bytesRead,
        long bytesWritten,
        long bytesZeroed) {
    /** Of all kinds, those that are at work included. */
    public long requests() {
        return readRequests + writeRequests + zeroRequests + flushRequests + otherRequests;
    }
}
