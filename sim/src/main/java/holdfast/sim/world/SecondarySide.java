package holdfast.sim.world;

import holdfast.engine.HypervisorException;
import holdfast.engine.output.InboundLog;
import holdfast.engine.port.Domain;
import holdfast.engine.port.InboundFrames;
import holdfast.engine.port.ReplicaDisks;
import holdfast.engine.port.SecondaryLink;
import holdfast.engine.port.Standby;
import holdfast.engine.remus.CheckpointReceiver;
import holdfast.engine.remus.SecondaryEvent;
import holdfast.engine.remus.SecondaryObserver;
import holdfast.engine.remus.SecondaryOutcome;
import holdfast.engine.remus.SecondarySession;
import holdfast.engine.remus.SecondaryState;
import holdfast.sim.check.Violation;
import holdfast.sim.check.Violation.Invariant;
import holdfast.sim.fault.CallFaults;
import holdfast.sim.fault.NodeCrash;
import holdfast.sim.fault.Site;
import holdfast.sim.guest.BufferedDisk;
import holdfast.sim.guest.SimDisk;
import holdfast.sim.guest.SimGuest;
import holdfast.sim.guest.SimMemory;
import holdfast.sim.link.ControlConnection;
import holdfast.sim.link.ControlConnection.Side;
import holdfast.sim.link.ControlMessage;
import holdfast.sim.link.DiskPath;
import holdfast.sim.link.LockstepChannel;
import holdfast.sim.time.VirtualTime;
import holdfast.wire.colo.ToPrimary;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.ReadableByteChannel;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.function.UnaryOperator;

/** A secondary's session with simulated ports. */
final class SecondarySide {
    /** What becomes of the replica concerns more than this side. */
    interface Overseer {
        /** The checkpoint of {@code epoch} is in the replica. */
        void applied(long epoch, MemorySegment replica, SimDisk disk);

        /** The survivor is about to run from these. */
        void takesOver(
                long epoch,
                MemorySegment replica,
                SimDisk disk,
                MemorySegment base,
                MemorySegment sections);

        /** It runs. */
        void survives(SimGuest survivor);

        /** An event was dealt with. */
        void afterEvent();
    }

    private static final int INBOUND_BYTES_MAX = 1 << 17;

    private final SimNode node;
    private final Plan plan;
    private final VirtualTime time;
    private final SplittableRandom random;
    private final ControlConnection control;
    private final LockstepChannel channel;
    private final CallFaults calls;
    private final Trace trace;
    private final Overseer overseer;
    private final SimMemory replica;
    private final SimDisk disk = new SimDisk();
    private final ReplicaDisks disks;
    private final DiskPath diskPath;
    private long diskWrites;
    private final UnaryOperator<Standby> standbyVariant;
    private final InboundLog inbound = new InboundLog(INBOUND_BYTES_MAX);
    private final SecondarySession session;
    private Optional<SimGuest> survivor = Optional.empty();
    private Optional<SecondaryOutcome> outcome = Optional.empty();
    private boolean linkClosed;
    private String goodbye = "the session is over";

    SecondarySide(
            SimNode node,
            SimMemory replica,
            Plan plan,
            VirtualTime time,
            SplittableRandom random,
            ControlConnection control,
            LockstepChannel channel,
            DiskPath diskPath,
            CallFaults calls,
            Ruling ruling,
            Variants variants,
            UnaryOperator<Standby> standbyVariant,
            Trace trace,
            Overseer overseer) {
        this.node = node;
        this.replica = replica;
        this.plan = plan;
        this.time = time;
        this.random = random;
        this.control = control;
        this.channel = channel;
        this.diskPath = diskPath;
        this.disks = variants.replica().apply(new Replica(new BufferedDisk(disk)));
        this.calls = calls;
        this.trace = trace;
        this.overseer = overseer;
        this.standbyVariant = standbyVariant;
        session =
                new SecondarySession(
                        "guest",
                        1,
                        SecondaryState.DiskWrites.TRAVELLING,
                        new SecondarySession.Ports(
                                this::prepare,
                                disks,
                                new Bulk(),
                                new Inbound(),
                                new Link(),
                                variants.secondaryArbiter().apply(ruling.port()),
                                time,
                                new Observer()),
                        this::post);
    }

    SimNode node() {
        return node;
    }

    SecondaryState state() {
        return session.state();
    }

    Optional<SecondaryOutcome> outcome() {
        return outcome;
    }

    Optional<SimGuest> survivor() {
        return survivor;
    }

    boolean over() {
        return !node.alive() || outcome.isPresent();
    }

    boolean linkClosed() {
        return linkClosed;
    }

