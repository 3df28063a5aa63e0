package holdfast.bench;

import holdfast.engine.memory.PfnSet;
import holdfast.engine.port.DeviceState;
import holdfast.engine.port.DirtyTracker;
import holdfast.engine.port.Domain;
import holdfast.engine.port.GuestMemory;
import holdfast.engine.port.OutputGate;
import holdfast.engine.remus.PrimaryObserver;
import holdfast.node.MirroredGate;
import holdfast.node.link.DiskStream;
import holdfast.node.session.ProtectedGuest;
import holdfast.qemu.domain.QemuDomain;
import holdfast.qemu.memory.DirtyTrackers;
import holdfast.qemu.memory.GuestActivity;
import holdfast.qemu.memory.TrackerChoice;
import holdfast.qemu.net.Nic;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * A guest as a primary's session drives it, with a stamp of the clock at the border of each stage.
 * All of it runs on the session's thread.
 */
final class MeasuredGuest implements ProtectedGuest, Domain, GuestActivity {
    /** Hears of each checkpoint, on the session's thread. */
    interface Listener {
        /** The next checkpoint is due; the guest runs as long as this takes. */
        void due();

        /** The guest runs again. */
        void paused(PrimaryObserver.Pause pause);

        /** {@code epoch}'s output leaves; {@code nanos} after its guest was suspended. */
        void released(long epoch, long nanos);
    }

    private static final int TAP_HEADER_BYTES = 12;

    private final QemuDomain domain;
    private final Path socketDirectory;
    private final Listener listener;
    private State activity = State.RUNNING;
    private long startNanos;
    private long suspendedNanos;
    private long savedNanos;
    private long closedNanos;
    private long trackedNanos;
    private long dirtyPages;
    private long epoch;

    MeasuredGuest(QemuDomain domain, Path socketDirectory, Listener listener) {
        this.domain = domain;
        this.socketDirectory = socketDirectory;
        this.listener = listener;
    }

    @Override
    public Domain domain() {
        return this;
    }

    @Override
    public GuestMemory memory() {
        return domain.memory();
    }

    @Override
    public Tracking openTracker() {
        TrackerChoice choice =
                DirtyTrackers.open(
                        domain.qemu().process().pid(), domain.memory(), this, Optional.empty());
        return new Tracking(
                new StampedTracker(choice.tracker()), choice.kind().label(), choice.refusals());
    }

    @Override
    public Forwarding forwardDisks(DiskStream stream) {
        throw new IllegalStateException("a measured guest has no disks");
    }

    @Override
    public OutputGate holdOutput(Runnable pressure, InboundCopy inbound) {
        return new StampedGate(
                MirroredGate.attach(domain, nics(), socketDirectory, pressure, inbound));
    }

    private List<Nic> nics() {
        return domain.nics().stream()
                .map(
                        nic ->
                                new Nic(
                                        nic.index(),
                                        nic.netdevId(),
                                        switch (nic.vnetHeader()) {
                                            case PRESENT -> TAP_HEADER_BYTES;
                                            case ABSENT -> 0;
                                        }))
                .toList();
    }

    @Override
    public String name() {
        return domain.name();
    }

    @Override
    public State now() {
        return activity;
    }

    @Override
    public void suspend() {
        listener.due();
        startNanos = System.nanoTime();
        domain.suspend();
        activity = State.SUSPENDED;
        suspendedNanos = System.nanoTime();
    }

    @Override
    public DeviceState saveDeviceState() {
        DeviceState state = domain.saveDeviceState();
        savedNanos = System.nanoTime();
        return state;
    }

    @Override
    public void resume() {
        long copied = System.nanoTime();
        activity = State.RUNNING;
        domain.resume();
        long resumed = System.nanoTime();
        listener.paused(
                new PrimaryObserver.Pause(
                        epoch,
                        dirtyPages,
                        suspendedNanos - startNanos,
                        savedNanos - suspendedNanos,
                        closedNanos - savedNanos,
                        trackedNanos - closedNanos,
                        copied - trackedNanos,
                        resumed - copied));
    }

    @Override
    public void destroy() {
        domain.destroy();
    }

    /** Stamps the end of a look at a suspended guest. */
    private final class StampedTracker implements DirtyTracker {
        private final DirtyTracker tracker;

        StampedTracker(DirtyTracker tracker) {
            this.tracker = tracker;
        }

        @Override
        public String kind() {
            return tracker.kind();
        }

        @Override
        public void collect(PfnSet into) {
            tracker.collect(into);
            trackedNanos = System.nanoTime();
            // Counting belongs to the measurement: it is left out of the stage that follows.
            dirtyPages = into.count();
            long counted = System.nanoTime() - trackedNanos;
            trackedNanos += counted;
            closedNanos += counted;
            savedNanos += counted;
            suspendedNanos += counted;
            startNanos += counted;
        }

        @Override
        public void close() {
            tracker.close();
        }
    }

    /** Stamps the end of an epoch's output. */
    private final class StampedGate implements OutputGate {
        private final OutputGate gate;

        StampedGate(OutputGate gate) {
            this.gate = gate;
        }

        @Override
        public void closeEpoch(long closed) {
            gate.closeEpoch(closed);
            closedNanos = System.nanoTime();
            epoch = closed;
        }

        @Override
        public void release(long released) {
            gate.release(released);
            listener.released(released, System.nanoTime() - startNanos);
        }

        @Override
        public Held held() {
            return gate.held();
        }

        @Override
        public void detach() {
            gate.detach();
        }

        @Override
        public void close() {
            gate.close();
        }
    }
}
