package holdfast.qemu.net;

import holdfast.engine.HypervisorException;
import holdfast.engine.port.OutputGate;
import holdfast.qemu.qmp.QmpClient;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Holds the output of a running QEMU's NICs. Each NIC has a filter-redirector in its way, two
 * sockets, and two threads of its own: one that always reads, one that writes what is released.
 *
 * <p>If this process dies, QEMU drops the guest's output instead of letting it pass; a restarted
 * daemon calls {@link #removeLeftovers}.
 *
 * <p>Limit: QEMU keeps at most {@value #STOPPED_FRAMES_MAX} frames a NIC that are injected while
 * the guest is stopped, and silently drops further ones. {@link #detach} therefore empties the hold
 * before it stops the guest.
 */
public final class NicGate implements OutputGate {
    /** {@code nq_maxlen} in QEMU's net/queue.c. */
    public static final int STOPPED_FRAMES_MAX = 10_000;

    private static final Logger log = LoggerFactory.getLogger(NicGate.class);

    private enum Phase {
        HOLDING,
        DETACHED,
        CLOSED
    }

    private final QmpClient qmp;
    private final GuestStop stop;
    private final List<NicHold> holds;
    private Phase phase = Phase.HOLDING;

    private NicGate(QmpClient qmp, GuestStop stop, List<NicHold> holds) {
        this.qmp = qmp;
        this.stop = stop;
        this.holds = holds;
    }

    /** As the longer one, for a domain that nobody else stops and resumes. */
    public static NicGate attach(
            QmpClient qmp,
            List<Nic> nics,
            Path socketDirectory,
            long heldBytesMax,
            Runnable onPressure) {
        return attach(qmp, GuestStop.alone(qmp), nics, socketDirectory, heldBytesMax, onPressure);
    }

    /**
     * Puts the gate into a domain, running or suspended. No frame is lost or reordered; output is
     * held from the return on.
     *
     * @param stop how {@link #detach} stops the guest
     * @param nics the domain's NICs; none is allowed, then there is nothing to hold
     * @param socketDirectory where the sockets' names live for some milliseconds; at most about 70
     *     characters, accessible to QEMU
     * @param heldBytesMax bound of the held bytes of all NICs, shared evenly; framing included
     * @param onPressure called when a NIC's held bytes pass half of its share, on that NIC's drain
     *     thread: it must return at once and must not call the gate
     * @throws HypervisorException if QEMU refuses; the domain then is as before
     */
    public static NicGate attach(
            QmpClient qmp,
            GuestStop stop,
            List<Nic> nics,
            Path socketDirectory,
            long heldBytesMax,
            Runnable onPressure) {
        List<NicHold> holds = new ArrayList<>();
        NicGate gate = new NicGate(qmp, stop, holds);
        try {
            for (Nic nic : nics) {
                long share = Math.max(1, heldBytesMax / nics.size());
                holds.add(NicHold.attach(qmp, nic, socketDirectory, share, onPressure));
            }
            return gate;
        } catch (HypervisorException e) {
            try {
                gate.detach();
            } catch (HypervisorException undo) {
                e.addSuppressed(undo);
            }
            throw e;
        }
    }

    /**
     * Removes what a killed daemon left in a QEMU: its filters, then its chardevs. From then on the
     * guest's output passes unheld; what was held by the dead daemon is lost, as on a wire. Only
     * while nothing of this package is attached to that QEMU.
     *
     * @return number of objects removed
     */
    public static int removeLeftovers(QmpClient qmp) {
        return NetFilters.removeAll(qmp);
    }

    /**
     * {@inheritDoc}
     *
     * <p>Exact after the reply to {@code stop} and the reply to one more command, such as the state
     * save: QEMU has then written every frame of the epoch.
     *
     * @throws HypervisorException if a NIC's socket has ended or is not understood: its output is
     *     dropped since, and the domain must be checked or given up
     */
    @Override
    public void closeEpoch(long epoch) {
        for (NicHold hold : holds) {
            hold.closeEpoch(epoch);
        }
    }

    /** {@inheritDoc} A NIC whose socket has ended shows at the next {@link #closeEpoch}. */
    @Override
    public void release(long epoch) {
        for (NicHold hold : holds) {
            hold.release(epoch);
        }
    }

    /** {@inheritDoc} Sums over the NICs; the peak is the sum of the NICs' own peaks. */
    @Override
    public Held held() {
        Held sum = new Held(0, 0, 0, 0, 0);
        for (NicHold hold : holds) {
            Held one = hold.held();
            sum =
                    new Held(
                            sum.frames() + one.frames(),
                            sum.bytes() + one.bytes(),
                            sum.bytesPeak() + one.bytesPeak(),
                            sum.bytesMax() + one.bytesMax(),
                            sum.framesDropped() + one.framesDropped());
        }
        return sum;
    }

    /**
     * {@inheritDoc} A running domain is stopped for some milliseconds; a suspended one stays
     * suspended, and its frames leave when it is resumed.
     *
     * <p>A hold that has failed is taken out like the others: the domain may speak from here on,
     * and frames lost on the way, as on a wire, are better than a filter that drops all that
     * follow.
     *
     * @throws HypervisorException if something did not go as it should. Where every filter is out
     *     nevertheless, the gate is detached and held frames may be lost; where not, the guest runs
     *     as before and a filter may be left that drops its output: call again, or {@link #close},
     *     then {@link #removeLeftovers}
     */
    @Override
    public void detach() {
        if (phase == Phase.DETACHED) {
            return;
        }
        if (phase != Phase.HOLDING) {
            throw new IllegalStateException("detach of a gate that is " + phase);
        }
        List<HypervisorException> troubles = new ArrayList<>();
        boolean running = NetFilters.isRunning(qmp);
        if (running) {
            // Leaves at once while the guest runs; only the last few frames need the stop.
            for (NicHold hold : holdsInPlace()) {
                attempt(troubles, () -> hold.releaseAll(NetFilters.LIMIT));
            }
        }
        try {
            if (running) {
                stop.begin();
            }
            // The second command that makes the barrier after stop exact.
            qmp.execute("query-status");
            long stoppedFrames = held().frames();
            if (stoppedFrames > STOPPED_FRAMES_MAX) {
                log.warn(
                        "frames={} held by a suspended domain at detach, some get lost",
                        stoppedFrames);
            }
            for (NicHold hold : holdsInPlace()) {
                attempt(
                        troubles,
                        () -> {
                            hold.releaseAll(NetFilters.LIMIT);
                            hold.finishWriting(qmp);
                        });
                attempt(troubles, () -> hold.remove(qmp));
            }
            if (holdsInPlace().isEmpty()) {
                phase = Phase.DETACHED;
                holds.forEach(NicHold::end);
            }
        } finally {
            if (running) {
                stop.end();
            }
        }
        if (!troubles.isEmpty()) {
            HypervisorException first = troubles.getFirst();
            troubles.stream().skip(1).forEach(first::addSuppressed);
            throw first;
        }
    }

    /** An earlier {@link #detach} may have taken some out. */
    private List<NicHold> holdsInPlace() {
        return holds.stream().filter(hold -> !hold.isOut()).toList();
    }

    private static void attempt(List<HypervisorException> troubles, Runnable step) {
        try {
            step.run();
        } catch (HypervisorException e) {
            troubles.add(e);
        }
    }

    /**
     * {@inheritDoc}
     *
     * <p>In a domain that is suspended the filters are removed as well. In one that still runs they
     * stay, without a reader, as a plug: its output is dropped until {@link #removeLeftovers}.
     */
    @Override
    public void close() {
        if (phase != Phase.HOLDING) {
            return;
        }
        phase = Phase.CLOSED;
        long frames = 0;
        for (NicHold hold : holds) {
            frames += hold.end();
        }
        log.info("gate=closed frames={} given up", frames);
        try {
            if (NetFilters.isRunning(qmp)) {
                log.info("gate=closed domain=running output=dropped");
                return;
            }
            for (NicHold hold : holds) {
                hold.remove(qmp);
            }
        } catch (HypervisorException e) {
            log.info("gate=closed filters=left reason={}", e.getMessage());
        }
    }
}
