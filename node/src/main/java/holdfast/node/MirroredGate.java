package holdfast.node;

import holdfast.engine.port.OutputGate;
import holdfast.node.session.ProtectedGuest.InboundCopy;
import holdfast.qemu.domain.QemuDomain;
import holdfast.qemu.net.GuestStop;
import holdfast.qemu.net.InboundMirror;
import holdfast.qemu.net.Nic;
import holdfast.qemu.net.NicGate;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;

/** A domain's output held, and its input copied, with one border between epochs for both. */
public final class MirroredGate implements OutputGate {
    private static final Logger LOG = LoggerFactory.getLogger(MirroredGate.class);

    /** Held output of all NICs; a quarter of a second at two gigabits. */
    static final long HELD_BYTES_MAX = 64L << 20;

    private static final int COPIED_BYTES_MAX = 8 << 20;

    private final NicGate gate;
    private final InboundMirror mirror;

    private MirroredGate(NicGate gate, InboundMirror mirror) {
        this.gate = gate;
        this.mirror = mirror;
    }

    /** As the longer one, for a domain that nobody else stops and resumes. */
    public static MirroredGate attach(
            QemuDomain domain,
            List<Nic> nics,
            Path socketDirectory,
            Runnable pressure,
            InboundCopy inbound) {
        return attach(
                domain, GuestStop.alone(domain.qmp()), nics, socketDirectory, pressure, inbound);
    }

    /**
     * Puts the gate into a running domain.
     *
     * @param stop how the guest is stopped when the gate is taken out
     * @param socketDirectory short, accessible to QEMU
     * @param pressure called when what is held takes much of its room; must return at once
     */
    public static MirroredGate attach(
            QemuDomain domain,
            GuestStop stop,
            List<Nic> nics,
            Path socketDirectory,
            Runnable pressure,
            InboundCopy inbound) {
        InboundMirror mirror =
                InboundMirror.attach(
                        domain.qmp(),
                        nics,
                        socketDirectory,
                        COPIED_BYTES_MAX,
                        new Numbered(inbound));
        try {
            return new MirroredGate(
                    NicGate.attach(
                            domain.qmp(), stop, nics, socketDirectory, HELD_BYTES_MAX, pressure),
                    mirror);
        } catch (RuntimeException e) {
            closeMirror(mirror);
            throw e;
        }
    }

    /** Gives each frame the epoch it came in. Used by the mirror's delivery thread alone. */
    private static final class Numbered implements InboundMirror.Sink {
        private final InboundCopy inbound;
        private long epoch;

        Numbered(InboundCopy inbound) {
            this.inbound = inbound;
        }

        @Override
        public void frame(int nic, int vnetHeaderBytes, ByteBuffer frame) {
            inbound.frame(epoch, nic, vnetHeaderBytes, frame);
        }

        @Override
        public void boundary(long ended) {
            epoch = ended + 1;
        }
    }

    @Override
    public void closeEpoch(long epoch) {
        gate.closeEpoch(epoch);
        mirror.boundary(epoch);
    }

    @Override
    public void release(long epoch) {
        gate.release(epoch);
    }

    @Override
    public Held held() {
        return gate.held();
    }

    @Override
    public void detach() {
        closeMirror(mirror);
        gate.detach();
    }

    @Override
    public void close() {
        closeMirror(mirror);
        gate.close();
    }

    /** The copy of the input is a convenience: its end must not keep the output from ending. */
    private static void closeMirror(InboundMirror mirror) {
        try {
            mirror.close();
        } catch (RuntimeException e) {
            LOG.warn("event=mirror-close reason=\"{}\"", e.getMessage());
        }
    }
}