    /** Whether the domain runs here. */
    boolean serves() {
        return node.alive()
                && survivor.map(guest -> guest.power() == SimGuest.Power.RUNNING).orElse(false);
    }

    void start() {
        guarded("its start", session::start);
    }

    /** From the session's thread or, in lockstep, from the reader's. */
    void post(SecondaryEvent event) {
        time.after(0, () -> handle(event));
        if (event instanceof SecondaryEvent.CheckpointArrived) {
            channel.handedOver();
        }
    }

    void handle(SecondaryEvent event) {
        if (!over()) {
            guarded(event.toString(), () -> session.handle(event));
        }
    }

    private void guarded(String what, Runnable step) {
        try {
            step.run();
        } catch (NodeCrash e) {
            trace.say(node.name(), () -> "died in the middle of " + what);
        } catch (RuntimeException e) {
            throw new Violation(
                    Invariant.ENGINE, "the secondary's session died of " + what + ": " + e, e);
        }
        overseer.afterEvent();
    }

    /** A frame toward the guest, mirrored by the primary. */
    void mirrored(long epoch, ByteBuffer frame) {
        if (!over()) {
            inbound.append(epoch, 0, 0, frame);
        }
    }

    /** Something came in over the disk connection. */
    void arrived(DiskPath.Item item) {
        if (over()) {
            return;
        }
        try {
            switch (item) {
                case DiskPath.Item.Write(long sector, long value) -> {
                    diskWrites++;
                    disks.write(
                            0,
                            sector * Long.BYTES,
                            ByteBuffer.allocate(Long.BYTES).putLong(value).flip());
                }
                case DiskPath.Item.Boundary(long epoch, long writes) -> {
                    if (writes != diskWrites) {
                        throw new Violation(
                                Invariant.ENGINE,
                                writes + " disk writes were sent, " + diskWrites + " arrived");
                    }
                    diskWrites = 0;
                    disks.boundary(epoch);
                    post(new SecondaryEvent.DiskWritesArrived(epoch));
                }
            }
        } catch (HypervisorException e) {
            post(new SecondaryEvent.DisksFailed(e.getMessage()));
        }
    }

    /** The replica's disks with calls that may fail. */
    private final class Replica implements ReplicaDisks {
        private final BufferedDisk buffered;

        private Replica(BufferedDisk buffered) {
            this.buffered = buffered;
        }

        @Override
        public void write(int index, long offsetBytes, ByteBuffer data) {
            calls.call(Site.REPLICA_WRITE);
            buffered.write(index, offsetBytes, data);
        }

        @Override
        public void writeZeroes(int index, long offsetBytes, long lengthBytes) {
            buffered.writeZeroes(index, offsetBytes, lengthBytes);
        }

        @Override
        public void boundary(long epoch) {
            buffered.boundary(epoch);
        }

        @Override
        public void commit(long epoch) {
            node.acts();
            calls.call(Site.REPLICA_COMMIT);
            buffered.commit(epoch);
        }

        @Override
        public void apply(long epoch) {
            node.acts();
            calls.call(Site.REPLICA_APPLY);
            buffered.apply(epoch);
        }

        @Override
        public void discardPartial() {
            node.acts();
            buffered.discardPartial();
        }

        @Override
        public void settle() {
            node.acts();
            calls.call(Site.REPLICA_SETTLE);
            buffered.settle();
        }

        @Override
        public void close() {
            node.acts();
            buffered.close();
        }
    }

    /** Frees what a session that never ended still has. */
    void sweep() {
        if (outcome.isEmpty()) {
            node.sweep();
            session.handle(new SecondaryEvent.StandbyFailed("swept"));
        }
        channel.close();
    }

    ControlConnection.Listener listener() {
        return new ControlConnection.Listener() {
            @Override
            public void message(ControlMessage message) {
                trace.say(node.name(), () -> "<- " + message);
                handle(
                        switch ((ControlMessage.FromPrimary) message) {
                            case ControlMessage.Checkpoint(long epoch, var said) ->
                                    new SecondaryEvent.FromPrimary(epoch, said);
                            case ControlMessage.Digest(long epoch, var digest) ->
                                    new SecondaryEvent.DigestReceived(epoch, digest);
                            case ControlMessage.Dismiss(String reason) ->
                                    new SecondaryEvent.Dismiss(reason);
                            case ControlMessage.DomainDied(String reason) ->
                                    new SecondaryEvent.PeerLost("the domain died: " + reason);
                            case ControlMessage.StoodDown _ ->
                                    new SecondaryEvent.PrimaryStoodDown();
                            case ControlMessage.Heartbeat _, ControlMessage.Close _ ->
                                    throw new IllegalStateException(
                                            "the connection keeps " + message + " to itself");
                        });
            }

            @Override
            public void lost(String reason) {
                handle(new SecondaryEvent.PeerLost(reason));
            }

            @Override
            public void violated(String reason) {
                handle(new SecondaryEvent.PeerViolated(reason));
            }

            @Override
            public boolean alive() {
                return node.alive();
            }
        };
    }

