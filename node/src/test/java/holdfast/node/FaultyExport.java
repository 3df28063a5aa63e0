package holdfast.node;

import holdfast.node.nbd.Durability;
import holdfast.node.nbd.ExtentSink;
import holdfast.node.nbd.NbdException;
import holdfast.node.nbd.NbdExport;
import holdfast.node.nbd.ZeroFlag;
import holdfast.wire.nbd.NbdError;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;

/** Passes on to another export, but answers one write with an error, or hangs, when told to. */
class FaultyExport implements NbdExport {
    private final NbdExport target;
    private final AtomicLong writesUntilLost = new AtomicLong(Long.MAX_VALUE);
    private final AtomicLong writesUntilHanging = new AtomicLong(Long.MAX_VALUE);
    private final CountDownLatch released = new CountDownLatch(1);

    /** A write is, or is about to be, answered with an error. */
    final CountDownLatch lost = new CountDownLatch(1);

    /** A write hangs. */
    final CountDownLatch hung = new CountDownLatch(1);

    FaultyExport(NbdExport target) {
        this.target = target;
    }

    /** Of the writes from now on, this one alone, counted from 1, is lost. */
    void lose(long write) {
        writesUntilLost.set(write);
    }

    /** Of the writes from now on, this one, counted from 1, and those after it hang. */
    void hang(long write) {
        writesUntilHanging.set(write);
    }

    /** What hangs goes on. */
    void release() {
        writesUntilHanging.set(Long.MAX_VALUE);
        released.countDown();
    }

    private void written() throws NbdException {
        if (writesUntilHanging.decrementAndGet() <= 0) {
            hung.countDown();
            try {
                released.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new NbdException(NbdError.ESHUTDOWN, "interrupted");
            }
        }
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
    public int writeBytesMax() {
        return target.writeBytesMax();
    }

    @Override
    public boolean wantsFlush() {
        return target.wantsFlush();
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
    public void blockStatus(long offset, long lengthBytes, ExtentSink sink) throws IOException {
        target.blockStatus(offset, lengthBytes, sink);
    }

    @Override
    public void shutDown() {
        target.shutDown();
    }
}
