package holdfast.wire.xen;

import java.io.IOException;

/**
 * Hears from {@link StreamVerifier#verifyArriving} how far a stream has come that is still
 * arriving. Everything before what it is told about has kept every rule. An exception that it
 * throws ends the reading and comes out as it is.
 */
public interface StreamWatcher {
    /**
     * xl's header is complete.
     *
     * @param text what is in it as the domain's configuration, without its NUL, undecoded
     */
    void configuration(byte[] text) throws IOException;

    /**
     * A CHECKPOINT_END; nothing after it has been waited for.
     *
     * @param checkpoints how many there were so far, with this one
     * @param endOffset the first byte behind it
     */
    void checkpointComplete(long checkpoints, long endOffset) throws IOException;

    /**
     * The libxl END; nothing after it has been waited for.
     *
     * @param endOffset the first byte behind it
     */
    void streamComplete(long endOffset) throws IOException;
}
