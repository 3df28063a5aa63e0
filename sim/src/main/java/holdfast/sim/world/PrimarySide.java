package holdfast.sim.world;

import holdfast.engine.HypervisorException;
import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.memory.CheckpointEncoder;
import holdfast.engine.memory.Encoded;
import holdfast.engine.memory.PfnSet;
import holdfast.engine.port.DeviceState;
import holdfast.engine.port.DirtyTracker;
import holdfast.engine.port.Domain;
import holdfast.engine.port.OutputGate;
import holdfast.engine.port.PrimaryLink;
import holdfast.engine.port.Timer;
import holdfast.engine.remus.LivePolicy;
import holdfast.engine.remus.PrimaryEvent;
import holdfast.engine.remus.PrimaryObserver;
import holdfast.engine.remus.PrimaryOutcome;
import holdfast.engine.remus.PrimarySession;
import holdfast.engine.remus.PrimarySettings;
import holdfast.engine.remus.PrimaryState;
import holdfast.sim.check.Violation;
import holdfast.sim.check.Violation.Invariant;
import holdfast.sim.fault.CallFaults;
import holdfast.sim.fault.NodeCrash;
import holdfast.sim.fault.Site;
import holdfast.sim.guest.ExactTracker;
import holdfast.sim.guest.Frame;
import holdfast.sim.guest.HoldingGate;
import holdfast.sim.guest.SimGuest;
import holdfast.sim.link.BulkPath;
import holdfast.sim.link.ControlConnection;
import holdfast.sim.link.ControlConnection.Side;
import holdfast.sim.link.ControlMessage;
import holdfast.sim.link.DiskPath;
import holdfast.sim.time.VirtualTime;
import holdfast.wire.colo.ToSecondary;

import java.lang.foreign.MemorySegment;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.function.BiConsumer;

/** A primary's session with simulated ports. */
final class PrimarySide {
    private final SimNode node;
    private final SimGuest guest;
    private final VirtualTime time;
    private final ControlConnection control;
    private final BulkPath bulk;
    private final DiskPath disks;
    private final CallFaults calls;
    private final Snapshots snapshots;
    private final Trace trace;
    private final BiConsumer<SimGuest, Frame> network;
    private final Runnable afterEvent;
    private final CheckpointEncoder encoder;
    private final PrimarySession session;
    private Optional<HoldingGate> gate = Optional.empty();
    private Optional<PrimaryOutcome> outcome = Optional.empty();
    private boolean dismissSent;
    private boolean stateSaved;
    private String goodbye = "the session is over";

    /**
     * @param network where the guest's frames leave to
     * @param afterEvent runs after each event, to check
     */
    PrimarySide(
            SimNode node,
            SimGuest guest,
            Plan plan,
            VirtualTime time,
            ControlConnection control,
            BulkPath bulk,
            DiskPath disks,
            SplittableRandom random,
            CallFaults calls,
            Snapshots snapshots,
            Ruling ruling,
            Variants variants,
            Trace trace,
            BiConsumer<SimGuest, Frame> network,
            Runnable afterEvent) {
        this.node = node;
        this.guest = guest;
        this.time = time;
        this.control = control;
        this.bulk = bulk;
        this.disks = disks;
        this.calls = calls;
        this.snapshots = snapshots;
        this.trace = trace;
        this.network = network;
        this.afterEvent = afterEvent;
        encoder = new CheckpointEncoder(plan.encoding(), guest.memory().pages(), bulk.sink());
        Timer<PrimaryEvent> timer = (delay, event) -> time.after(delay, () -> handle(event));
        session =
                new PrimarySession(
                        new PrimarySettings(
                                "guest",
                                1,
                                plan.intervalNanos(),
                                plan.deadlineNanos(),
                                new LivePolicy(Math.max(4, plan.pages() / 16), 5)),
                        new PrimarySession.Ports(
                                variants.domain().apply(new GuestDomain()),
                                guest.memory(),
                                variants.tracker().apply(new Tracker(new ExactTracker(guest))),
                                new MirroredDisk(node, guest.disk(), disks, time, random, calls),
                                () -> variants.gate().apply(attachGate()),
                                new Link(),
                                variants.primaryArbiter().apply(ruling.port()),
                                timer,
                                time,
                                new Observer()),
                        encoder,
                        this::post);
    }