    private Standby prepare() {
        node.acts();
        calls.call(Site.STANDBY_PREPARE);
        return standbyVariant.apply(new WaitingGuest());
    }

    private final class WaitingGuest implements Standby {
        @Override
        public SimMemory replica() {
            return replica;
        }

        @Override
        public void rehearse(MemorySegment base, MemorySegment sections) {
            node.acts();
            calls.call(Site.STANDBY_REHEARSE);
            loaded(base, sections);
        }

        /** A guest that has the replica's memory and this state, and does not run. */
        private SimGuest loaded(MemorySegment base, MemorySegment sections) {
            SimGuest guest =
                    new SimGuest("survivor", replica, disk, time, random.split(), plan.workNanos());
            try {
                guest.load(base, sections);
            } catch (IllegalArgumentException e) {
                throw new Violation(Invariant.I3, e.getMessage(), e);
            }
            return guest;
        }

        @Override
        public Domain takeOver(MemorySegment base, MemorySegment sections, InboundFrames frames) {
            node.acts();
            calls.call(Site.STANDBY_TAKE_OVER);
            overseer.takesOver(session.state().committed(), replica.bytes(), disk, base, sections);
            SimGuest guest = loaded(base, sections);
            survivor = Optional.of(guest);
            overseer.survives(guest);
            guest.run();
            for (InboundFrames.Frame frame : frames.frames()) {
                guest.receive(holdfast.sim.guest.Frame.decode(frame.bytes().duplicate()));
            }
            return new SurvivingDomain(guest);
        }

        @Override
        public void close() {
            node.acts();
        }
    }

    private record SurvivingDomain(SimGuest guest) implements Domain {
        @Override
        public String name() {
            return "guest";
        }

        @Override
        public void suspend() {
            guest.suspend();
        }

        @Override
        public void resume() {
            guest.run();
        }

        @Override
        public void destroy() {
            guest.end();
        }

        @Override
        public holdfast.engine.port.DeviceState saveDeviceState() {
            return new holdfast.engine.port.DeviceState(
                    new holdfast.engine.port.DeviceState.DeviceBase(
                            guest.baseNumber(), guest.base()),
                    guest.registers().toSections());
        }
    }

    private final class Bulk implements SecondarySession.Bulk {
        @Override
        public ReadableByteChannel channel() {
            return channel;
        }

        @Override
        public void start(CheckpointReceiver receiver) {
            channel.start(receiver::run);
        }
    }

    private final class Inbound implements SecondarySession.Inbound {
        @Override
        public void committed(long epoch) {
            inbound.commit(epoch);
        }

        @Override
        public InboundFrames sinceCommit() {
            return inbound.drain();
        }
    }

    private final class Link implements SecondaryLink {
        @Override
        public void send(long epoch, ToPrimary message) {
            put(new ControlMessage.Answer(epoch, message));
        }

        @Override
        public void claim(String reason) {
            goodbye = reason;
            put(new ControlMessage.Claim(reason));
        }

        @Override
        public void discarded(String reason) {
            goodbye = reason;
            put(new ControlMessage.Discarded(reason));
        }

        private void put(ControlMessage message) {
            if (node.acts()) {
                trace.say(node.name(), () -> "-> " + message);
                control.send(Side.SECONDARY, message);
            }
        }

        @Override
        public void close() {
            linkClosed = true;
            if (node.acts()) {
                control.close(Side.SECONDARY, goodbye);
            }
            channel.close();
            diskPath.closeReceiver();
        }
    }

    private final class Observer implements SecondaryObserver {
        @Override
        public void transition(SecondaryState from, SecondaryEvent event, SecondaryState to) {
            trace.say(node.name(), () -> event + "\n" + " ".repeat(27) + from + " => " + to);
        }

        @Override
        public void applied(long epoch, long pages, long nanos) {
            channel.applied();
            overseer.applied(epoch, replica.bytes(), disk);
        }

        @Override
        public void finished(SecondaryOutcome ended) {
            outcome = Optional.of(ended);
        }

        @Override
        public void trouble(String what, RuntimeException failure) {
            trace.say(node.name(), () -> "trouble " + what + ": " + failure.getMessage());
        }
    }
}
