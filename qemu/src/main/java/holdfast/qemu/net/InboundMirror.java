package holdfast.qemu.net;

import holdfast.engine.HypervisorException;
import holdfast.engine.output.InboundLog;
import holdfast.qemu.qmp.QmpClient;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedSelectorException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Copies the frames toward a running guest to a sink, so that a survivor can hear them again. Only
 * an optimisation: where the sink does not keep up, the oldest undelivered frames are dropped and
 * counted; the guest never waits.
 *
 * <p>One thread reads all NICs, another one calls the sink.
 */
public final class InboundMirror implements AutoCloseable {
    /** Receives the copies, in order, on the mirror's delivery thread; may block. */
    public interface Sink {
        /**
         * @param nic index of the NIC, from 0
         * @param vnetHeaderBytes length of the virtio-net header at the front of {@code frame}
         * @param frame header and frame; valid until this call returns
         */
        void frame(int nic, int vnetHeaderBytes, ByteBuffer frame);

        /** All frames so far came in before the end of {@code epoch}, all later ones after it. */
        void boundary(long epoch);
    }

    /**
     * @param frames frames copied from QEMU so far
     * @param framesDropped those of them that the sink never got
     */
    public record Counters(long frames, long framesDropped) {}

    private static final String ID = NetFilters.ID_PREFIX + "mirror-";
    private static final Logger log = LoggerFactory.getLogger(InboundMirror.class);

    private record Source(Nic nic, SocketChannel socket, FrameBuffer frames) {}

    private enum Phase {
        COPYING,
        ENDED
    }

    private final QmpClient qmp;
    private final Sink sink;
    private final Selector selector;
    private final List<Source> sources = new ArrayList<>();
    private final Thread reader;
    private final Thread deliverer;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition more = lock.newCondition();

    /** Frames labelled with the number of boundaries before them; the two logs change places. */
    private InboundLog filling;

    private InboundLog delivering;
    private List<Long> boundaries = new ArrayList<>();
    private long boundariesSeen;
    private long boundariesDelivered;
    private long framesCopied;
    private long framesUndeliverable;
    private Phase phase = Phase.COPYING;

    private InboundMirror(QmpClient qmp, Selector selector, int bytesMax, Sink sink) {
        this.qmp = qmp;
        this.selector = selector;
        this.sink = sink;
        this.filling = new InboundLog(bytesMax);
        this.delivering = new InboundLog(bytesMax);
        this.reader = Thread.ofPlatform().daemon().name("mirror-read").unstarted(this::read);
        this.deliverer = Thread.ofVirtual().name("mirror-deliver").unstarted(this::deliver);
    }

    /**
     * Begins to copy.
     *
     * @param socketDirectory where the sockets' names live for some milliseconds
     * @param bytesMax bound of the frames that wait for the sink; twice that is held at the most
     * @throws HypervisorException if QEMU refuses; the domain then is as before
     */
    public static InboundMirror attach(
            QmpClient qmp, List<Nic> nics, Path socketDirectory, int bytesMax, Sink sink) {
        InboundMirror mirror;
        try {
            mirror = new InboundMirror(qmp, Selector.open(), bytesMax, sink);
        } catch (IOException e) {
            throw new HypervisorException("object-add", "no selector for the mirror", e);
        }
        try {
            for (Nic nic : nics) {
                SocketChannel socket =
                        NetFilters.connectChardev(qmp, chardevId(nic), socketDirectory);
                mirror.sources.add(new Source(nic, socket, new FrameBuffer(chardevId(nic))));
                socket.configureBlocking(false);
                socket.register(mirror.selector, SelectionKey.OP_READ);
            }
            mirror.reader.start();
            mirror.deliverer.start();
            for (Nic nic : nics) {
                qmp.execute(
                        "object-add",
                        Map.of(
                                "qom-type",
                                "filter-mirror",
                                "id",
                                filterId(nic),
                                "netdev",
                                nic.netdev(),
                                "queue",
                                "tx",
                                "outdev",
                                chardevId(nic),
                                "vnet_hdr_support",
                                true));
            }
            return mirror;
        } catch (IOException | RuntimeException e) {
            mirror.close();
            throw e instanceof RuntimeException unchecked
                    ? unchecked
                    : new HypervisorException("object-add", "no selector for the mirror", e);
        }
    }

    /**
     * Marks the end of {@code epoch} in the order of frames; called while the domain is suspended,
     * where the gate's {@code closeEpoch} is.
     */
    public void boundary(long epoch) {
        lock.lock();
        try {
            if (phase == Phase.ENDED) {
                throw new IllegalStateException("boundary " + epoch + " after close");
            }
            sources.forEach(this::readAll);
            if (!deliverer.isAlive()) {
                // The sink failed, and nobody would ever take them: a list that only grows.
                return;
            }
            boundaries.add(epoch);
            boundariesSeen++;
            more.signal();
        } finally {
            lock.unlock();
        }
    }