    SimNode node() {
        return node;
    }

    SimGuest guest() {
        return guest;
    }

    PrimaryState state() {
        return session.state();
    }

    Optional<PrimaryOutcome> outcome() {
        return outcome;
    }

    boolean over() {
        return !node.alive() || outcome.isPresent();
    }

    boolean dismissSent() {
        return dismissSent;
    }

    /** Whether the guest's frames reach the network as they are sent. */
    boolean unfenced() {
        return node.alive()
                && guest.power() == SimGuest.Power.RUNNING
                && gate.map(held -> held.stage() == HoldingGate.Stage.DETACHED).orElse(true);
    }

    /** Whether the guest runs here and can be heard. */
    boolean serves() {
        return unfenced();
    }

    /** From any thread that runs in lockstep; what the sender says waits until its bytes left. */
    void post(PrimaryEvent event) {
        if (bulk.encoding()) {
            bulk.whenWritten(() -> time.after(0, () -> handle(event)));
        } else {
            time.after(0, () -> handle(event));
        }
    }

    /** Gives the session an event now. */
    void handle(PrimaryEvent event) {
        if (!node.alive() || outcome.isPresent()) {
            return;
        }
        try {
            session.handle(event);
        } catch (NodeCrash e) {
            trace.say(node.name(), () -> "died in the middle of " + event);
        } catch (RuntimeException e) {
            throw new Violation(
                    Invariant.ENGINE, "the primary's session died of " + event + ": " + e, e);
        }
        afterEvent.run();
    }

    /** Frees what a session that never ended still has. */
    void sweep() {
        if (outcome.isEmpty()) {
            node.sweep();
            session.handle(new PrimaryEvent.DomainEnded("swept", PrimaryOutcome.Ending.SHUT_DOWN));
        }
        gate.ifPresent(HoldingGate::close);
    }

    ControlConnection.Listener listener() {
        return new ControlConnection.Listener() {
            @Override
            public void message(ControlMessage message) {
                trace.say(node.name(), () -> "<- " + message);
                handle(
                        switch ((ControlMessage.FromSecondary) message) {
                            case ControlMessage.Answer(long epoch, var answer) ->
                                    new PrimaryEvent.FromSecondary(epoch, answer);
                            case ControlMessage.Claim(String reason) ->
                                    new PrimaryEvent.PeerTookOver("claimed: " + reason);
                            case ControlMessage.Discarded(String reason) ->
                                    dismissSent
                                            ? new PrimaryEvent.Dismissed()
                                            : new PrimaryEvent.PeerClosed(reason);
                            case ControlMessage.Heartbeat _, ControlMessage.Close _ ->
                                    throw new IllegalStateException(
                                            "the connection keeps " + message + " to itself");
                        });
            }

            @Override
            public void lost(String reason) {
                disks.discard();
                handle(new PrimaryEvent.PeerLost(reason));
            }

            @Override
            public void violated(String reason) {
                handle(new PrimaryEvent.PeerViolated(reason));
            }

            @Override
            public boolean alive() {
                return node.alive();
            }
        };
    }

    private OutputGate attachGate() {
        calls.call(Site.GATE_ATTACH);
        node.acts();
        HoldingGate holding = new HoldingGate(guest, frame -> network.accept(guest, frame));
        gate = Optional.of(holding);
        return new OutputGate() {
            @Override
            public void closeEpoch(long epoch) {
                if (node.acts()) {
                    calls.call(Site.GATE_CLOSE_EPOCH);
                    holding.closeEpoch(epoch);
                }
            }

            @Override
            public void release(long epoch) {
                if (node.acts()) {
                    calls.call(Site.GATE_RELEASE);
                    holding.release(epoch);
                }
            }

            @Override
            public Held held() {
                return holding.held();
            }

            @Override
            public void detach() {
                if (node.acts()) {
                    calls.call(Site.GATE_DETACH);
                    holding.detach();
                }
            }

            @Override
            public void close() {
                if (node.acts()) {
                    holding.close();
                }
            }
        };
    }

