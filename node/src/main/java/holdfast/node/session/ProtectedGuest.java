package holdfast.node.session;

import holdfast.engine.port.DirtyTracker;
import holdfast.engine.port.Domain;
import holdfast.engine.port.GuestMemory;
import holdfast.engine.port.OutputGate;

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

    /**
     * Begins to hold the running domain's output and to copy its input; the session ends both.
     *
     * @param pressure called when what is held takes much of its room; must return at once
     */
    OutputGate holdOutput(Runnable pressure, InboundCopy inbound);
}
