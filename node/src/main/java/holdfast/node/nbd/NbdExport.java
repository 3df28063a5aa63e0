package holdfast.node.nbd;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Set;

/**
 * A block device that {@link NbdServer} serves.
 *
 * <p><b>What the server has checked.</b> Ranges lie within {@link #sizeBytes()}, offsets and
 * lengths are multiples of the minimum block size and not 0, and writing calls come only to exports
 * that are not {@link #readOnly()}.
 *
 * <p><b>Threads.</b> Each connection has one thread, which calls one method at a time and calls the
 * next when that has returned: a connection's requests reach the export in the order they were
 * sent. Several connections call at once, without any order among them; the export takes care of
 * itself. The server promises clients that a flush covers what <em>all</em> connections had
 * answered before it (multi-conn): so what one thread wrote must be visible to every thread's read
 * as soon as the write returned, and {@link #flush()} must cover every write that had returned
 * before it was called, whoever made it. A call may block, for back-pressure as long as it needs
 * to: meanwhile no further request of its connection is carried out, and no other connection waits.
 * No lock is held during a call.
 *
 * <p><b>Long requests.</b> A read of more than {@link NbdServer#PIECE_BYTES}, or a write of more
 * than {@link #writeBytesMax()}, arrives as several calls with consecutive ranges. A client that
 * goes away within a write leaves a part of it written, as after a power cut: it was never
 * answered.
 *
 * <p><b>Errors.</b> A {@link NbdException} carries the error for the client; any other {@code
 * IOException} is EIO, and so is an unchecked exception, which is logged with its trace. The
 * connection lives on in all these cases. After a failed write the content of its range is
 * undefined.
 *
 * <p><b>Ownership.</b> The server closes no export: whoever made it closes it, after it was removed
 * from the server or the server was closed.
 */
public interface NbdExport {
    /** What clients ask for; at most 4096 bytes of UTF-8. Does not change. */
    String name();

    /** For people; may be empty. */
    default String description() {
        return "";
    }

    /** Does not change. */
    long sizeBytes();

    /** Whether the server answers all writing requests with EPERM. Does not change. */
    boolean readOnly();

    /** Does not change. */
    default BlockSizes blockSizes() {
        return BlockSizes.ANY;
    }

    /** Whether {@link ZeroFlag#FAST} can be kept at least sometimes. Does not change. */
    default boolean zeroesFast() {
        return false;
    }

    /**
     * How much of a long write one call brings at most, up to {@link NbdServer#PIECE_BYTES}: who
     * works on what comes in while the client still sends the rest wants less. Does not change.
     */
    default int writeBytesMax() {
        return NbdServer.PIECE_BYTES;
    }

    /**
     * Fills {@code into} from its position to its limit.
     *
     * @param into direct, at most {@link NbdServer#PIECE_BYTES}; borrowed until the call returns
     */
    void read(long offset, ByteBuffer into) throws IOException;

    /**
     * Writes {@code from}, from its position to its limit.
     *
     * @param from direct, at most {@link NbdServer#PIECE_BYTES}; borrowed until the call returns,
     *     and overwritten after it
     */
    void write(long offset, ByteBuffer from, Durability durability) throws IOException;

    /**
     * Makes a range read as zeros.
     *
     * @param lengthBytes up to 4 GiB
     */
    void writeZeroes(long offset, long lengthBytes, Set<ZeroFlag> flags, Durability durability)
            throws IOException;

    /**
     * The content of a range is no longer needed; doing nothing is right too.
     *
     * @param lengthBytes up to 4 GiB
     */
    void trim(long offset, long lengthBytes, Durability durability) throws IOException;

    /**
     * Whether clients need to flush: where not, they are told so and send none. Does not change.
     */
    default boolean wantsFlush() {
        return true;
    }

    /** Returns when all that was written before the call is on stable storage. */
    void flush() throws IOException;

    /**
     * Tells what a range is like, from its start on; at least one extent, not necessarily all.
     *
     * @param lengthBytes up to 4 GiB
     */
    default void blockStatus(long offset, long lengthBytes, ExtentSink sink) throws IOException {
        sink.extent(lengthBytes, ExtentSink.State.DATA);
    }

    /**
     * The server, or this export's place in it, is closing: a call that waits must end at once with
     * an exception, and so must every later one that would wait. Called by the closing thread while
     * connections may still be calling the other methods; may be called twice. Exports that never
     * wait need not do anything.
     */
    default void shutDown() {}
}