    /** The guest as its hypervisor shows it. */
    private final class GuestDomain implements Domain {
        @Override
        public String name() {
            return "guest";
        }

        @Override
        public void suspend() {
            if (node.acts()) {
                calls.call(Site.SUSPEND);
                mustBeThere("suspend");
                guest.suspend();
                stateSaved = false;
            }
        }

        @Override
        public void resume() {
            if (node.acts()) {
                calls.call(Site.RESUME);
                mustBeThere("resume");
                if (stateSaved) {
                    snapshots.take(guest, guest.registers().toSections());
                    stateSaved = false;
                }
                guest.run();
            }
        }

        private void mustBeThere(String command) {
            if (guest.power() == SimGuest.Power.GONE) {
                throw new HypervisorException(command, "the domain's process is gone");
            }
        }

        @Override
        public void destroy() {
            if (node.acts()) {
                trace.say(node.name(), () -> "destroys its copy");
                guest.end();
            }
        }

        @Override
        public DeviceState saveDeviceState() {
            if (!node.acts()) {
                throw new HypervisorException("save", "the node is being swept");
            }
            calls.call(Site.SAVE_STATE);
            mustBeThere("save");
            MemorySegment sections = guest.registers().toSections();
            stateSaved = true;
            return new DeviceState(
                    new DeviceState.DeviceBase(guest.baseNumber(), guest.base()), sections);
        }
    }

    /** A collect that fails may have taken the marks with it. */
    private final class Tracker implements DirtyTracker {
        private final ExactTracker exact;

        private Tracker(ExactTracker exact) {
            this.exact = exact;
        }

        @Override
        public String kind() {
            return exact.kind();
        }

        @Override
        public void collect(PfnSet into) {
            if (node.acts()) {
                try {
                    calls.call(Site.COLLECT);
                } catch (HypervisorException e) {
                    exact.collect(new PfnSet(into.endPfn()));
                    throw e;
                }
                exact.collect(into);
            }
        }

        @Override
        public void close() {
            if (node.acts()) {
                exact.close();
            }
        }
    }

    private final class Link implements PrimaryLink {
        @Override
        public void send(long epoch, ToSecondary message) {
            put(new ControlMessage.Checkpoint(epoch, message));
        }

        @Override
        public void sendDigest(long epoch, CheckpointDigest digest) {
            put(new ControlMessage.Digest(epoch, digest));
        }

        @Override
        public void transmit(BulkPiece piece) {
            if (node.acts()) {
                bulk.transmit(piece);
            }
        }

        @Override
        public void dismiss(String reason) {
            dismissSent = true;
            disks.discard();
            goodbye = reason;
            put(new ControlMessage.Dismiss(reason));
        }

        @Override
        public void domainDied(String reason) {
            goodbye = reason;
            put(new ControlMessage.DomainDied(reason));
        }

        @Override
        public void stoodDown() {
            put(new ControlMessage.StoodDown());
        }

        private void put(ControlMessage message) {
            if (node.acts()) {
                trace.say(node.name(), () -> "-> " + message);
                control.send(Side.PRIMARY, message);
            }
        }

        @Override
        public void close() {
            if (node.acts()) {
                control.close(Side.PRIMARY, goodbye);
            }
            bulk.closeSender();
            disks.discard();
        }
    }

    private final class Observer implements PrimaryObserver {
        @Override
        public void transition(PrimaryState from, PrimaryEvent event, PrimaryState to) {
            trace.say(node.name(), () -> event + "\n" + " ".repeat(27) + from + " => " + to);
        }

        @Override
        public void paused(Pause pause) {
            snapshots.assign(pause.epoch());
        }

        @Override
        public void encoded(Encoded encoded) {}

        @Override
        public void committed(long epoch, long nanos) {}

        @Override
        public void finished(PrimaryOutcome ended) {
            outcome = Optional.of(ended);
        }

        @Override
        public void trouble(String what, RuntimeException failure) {
            trace.say(node.name(), () -> "trouble " + what + ": " + failure.getMessage());
        }
    }
}
