package holdfast.node;

import holdfast.node.link.DiskStream;
import holdfast.node.nbd.Durability;
import holdfast.node.nbd.NbdException;
import holdfast.node.nbd.NbdExport;
import holdfast.node.nbd.ZeroFlag;
import holdfast.wire.nbd.NbdError;

import java.nio.ByteBuffer;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;

/**
 * What QEMU's mirror of one disk writes to: every write goes on to the secondary, none is kept. A
 * write is answered when it is queued, in the order in which it will be sent.
 *
 * <p>Flushes and forced writes are answered at once. The guest's own flush is honoured by its own
 * image, which the mirror does not replace; the replica becomes durable by whole epochs, when one
 * is committed, and until then the guest's output that could tell of a flush is held.
 */
final class ForwardedExport implements NbdExport {
    /**
     * While QEMU puts the rest of a long write into the socket, what is here goes on; and it is
     * still in the processor's cache when it is summed and copied.
     */
    private static final int WRITE_BYTES_MAX = 256 << 10;

    private final String name;
    private final int disk;
    private final long sizeBytes;
    private final DiskStream stream;
    private final AtomicLong forwardedBytes = new AtomicLong();

    /**
     * @param disk its place in OPEN_SESSION
     */
    ForwardedExport(String name, int disk, long sizeBytes, DiskStream stream) {
        this.name = name;
        this.disk = disk;
        this.sizeBytes = sizeBytes;
        this.stream = stream;
    }

    /** Bytes written to it by now, zeroes included. */
    long forwardedBytes() {
        return forwardedBytes.get();
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public long sizeBytes() {
        return sizeBytes;
    }

    @Override
    public boolean readOnly() {
        return false;
    }

    @Override
    public int writeBytesMax() {
        return WRITE_BYTES_MAX;
    }

    @Override
    public void read(long offset, ByteBuffer into) throws NbdException {
        throw new NbdException(
                NbdError.EPERM,
                "what is written here goes to another node and cannot be read back");
    }

    @Override
    public void write(long offset, ByteBuffer from, Durability durability) {
        int bytes = from.remaining();
        stream.write(disk, offset, from);
        forwardedBytes.addAndGet(bytes);
    }

    @Override
    public void writeZeroes(
            long offset, long lengthBytes, Set<ZeroFlag> flags, Durability durability) {
        stream.writeZeroes(disk, offset, lengthBytes);
        forwardedBytes.addAndGet(lengthBytes);
    }

    /**
     * Never asked for: while a disk is mirrored QEMU forgets what its guest trims, for the disk's
     * own image as well. A trim that came all the same would be one that the image of the guest has
     * and its replica not.
     */
    @Override
    public void trim(long offset, long lengthBytes, Durability durability) throws NbdException {
        throw new NbdException(
                NbdError.EPERM,
                "a trim of %d bytes at %d of disk %d, which its replica could not follow"
                        .formatted(lengthBytes, offset, disk));
    }

    /** It would cost a round trip within each {@code stop}. */
    @Override
    public boolean wantsFlush() {
        return false;
    }

    @Override
    public void flush() {}

    @Override
    public void shutDown() {
        stream.discard();
    }
}
