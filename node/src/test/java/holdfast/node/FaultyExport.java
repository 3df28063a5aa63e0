package holdfast.node;

import holdfast.node.nbd.Durability;
import holdfast.node.nbd.NbdException;
import holdfast.node.nbd.NbdExport;
import holdfast.node.nbd.ZeroFlag;
import holdfast.wire.nbd.NbdError;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;

/** Passes writes on to another export, but answers one with an error when told to. */
final class FaultyExport implements NbdExport {
    private final NbdExport target;
    private final AtomicLong writesUntilLost = new AtomicLong(Long.MAX_VALUE);

    /** A write is, or is about to be, answered with an error. */
    final CountDownLatch lost = new CountDownLatch(1);

    FaultyExport(NbdExport target) {
        this.target = target;
    }

    /** Of the writes from now on, this one alone, counted from 1, is lost. */
    void lose(long write) {
        writesUntilLost.set(write);
    }

    private void written() throws NbdException {
        if (writesUntilLost.decrementAndGet() == 0) {
            lost.countDown();
            throw new NbdException(NbdError.EIO, "this one is lost");
        }
    }

    @Override
    public String name() {
        return target.name();
    }

    @Override
    public long sizeBytes() {
        return target.sizeBytes();
    }

    @Override
    public boolean readOnly() {
        return false;
    }

    @Override
    public void read(long offset, ByteBuffer into) throws IOException {
        target.read(offset, into);
    }

    @Override
    public void write(long offset, ByteBuffer from, Durability durability) throws IOException {
        written();
        target.write(offset, from, durability);
    }

    @Override
    public void writeZeroes(
            long offset, long lengthBytes, Set<ZeroFlag> flags, Durability durability)
            throws IOException {
        written();
        target.writeZeroes(offset, lengthBytes, flags, durability);
    }

    @Override
    public void trim(long offset, long lengthBytes, Durability durability) throws IOException {
        target.trim(offset, lengthBytes, durability);
    }

    @Override
    public void flush() throws IOException {
        target.flush();
    }

    @Override
    public void shutDown() {
        target.shutDown();
    }
}
