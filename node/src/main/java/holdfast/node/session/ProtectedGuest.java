package holdfast.node.session;

import holdfast.engine.port.DirtyTracker;
import holdfast.engine.port.Domain;
import holdfast.engine.port.ForwardedDisks;
import holdfast.engine.port.GuestMemory;
import holdfast.engine.port.OutputGate;
import holdfast.node.link.DiskStream;

import java.nio.ByteBuffer;
import java.util.List;

/** A running domain as a primary's session needs it. */
public interface ProtectedGuest {
    /** How dirty pages are found. */
    record Tracking(DirtyTracker tracker, String kind, List<String> refused) {
        public Tracking {
            refused = List.copyOf(refused);
        }
    }

    /** Gets copies of frames toward the guest. */
    @FunctionalInterface
    interface InboundCopy {
        /**
         * @param epoch what the guest ran when the frame came in
         * @param frame valid until this call returns
         */
        void frame(long epoch, int nic, int vnetHeaderBytes, ByteBuffer frame);
    }

    Domain domain();

    GuestMemory memory();

    /** Begins to track; the session ends it. */
    Tracking openTracker();

    /** Disks that are, or are to be, copied to the secondary and followed there. */
    interface Forwarding extends ForwardedDisks {
        /** One for each disk, in their order. Any thread. */
        List<DiskFigures> figures();
    }

    /** How far a disk is on its way to the secondary. */
    enum DiskState {
        /** Nothing of it was sent yet. */
        WAITING,
        /** What it holds is being copied. */
        COPYING,
        /** It is copied, and every write goes on to the secondary. */
        IN_SYNC,
        /** Its writes do not reach the secondary any more. */
        FAILED
    }

    /**
     * @param disk index of the domain's disk
     * @param doneBytes copied by the first synchronisation
     * @param totalBytes to be copied by it; grows as the guest writes
     * @param forwardedBytes written to the secondary by now, zeroes included
     */
    record DiskFigures(
            int disk, DiskState state, long doneBytes, long totalBytes, long forwardedBytes) {}

    /**
     * Prepares to forward the writes of the disks that the session named; the session begins and
     * ends it.
     */
    Forwarding forwardDisks(DiskStream stream);

    /**
     * Begins to hold the running domain's output and to copy its input; the session ends both.
     *
     * @param pressure called when what is held takes much of its room; must return at once
     */
    OutputGate holdOutput(Runnable pressure, InboundCopy inbound);
}