    public Counters counters() {
        lock.lock();
        try {
            return new Counters(
                    framesCopied,
                    framesUndeliverable
                            + filling.kept().framesDropped()
                            + delivering.kept().framesDropped());
        } finally {
            lock.unlock();
        }
    }

    /**
     * Stops copying and takes the filters out of QEMU, if it is still there. Waits for a sink that
     * is at work; what was not delivered is dropped.
     */
    @Override
    public void close() {
        lock.lock();
        try {
            if (phase == Phase.ENDED) {
                return;
            }
            phase = Phase.ENDED;
            more.signalAll();
        } finally {
            lock.unlock();
        }
        // The reader goes on until the filters are gone: an unread socket would hang QEMU.
        for (Source source : sources) {
            tryRemove(() -> NetFilters.removeFilter(qmp, filterId(source.nic)));
            tryRemove(() -> NetFilters.removeChardev(qmp, chardevId(source.nic)));
        }
        try {
            selector.close();
        } catch (IOException e) {
            log.debug("mirror selector close failed", e);
        }
        NetFilters.join(reader);
        sources.forEach(source -> NetFilters.closeQuietly(source.socket, chardevId(source.nic)));
        NetFilters.join(deliverer);
    }

    private void tryRemove(Runnable step) {
        try {
            step.run();
        } catch (HypervisorException e) {
            log.info("mirror={} left in QEMU reason={}", ID, e.getMessage());
        }
    }

    private void read() {
        try {
            while (selector.isOpen()) {
                selector.select(_ -> {});
                lock.lock();
                try {
                    sources.forEach(this::readAll);
                } finally {
                    lock.unlock();
                }
            }
        } catch (ClosedSelectorException _) {
            // close() ends the wait this way.
            return;
        } catch (IOException e) {
            log.warn("mirror reader failed", e);
        }
    }

    /** With the lock. A stream that ends or makes no sense only ends this NIC's copies. */
    private void readAll(Source source) {
        if (!source.socket.isOpen()) {
            return;
        }
        try {
            int read;
            while ((read = source.frames.fill(source.socket)) > 0) {
                ByteBuffer framed;
                while ((framed = source.frames.next()) != null) {
                    keep(source.nic, framed);
                }
            }
            if (read < 0) {
                source.socket.close();
            }
        } catch (IOException | HypervisorException e) {
            log.warn("netdev={} inbound frames copied no more", source.nic.netdev(), e);
            NetFilters.closeQuietly(source.socket, chardevId(source.nic));
        }
    }

    private void keep(Nic nic, ByteBuffer framed) {
        framesCopied++;
        if (phase == Phase.ENDED || !deliverer.isAlive()) {
            framesUndeliverable++;
            return;
        }
        int vnetHeaderBytes = FrameBuffer.vnetHeaderBytes(framed);
        framed.position(framed.position() + FrameBuffer.HEADER_BYTES);
        boolean wasEmpty = filling.kept().frames() == 0;
        filling.append(boundariesSeen, nic.index(), vnetHeaderBytes, framed);
        if (wasEmpty) {
            more.signal();
        }
    }

    private void deliver() {
        try {
            while (true) {
                List<Long> epochs;
                lock.lock();
                try {
                    while (filling.kept().frames() == 0
                            && boundaries.isEmpty()
                            && phase == Phase.COPYING) {
                        more.awaitUninterruptibly();
                    }
                    if (phase == Phase.ENDED) {
                        return;
                    }
                    InboundLog full = filling;
                    filling = delivering;
                    delivering = full;
                    epochs = boundaries;
                    boundaries = new ArrayList<>();
                } finally {
                    lock.unlock();
                }
                deliver(delivering, epochs);
            }
        } catch (RuntimeException e) {
            log.warn("inbound frames delivered no more: the sink failed", e);
        }
    }

    private void deliver(InboundLog frames, List<Long> epochs) {
        long before = boundariesDelivered;
        frames.drain(
                (boundariesBefore, nic, vnetHeaderBytes, frame) -> {
                    deliverBoundaries(epochs, before, boundariesBefore);
                    sink.frame(nic, vnetHeaderBytes, frame);
                });
        deliverBoundaries(epochs, before, before + epochs.size());
    }

    private void deliverBoundaries(List<Long> epochs, long before, long until) {
        while (boundariesDelivered < until) {
            sink.boundary(epochs.get((int) (boundariesDelivered - before)));
            boundariesDelivered++;
        }
    }

    private static String chardevId(Nic nic) {
        return ID + "out" + nic.index();
    }

    private static String filterId(Nic nic) {
        return ID + "filter" + nic.index();
    }
}
