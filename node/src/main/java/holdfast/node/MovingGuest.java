package holdfast.node;

import holdfast.engine.port.DeviceState;
import holdfast.engine.port.Domain;
import holdfast.engine.port.GuestMemory;
import holdfast.engine.port.OutputGate;
import holdfast.engine.port.StateSave;
import holdfast.node.link.DiskStream;
import holdfast.node.session.ProtectedGuest;
import holdfast.qemu.net.Decoys;

import java.util.Optional;

/**
 * A guest whose QEMU reads decoys when it was stopped to be handed over, and none of its frames.
 */
record MovingGuest(ProtectedGuest guest, Decoys decoys) implements ProtectedGuest {
    @Override
    public Domain domain() {
        return new Decoyed(guest.domain(), decoys);
    }

    @Override
    public GuestMemory memory() {
        return guest.memory();
    }

    @Override
    public Tracking openTracker() {
        return guest.openTracker();
    }

    @Override
    public Forwarding forwardDisks(DiskStream stream) {
        return guest.forwardDisks(stream);
    }

    @Override
    public OutputGate holdOutput(Runnable pressure, InboundCopy inbound) {
        return guest.holdOutput(pressure, inbound);
    }

    private record Decoyed(Domain domain, Decoys decoys) implements Domain {
        @Override
        public String name() {
            return domain.name();
        }

        @Override
        public void suspend() {
            domain.suspend();
        }

        @Override
        public void suspendForHandOver() {
            domain.suspendForHandOver();
            decoys.send();
        }

        @Override
        public void resume() {
            domain.resume();
        }

        @Override
        public Optional<String> disturbance() {
            return domain.disturbance();
        }

        @Override
        public void destroy() {
            domain.destroy();
        }

        @Override
        public DeviceState saveDeviceState() {
            return domain.saveDeviceState();
        }

        @Override
        public StateSave beginHandOver() {
            return domain.beginHandOver();
        }
    }
}
