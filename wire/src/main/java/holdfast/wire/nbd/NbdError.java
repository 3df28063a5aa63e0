package holdfast.wire.nbd;

/** Why a request failed. */
public enum NbdError {
    /** Writing to an export that is read-only. */
    EPERM(1),
    /** The storage failed. */
    EIO(5),
    /** The server has no memory for it. */
    ENOMEM(12),
    /** The request itself is wrong. */
    EINVAL(22),
    /** No room, or beyond the end of the export. */
    ENOSPC(28),
    /** Too long to be answered in one chunk. */
    EOVERFLOW(75),
    /** A quick way was asked for and there is none. */
    ENOTSUP(95),
    /** The server is closing. */
    ESHUTDOWN(108);

    private final int number;

    NbdError(int number) {
        this.number = number;
    }

    /** The number on the wire. */
    public int number() {
        return number;
    }

    /** Every other number counts as EINVAL, as the protocol wants of a client. */
    static NbdError of(int number) {
        for (NbdError error : values()) {
            if (error.number == number) {
                return error;
            }
        }
        return EINVAL;
    }
}
