package holdfast.qemu.linux;

/**
 * A system call failed. Callers that know what the number means at their place turn it into advice
 * for the operator.
 */
public final class SystemCallException extends RuntimeException {
    private final String call;
    private final int errno;

    SystemCallException(String call, int errno, String text) {
        super(call + ": errno " + errno + " (" + text + ")");
        this.call = call;
        this.errno = errno;
    }

    /**
     * The system call, with its request where it has one, such as {@code ioctl UFFDIO_REGISTER}.
     */
    public String call() {
        return call;
    }

    /** The error number, one of {@link Errno}. */
    public int errno() {
        return errno;
    }
}
