package holdfast.qemu.net;

import holdfast.engine.HypervisorException;
import holdfast.engine.output.HeldOutput;
import holdfast.engine.port.OutputGate.Held;
import holdfast.qemu.qmp.QmpClient;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * One NIC of a {@link NicGate}: the filter, its two sockets, the queue between them, and a thread
 * at each end. {@code lock} guards the queue and the reading side; writing goes on outside it.
 */
final class NicHold {
    private static final String ID = NetFilters.ID_PREFIX + "hold-";

    /** 4 MiB a call: enough for a gathering write to fill any socket buffer. */
    private static final int RANGES = 16;

    private static final Logger log = LoggerFactory.getLogger(NicHold.class);

    private enum Phase {
        HOLDING,
        ENDED
    }

    private final Nic nic;
    private final SocketChannel fromGuest;
    private final SocketChannel toNetwork;
    private final Selector selector;
    private final Runnable onPressure;
    private final Thread drainer;
    private final Thread writer;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition moreToWrite = lock.newCondition();
    private final Condition allWritten = lock.newCondition();
    private final FrameBuffer frames;
    private final HeldOutput output;
    private final long pressureBytes;
    private boolean pressed;
    private Phase phase = Phase.HOLDING;

    /** Why output does not pass here any more; null while all is well. */
    private HypervisorException failure;

    private NicHold(
            Nic nic,
            SocketChannel fromGuest,
            SocketChannel toNetwork,
            Selector selector,
            long heldBytesMax,
            Runnable onPressure) {
        this.nic = nic;
        this.fromGuest = fromGuest;
        this.toNetwork = toNetwork;
        this.selector = selector;
        this.onPressure = onPressure;
        this.frames = new FrameBuffer(outId(nic));
        this.output = new HeldOutput(heldBytesMax);
        this.pressureBytes = Math.max(1, heldBytesMax / 2);
        this.drainer =
                Thread.ofPlatform().daemon().name("drain-" + nic.netdev()).unstarted(this::drain);
        this.writer =
                Thread.ofPlatform().daemon().name("release-" + nic.netdev()).unstarted(this::write);
    }

    static NicHold attach(
            QmpClient qmp, Nic nic, Path socketDirectory, long heldBytesMax, Runnable onPressure) {
        SocketChannel fromGuest = NetFilters.connectChardev(qmp, outId(nic), socketDirectory);
        SocketChannel toNetwork = null;
        NicHold hold = null;
        try {
            toNetwork = NetFilters.connectChardev(qmp, inId(nic), socketDirectory);
            fromGuest.configureBlocking(false);
            Selector selector = Selector.open();
            fromGuest.register(selector, SelectionKey.OP_READ);
            hold = new NicHold(nic, fromGuest, toNetwork, selector, heldBytesMax, onPressure);
            // The reader first: from the filter's first frame on, a full socket would hang QEMU.
            hold.drainer.start();
            hold.writer.start();
            Map<String, Object> filter = new HashMap<>();
            filter.put("qom-type", "filter-redirector");
            filter.put("id", filterId(nic));
            filter.put("netdev", nic.netdev());
            filter.put("queue", "rx");
            filter.put("indev", inId(nic));
            filter.put("outdev", outId(nic));
            filter.put("vnet_hdr_support", true);
            qmp.execute("object-add", filter);
            return hold;
        } catch (IOException | RuntimeException e) {
            if (hold != null) {
                hold.end();
            }
            NetFilters.closeQuietly(fromGuest, outId(nic));
            undo(e, () -> NetFilters.removeChardev(qmp, outId(nic)));
            if (toNetwork != null) {
                NetFilters.closeQuietly(toNetwork, inId(nic));
                undo(e, () -> NetFilters.removeChardev(qmp, inId(nic)));
            }
            throw new HypervisorException(
                    "attach",
                    "no output hold on netdev "
                            + nic.netdev()
                            + " (nic "
                            + nic.index()
                            + "), the NIC is as before: "
                            + e.getMessage(),
                    e);
        }
    }

    private static void undo(Exception cause, Runnable step) {
        try {
            step.run();
        } catch (HypervisorException e) {
            cause.addSuppressed(e);
        }
    }

    void closeEpoch(long epoch) {
        lock.lock();
        try {
            readAll();
            orThrow("closeEpoch " + epoch);
            output.closeEpoch(epoch);
        } finally {
            lock.unlock();
        }
    }

    /**
     * A hold that has failed takes no notice: its frames go nowhere any more, and the next {@link
     * #closeEpoch} says so. Where QEMU has died, its death is the better news, and it is on its
     * way.
     */
    void release(long epoch) {
        lock.lock();
        try {
            if (phase == Phase.ENDED) {
                throw new IllegalStateException("release " + epoch + " after the end of the hold");
            }
            output.release(epoch);
            moreToWrite.signal();
        } finally {
            lock.unlock();
        }
    }

    /** Lets out everything that is readable now and waits until QEMU's socket has taken it. */
    void releaseAll(Duration limit) {
        long leftNanos = limit.toNanos();
        lock.lock();
        try {
            readAll();
            output.releaseAll();
            moreToWrite.signal();
            while (output.releasableBytes() > 0 && failure == null) {
                if (leftNanos <= 0) {
                    throw new HypervisorException(
                            "detach",
                            output.releasableBytes()
                                    + " bytes not taken by "
                                    + inId(nic)
                                    + " within "
                                    + limit.toMillis()
                                    + " ms: QEMU's main loop hangs");
                }
                leftNanos = allWritten.awaitNanos(leftNanos);
            }
            orThrow("detach");
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new HypervisorException("detach", "interrupted on " + nic.netdev(), e);
        } finally {
            lock.unlock();
        }
    }

