package holdfast.node.session;

import holdfast.engine.output.InboundLog;
import holdfast.engine.port.InboundFrames;
import holdfast.engine.remus.SecondarySession;
import holdfast.node.link.InboundSink;

import java.nio.ByteBuffer;

/** The inbound log of a secondary, between the link's thread and the session's. */
final class InboundReplica implements InboundSink, SecondarySession.Inbound {
    /** A second of a busy gigabit link is more than TCP's senders have on their way. */
    private static final int BYTES_MAX = 16 << 20;

    private final InboundLog log = new InboundLog(BYTES_MAX);

    @Override
    public synchronized void frame(long epoch, int nic, int vnetHeaderBytes, ByteBuffer frame) {
        log.append(epoch, nic, vnetHeaderBytes, frame);
    }

    @Override
    public synchronized void committed(long epoch) {
        log.commit(epoch);
    }

    @Override
    public synchronized InboundFrames sinceCommit() {
        return log.drain();
    }
}
