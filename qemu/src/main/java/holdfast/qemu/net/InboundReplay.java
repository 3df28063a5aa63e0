package holdfast.qemu.net;

import holdfast.engine.HypervisorException;
import holdfast.engine.port.InboundFrames;
import holdfast.qemu.qmp.QmpClient;
import holdfast.wire.netfilter.FrameEncoder;
import holdfast.wire.netfilter.FrameFormat;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Lets a survivor hear again what the network sent since the last commit. Attached beforehand, to a
 * domain that waits suspended; used right after it was resumed; then taken out again. Called by one
 * thread at a time.
 */
public final class InboundReplay implements AutoCloseable {
    private static final String ID = NetFilters.ID_PREFIX + "replay-";
    private static final Logger log = LoggerFactory.getLogger(InboundReplay.class);

    /** Frames in one gathering write: two buffers each, below the system's limit of 1,024. */
    private static final int FRAMES_PER_WRITE = 256;

    private enum Phase {
        READY,
        ENDED
    }

    private record Target(Nic nic, SocketChannel socket) {}

    private final QmpClient qmp;
    private final Map<Integer, Target> targets = new TreeMap<>();
    private Phase phase = Phase.READY;

    private InboundReplay(QmpClient qmp) {
        this.qmp = qmp;
    }

    /**
     * Adds the filters. They let everything else pass untouched.
     *
     * @throws HypervisorException if QEMU refuses; the domain then is as before
     */
    public static InboundReplay attach(QmpClient qmp, List<Nic> nics, Path socketDirectory) {
        InboundReplay replay = new InboundReplay(qmp);
        try {
            for (Nic nic : nics) {
                SocketChannel socket =
                        NetFilters.connectChardev(qmp, chardevId(nic), socketDirectory);
                replay.targets.put(nic.index(), new Target(nic, socket));
                socket.configureBlocking(false);
                qmp.execute(
                        "object-add",
                        Map.of(
                                "qom-type",
                                "filter-redirector",
                                "id",
                                filterId(nic),
                                "netdev",
                                nic.netdev(),
                                "queue",
                                "tx",
                                "indev",
                                chardevId(nic),
                                "vnet_hdr_support",
                                true));
            }
            return replay;
        } catch (IOException | RuntimeException e) {
            replay.close();
            throw e instanceof RuntimeException unchecked
                    ? unchecked
                    : new HypervisorException("object-add", "no socket for the replay", e);
        }
    }

    /**
     * Feeds the frames to the guest, oldest first for each NIC. Returns when QEMU's sockets have
     * taken them.
     *
     * @throws IllegalArgumentException if a frame names a NIC this replay is not attached to
     * @throws HypervisorException if they are not taken within the limit; TCP then recovers by
     *     itself, only later
     */
    public void replay(InboundFrames inbound, Duration limit) {
        for (InboundFrames.Frame frame : inbound.frames()) {
            if (!targets.containsKey(frame.nic())) {
                throw new IllegalArgumentException(
                        "frame for nic " + frame.nic() + ", attached are " + targets.keySet());
            }
        }
        long untilNanos = System.nanoTime() + limit.toNanos();
        for (Target target : targets.values()) {
            List<InboundFrames.Frame> frames =
                    inbound.frames().stream()
                            .filter(frame -> frame.nic() == target.nic.index())
                            .toList();
            for (int from = 0; from < frames.size(); from += FRAMES_PER_WRITE) {
                int to = Math.min(frames.size(), from + FRAMES_PER_WRITE);
                write(target, framed(frames.subList(from, to)), untilNanos);
            }
        }
    }

    private static ByteBuffer[] framed(List<InboundFrames.Frame> frames) {
        ByteBuffer headers = ByteBuffer.allocate(frames.size() * FrameBuffer.HEADER_BYTES);
        ByteBuffer[] framed = new ByteBuffer[2 * frames.size()];
        MemorySegment bytes = MemorySegment.ofBuffer(headers);
        int count = 0;
        int start = 0;
        for (InboundFrames.Frame frame : frames) {
            FrameEncoder.encodeHeader(
                    FrameFormat.WITH_VNET_HEADER,
                    frame.vnetHeaderBytes(),
                    frame.bytes().remaining(),
                    bytes,
                    start);
            framed[count++] = headers.slice(start, FrameBuffer.HEADER_BYTES);
            start += FrameBuffer.HEADER_BYTES;
            framed[count++] = frame.bytes().duplicate();
        }
        return framed;
    }

    private static void write(Target target, ByteBuffer[] framed, long untilNanos) {
        try (Selector selector = Selector.open()) {
            target.socket.register(selector, SelectionKey.OP_WRITE);
            int first = 0;
            while (first < framed.length) {
                target.socket.write(framed, first, framed.length - first);
                while (first < framed.length && !framed[first].hasRemaining()) {
                    first++;
                }
                if (first < framed.length) {
                    long leftMillis = (untilNanos - System.nanoTime()) / 1_000_000;
                    if (leftMillis <= 0) {
                        throw new HypervisorException(
                                "replay",
                                chardevId(target.nic) + " does not take the frames in time");
                    }
                    selector.select(_ -> {}, leftMillis);
                }
            }
        } catch (IOException e) {
            throw new HypervisorException("replay", "cannot write " + chardevId(target.nic), e);
        }
    }

    /**
     * Waits until QEMU has passed every replayed frame on, and takes the filters out.
     *
     * @throws HypervisorException if QEMU does not follow
     */
    public void detach() {
        if (phase == Phase.ENDED) {
            throw new IllegalStateException("detach of a replay that has ended");
        }
        for (Target target : targets.values()) {
            try {
                target.socket.shutdownOutput();
            } catch (IOException e) {
                throw new HypervisorException("replay", "cannot shut " + chardevId(target.nic), e);
            }
            NetFilters.awaitDisconnected(qmp, chardevId(target.nic));
        }
        close();
    }

    /** Takes the filters out at once, if QEMU is still there. */
    @Override
    public void close() {
        if (phase == Phase.ENDED) {
            return;
        }
        phase = Phase.ENDED;
        for (Target target : targets.values()) {
            tryRemove(() -> NetFilters.removeFilter(qmp, filterId(target.nic)));
            tryRemove(() -> NetFilters.removeChardev(qmp, chardevId(target.nic)));
            NetFilters.closeQuietly(target.socket, chardevId(target.nic));
        }
    }

    private static void tryRemove(Runnable step) {
        try {
            step.run();
        } catch (HypervisorException e) {
            log.info("replay={} left in QEMU reason={}", ID, e.getMessage());
        }
    }

    private static String chardevId(Nic nic) {
        return ID + "in" + nic.index();
    }

    private static String filterId(Nic nic) {
        return ID + "filter" + nic.index();
    }
}