    /** Tells QEMU that nothing more comes, and waits until it has seen that. */
    void finishWriting(QmpClient qmp) {
        try {
            toNetwork.shutdownOutput();
        } catch (IOException e) {
            throw new HypervisorException("detach", "cannot shut " + inId(nic), e);
        }
        NetFilters.awaitDisconnected(qmp, inId(nic));
    }

    /** Whether the filter is out of QEMU, or this hold has ended: output does not pass here. */
    boolean isOut() {
        lock.lock();
        try {
            return phase == Phase.ENDED;
        } finally {
            lock.unlock();
        }
    }

    /** Takes filter and chardevs out of QEMU; {@link #end} follows. */
    void remove(QmpClient qmp) {
        NetFilters.removeFilter(qmp, filterId(nic));
        lock.lock();
        try {
            // What a stopped guest cannot send, QEMU itself can: an announcement of its addresses.
            readAll();
            phase = Phase.ENDED;
        } finally {
            lock.unlock();
        }
        NetFilters.removeChardev(qmp, outId(nic));
        NetFilters.removeChardev(qmp, inId(nic));
    }

    /**
     * Stops both threads and closes both sockets; what is held is forgotten. A filter still in
     * place drops the guest's output from here on.
     *
     * @return frames forgotten
     */
    long end() {
        lock.lock();
        try {
            phase = Phase.ENDED;
            moreToWrite.signalAll();
        } finally {
            lock.unlock();
        }
        // Closing also ends a write that QEMU does not take.
        NetFilters.closeQuietly(toNetwork, inId(nic));
        selector.wakeup();
        NetFilters.join(writer);
        NetFilters.join(drainer);
        NetFilters.closeQuietly(fromGuest, outId(nic));
        lock.lock();
        try {
            return output.discard();
        } finally {
            lock.unlock();
        }
    }

    Held held() {
        lock.lock();
        try {
            return output.held();
        } finally {
            lock.unlock();
        }
    }

    private void drain() {
        try (selector) {
            while (true) {
                selector.select(_ -> {});
                boolean pressure;
                lock.lock();
                try {
                    if (phase == Phase.ENDED) {
                        return;
                    }
                    readAll();
                    if (failure != null && !fromGuest.isOpen()) {
                        return;
                    }
                    pressure = pressureRises();
                } finally {
                    lock.unlock();
                }
                if (pressure) {
                    onPressure.run();
                }
            }
        } catch (IOException e) {
            fail(new HypervisorException("net filter", "cannot wait for " + outId(nic), e));
        }
    }

    /** With the lock: everything QEMU has written so far goes into the open epoch. */
    private void readAll() {
        if (!fromGuest.isOpen()) {
            return;
        }
        try {
            int read;
            while ((read = frames.fill(fromGuest)) > 0) {
                if (failure != null) {
                    frames.clear();
                    continue;
                }
                ByteBuffer framed;
                while ((framed = frames.next()) != null) {
                    output.append(framed);
                }
            }
            if (read < 0) {
                fail(new HypervisorException("net filter", "QEMU closed " + outId(nic)));
                fromGuest.close();
            }
        } catch (IOException e) {
            fail(new HypervisorException("net filter", "cannot read " + outId(nic), e));
            NetFilters.closeQuietly(fromGuest, outId(nic));
        } catch (HypervisorException e) {
            // Read on and drop: output of unknown framing must not pass, and QEMU must not hang.
            fail(e);
            frames.clear();
        }
    }

    private boolean pressureRises() {
        boolean before = pressed;
        pressed = output.heldBytes() >= pressureBytes;
        return pressed && !before;
    }

    private void write() {
        ByteBuffer[] ranges = new ByteBuffer[RANGES];
        long writtenBytes = 0;
        try {
            while (true) {
                int count;
                lock.lock();
                try {
                    output.written(writtenBytes);
                    while (output.releasableBytes() == 0 && phase == Phase.HOLDING) {
                        allWritten.signalAll();
                        moreToWrite.awaitUninterruptibly();
                    }
                    if (phase == Phase.ENDED) {
                        return;
                    }
                    count = output.batch(ranges);
                } finally {
                    lock.unlock();
                }
                writtenBytes = toNetwork.write(ranges, 0, count);
            }
        } catch (IOException e) {
            fail(new HypervisorException("net filter", "cannot write " + inId(nic), e));
        }
    }

    private void fail(HypervisorException why) {
        lock.lock();
        try {
            if (failure == null && phase == Phase.HOLDING) {
                failure = why;
                log.warn(
                        "netdev={} output passes no more reason={}",
                        nic.netdev(),
                        why.getMessage());
            }
            allWritten.signalAll();
        } finally {
            lock.unlock();
        }
    }

    private void orThrow(String during) {
        if (phase == Phase.ENDED) {
            throw new IllegalStateException(during + " after the end of the hold");
        }
        if (failure != null) {
            throw new HypervisorException(during, failure.getMessage(), failure);
        }
    }

    private static String outId(Nic nic) {
        return ID + "out" + nic.index();
    }

    private static String inId(Nic nic) {
        return ID + "in" + nic.index();
    }

    private static String filterId(Nic nic) {
        return ID + "filter" + nic.index();
    }
}
