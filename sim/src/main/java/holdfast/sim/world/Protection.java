package holdfast.sim.world;

import holdfast.engine.port.Arbiter;
import holdfast.engine.remus.PrimaryEvent;
import holdfast.engine.remus.PrimaryOutcome;
import holdfast.engine.remus.PrimaryState;
import holdfast.engine.remus.SecondaryEvent;
import holdfast.engine.remus.SecondaryState;
import holdfast.sim.check.Violation;
import holdfast.sim.check.Violation.Invariant;
import holdfast.sim.fault.CallFaults;
import holdfast.sim.fault.Fault;
import holdfast.sim.fault.Moment;
import holdfast.sim.fault.Moment.Mark;
import holdfast.sim.fault.NodeCrash;
import holdfast.sim.fault.Site;
import holdfast.sim.guest.Frame;
import holdfast.sim.guest.GuestImage;
import holdfast.sim.guest.SimDisk;
import holdfast.sim.guest.SimGuest;
import holdfast.sim.guest.SimMemory;
import holdfast.sim.link.BulkPath;
import holdfast.sim.link.ControlConnection;
import holdfast.sim.link.ControlConnection.Side;
import holdfast.sim.link.ControlMessage;
import holdfast.sim.link.DiskPath;
import holdfast.sim.link.LockstepChannel;
import holdfast.sim.time.VirtualTime;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.SplittableRandom;

/**
 * One protection of a domain from its request to its end: both sessions, what is between them, what
 * goes wrong, and the checkers of I1 to I3 after every step.
 */
final class Protection {
    private final Plan plan;
    private final VirtualTime time;
    private final SplittableRandom random;
    private final Client client;
    private final Trace trace;
    private final ControlConnection control;
    private final BulkPath bulk;
    private final DiskPath disks;
    private final LockstepChannel channel = new LockstepChannel();
    private final Snapshots snapshots = new Snapshots();
    private final Ruling ruling;
    private final PrimarySide primary;
    private final SecondarySide secondary;
    private final CallFaults calls;
    private final Map<Mark, Long> marks = new EnumMap<>(Mark.class);
    private final Map<Moment.At, List<Fault>> atMarks = new java.util.HashMap<>();
    private final Set<Site> failedCalls = EnumSet.noneOf(Site.class);
    private final Set<Class<? extends Fault>> struck = new java.util.HashSet<>();
    private boolean quiet;
    private long mirrorNanos;
    private long lateFrames;

    Protection(
            Plan plan,
            VirtualTime time,
            SplittableRandom random,
            SimGuest guest,
            SimNode primaryNode,
            SimNode secondaryNode,
            SimMemory replica,
            Client client,
            Variants variants,
            Trace trace) {
        this.plan = plan;
        this.time = time;
        this.random = random;
        this.client = client;
        this.trace = trace;
        calls =
                new CallFaults(
                        site -> {
                            failedCalls.add(site);
                            trace.say("fault", () -> site + " fails");
                        });
        control = new ControlConnection(time, random.split(), plan.link(), new Tap());
        bulk = new BulkPath(time, random.split(), plan.link(), channel, new BulkListener());
        disks = new DiskPath(time, random.split(), plan.link(), new DiskListener());
        ruling = new Ruling(plan, time, random.split(), this::operatorDecides, trace);
        primary =
                new PrimarySide(
                        primaryNode,
                        guest,
                        plan,
                        time,
                        control,
                        bulk,
                        disks,
                        random.split(),
                        calls,
                        snapshots,
                        ruling,
                        variants,
                        trace,
                        this::leave,
                        this::check);
        secondary =
                new SecondarySide(
                        secondaryNode,
                        replica,
                        plan,
                        time,
                        random.split(),
                        control,
                        channel,
                        disks,
                        calls,
                        ruling,
                        variants,
                        standby -> variants.standby().apply(standby, guest),
                        trace,
                        new Overseer());
    }

    /** Both sessions begin, and the plan's faults are set. */
    void start() {
        primary.guest().connectOutput(frame -> leave(primary.guest(), frame));
        client.mirrorTo(this::mirror);
        control.start(primary.listener(), secondary.listener());
        for (Fault.Planned planned : plan.faults()) {
            switch (planned.moment()) {
                case Moment.After(long nanos) -> time.after(nanos, () -> strike(planned.fault()));
                case Moment.At at ->
                        atMarks.computeIfAbsent(at, _ -> new ArrayList<>()).add(planned.fault());
            }
            if (planned.fault() instanceof Fault.FailCall failCall) {
                calls.plan(failCall);
            }
        }
        time.after(plan.link().delayNanos(), secondary::start);
    }

    PrimarySide primary() {
        return primary;
    }

    SecondarySide secondary() {
        return secondary;
    }

    Map<Mark, Long> marks() {
        return marks;
    }

    /** Frames of committed epochs that left the primary after the survivor ran. */
    long lateFrames() {
        return lateFrames;
    }

    /** Neither side has anything left to decide. */
    boolean over() {
        return primary.over() && secondary.over();
    }

    /** Both sides protect, and nothing is being ended. */
    boolean inForce() {
        boolean protecting =
                switch (primary.state()) {
                    case PrimaryState.Starting _,
                            PrimaryState.Synchronising _,
                            PrimaryState.Copying _,
                            PrimaryState.Requested _,
                            PrimaryState.Granted _,
                            PrimaryState.Capturing _,
                            PrimaryState.Sending _,
                            PrimaryState.Loading _ ->
                            true;
                    case PrimaryState.Dismissing _,
                            PrimaryState.Deciding _,
                            PrimaryState.Finished _ ->
                            false;
                };
        boolean receiving =
                switch (secondary.state()) {
                    case SecondaryState.Preparing _,
                            SecondaryState.Awaiting _,
                            SecondaryState.Receiving _,
                            SecondaryState.Committing _,
                            SecondaryState.Applying _,
                            SecondaryState.Rehearsing _ ->
                            true;
                    case SecondaryState.Deciding _,
                            SecondaryState.Claiming _,
                            SecondaryState.TakingOver _,
                            SecondaryState.Finished _ ->
                            false;
                };
        return protecting
                && receiving
                && primary.node().alive()
                && secondary.node().alive()
                && primary.guest().power() != SimGuest.Power.GONE;
    }

    /** Does what a fault says, now. */
    void strike(Fault fault) {
        if (quiet) {
            return;
        }
        struck.add(fault.getClass());
        trace.say("fault", fault::toString);
        switch (fault) {
            case Fault.Crash(Side side, var farewell) -> crash(side, farewell);
            case Fault.CutControl _ -> control.cut("the connection was reset");
            case Fault.CutBulk _ -> bulk.cut("reset");
            case Fault.CutBulkAt(long bytes) -> bulk.cutAt(bytes);
            case Fault.CutDisk _ -> disks.cut("reset");
            case Fault.StallDisk(long nanos) -> disks.stall(nanos);
            case Fault.CutAll _ -> {
                bulk.cut("reset");
                disks.cut("reset");
                control.cut("the connection was reset");
            }
            case Fault.StallControl(Side toward, long nanos) -> control.stall(toward, nanos);
            case Fault.StallBulk(long nanos) -> bulk.stall(nanos);
            case Fault.FlipBulk(long bit) -> bulk.flip(bit);
            case Fault.DamageControl(Side toward, long index, var damage) ->
                    control.damage(toward, index, damage);
            case Fault.FailCall _ -> {}
            case Fault.DomainDies _ -> endGuest(PrimaryOutcome.Ending.DIED);
            case Fault.DomainShutsDown _ -> endGuest(PrimaryOutcome.Ending.SHUT_DOWN);
            case Fault.StandbyDies _ ->
                    secondary.post(new SecondaryEvent.StandbyFailed("the standby died"));
            case Fault.Unprotect _ -> unprotect();
            case Fault.FailOver _ -> failOver();
            case Fault.OutputFull _ -> primary.post(new PrimaryEvent.IntervalElapsed(guestEpoch()));
        }
    }

    /** A person looks before they act: what is undecided is for {@link Ruling} to decide. */
    private void unprotect() {
        if (!(primary.state() instanceof PrimaryState.Deciding)) {
            primary.handle(new PrimaryEvent.Unprotect());
        }
    }

    private void failOver() {
        if (!(secondary.state() instanceof SecondaryState.Deciding)) {
            secondary.handle(new SecondaryEvent.FailOver());
        }
    }

    private void operatorDecides(Arbiter.Role role) {
        switch (role) {
            case PRIMARY -> primary.handle(new PrimaryEvent.Verdict(Arbiter.Verdict.GO_ON));
            case SECONDARY -> secondary.handle(new SecondaryEvent.Verdict(Arbiter.Verdict.GO_ON));
        }
    }

    private void endGuest(PrimaryOutcome.Ending ending) {
        if (primary.node().alive() && primary.guest().power() != SimGuest.Power.GONE) {
            primary.guest().end();
            long noticed = random.nextLong(2_000_000);
            time.after(
                    noticed,
                    () ->
                            primary.handle(
                                    new PrimaryEvent.DomainEnded("the process ended", ending)));
        }
    }

    private void crash(Side side, ControlConnection.Farewell farewell) {
        long lost =
                time.nanos()
                        + random.nextLong(plan.link().delayNanos() + plan.link().jitterNanos() + 1);
        SimNode node =
                switch (side) {
                    case PRIMARY -> primary.node();
                    case SECONDARY -> secondary.node();
                };
        if (!node.alive()) {
            return;
        }
        node.crash();
        control.crashed(side, farewell, lost);
        switch (side) {
            case PRIMARY -> {
                primary.guest().end();
                bulk.senderCrashed(lost);
                disks.senderCrashed(lost);
                time.at(lost + 1, () -> receiverBroken("the connection was reset"));
            }
            case SECONDARY -> {
                secondary.survivor().ifPresent(SimGuest::end);
                bulk.cut("the connection was reset");
                disks.cut("the connection was reset");
            }
        }
    }

    private void mark(Mark mark) {
        long index = marks.merge(mark, 1L, Long::sum) - 1;
        List<Fault> due = atMarks.remove(new Moment.At(mark, index));
        if (due != null) {
            due.forEach(this::strike);
        }
    }

    /** The epoch the guest runs now; 0 in the live stage, for the first checkpoint closes it. */
    private long guestEpoch() {
        return snapshots.newest() + 1;
    }

    /** A frame toward the primary's guest is copied to the secondary, over a way of its own. */
    private void mirror(SimGuest to, Frame frame) {
        if (to == primary.guest() && !primary.over()) {
            long epoch = guestEpoch();
            mirrorNanos =
                    Math.max(
                            mirrorNanos,
                            time.nanos()
                                    + plan.link().delayNanos()
                                    + random.nextLong(plan.link().jitterNanos() + 1));
            time.at(mirrorNanos, () -> secondary.mirrored(epoch, frame.encode()));
        }
    }

    /** I1 and I2 for a frame that reaches the network from the primary. */
    private void leave(SimGuest copy, Frame frame) {
        if (!primary.node().alive()) {
            return;
        }
        trace.say(primary.node().name(), () -> "lets out " + frame);
        if (secondary.survivor().isPresent() && primary.unfenced()) {
            throw new Violation(
                    Invariant.I1,
                    "the primary's answer to request "
                            + frame.number()
                            + " leaves by itself while the survivor runs; the primary is in "
                            + primary.state());
        }
        if (secondaryCouldSurvive() || secondary.survivor().isPresent()) {
            long epoch = secondary.state().committed();
            OptionalLong answer = snapshots.answer(epoch, frame.number());
            if (answer.isEmpty() || answer.getAsLong() != frame.value()) {
                throw new Violation(
                        Invariant.I2,
                        "the primary's answer to request "
                                + frame.number()
                                + " leaves, but a survivor would resume from epoch "
                                + epoch
                                + ", which does not contain it");
            }
        }
        if (secondary.survivor().isPresent()) {
            if (primary.outcome().isPresent()) {
                throw new Violation(
                        Invariant.I1,
                        "the primary's answer to request "
                                + frame.number()
                                + " leaves after it stood down: "
                                + primary.outcome().get());
            }
            // Committed before the survivor began: what it says is what the survivor remembers.
            lateFrames++;
        }
        client.heard(copy, frame);
    }

    /** Whether the secondary may yet take the domain over. */
    private boolean secondaryCouldSurvive() {
        return !secondary.over()
                && secondary.state().committed() >= 0
                && !ruling.owner().equals(Optional.of(Arbiter.Role.PRIMARY));
    }

    private void check() {
        if (primary.unfenced() && secondary.serves()) {
            throw new Violation(
                    Invariant.I1,
                    "two copies speak: the primary is in "
                            + primary.state()
                            + " and lets its output out, the survivor runs from epoch "
                            + secondary.state().committed());
        }
    }

    /** Longer than it can take until the control connection is known to be silent. */
    private long verdictOnPeerNanos() {
        return plan.link().deadlineNanos() + 3 * plan.link().heartbeatNanos();
    }

    private void receiverBroken(String reason) {
        time.after(
                verdictOnPeerNanos(),
                () -> {
                    if (!secondary.over() && !control.isDown(Side.SECONDARY)) {
                        secondary.handle(
                                new SecondaryEvent.PeerViolated(
                                        reason + " while the control connection still answers"));
                    }
                    if (secondary.node().alive()) {
                        channel.end();
                    }
                });
    }

    private final class Tap implements ControlConnection.Tap {
        @Override
        public void sent(Side from, ControlMessage message) {
            mark(from == Side.PRIMARY ? Mark.PRIMARY_SENT : Mark.SECONDARY_SENT);
            SimNode node =
                    switch (from) {
                        case PRIMARY -> primary.node();
                        case SECONDARY -> secondary.node();
                    };
            if (!node.alive()) {
                throw new NodeCrash(node.name());
            }
        }

        @Override
        public void received(Side by, ControlMessage message) {
            mark(by == Side.PRIMARY ? Mark.PRIMARY_RECEIVED : Mark.SECONDARY_RECEIVED);
        }
    }

    private final class BulkListener implements BulkPath.Listener {
        @Override
        public void chunkSent(long index) {
            mark(Mark.BULK_SENT);
        }

        @Override
        public void chunkReceived(long index) {
            mark(Mark.BULK_RECEIVED);
        }

        /** Only the control connection knows whether the peer lives. */
        @Override
        public void senderBroken(String reason) {
            time.after(
                    verdictOnPeerNanos(),
                    () -> {
                        if (!bulk.senderClosed() && !control.isDown(Side.PRIMARY)) {
                            primary.handle(
                                    new PrimaryEvent.SessionFailed(
                                            reason + " (the other node still answers)"));
                        }
                    });
        }

        @Override
        public void receiverBroken(String reason) {
            Protection.this.receiverBroken(reason);
        }
    }

    private final class DiskListener implements DiskPath.Listener {
        @Override
        public void sent(DiskPath.Item item) {
            mark(Mark.DISK_SENT);
        }

        @Override
        public void received(DiskPath.Item item) {
            secondary.arrived(item);
            mark(Mark.DISK_RECEIVED);
        }

        /** Only the control connection knows whether the peer lives. */
        @Override
        public void senderBroken(String reason) {
            time.after(
                    verdictOnPeerNanos(),
                    () -> {
                        if (!bulk.senderClosed() && !control.isDown(Side.PRIMARY)) {
                            primary.handle(
                                    new PrimaryEvent.SessionFailed(
                                            reason + " (the other node still answers)"));
                        }
                    });
        }

        @Override
        public void receiverBroken(String reason) {
            time.after(
                    verdictOnPeerNanos(),
                    () -> {
                        if (!secondary.over() && !control.isDown(Side.SECONDARY)) {
                            secondary.handle(
                                    new SecondaryEvent.PeerViolated(
                                            reason
                                                    + " while the control connection still"
                                                    + " answers"));
                        }
                    });
        }
    }

    private final class Overseer implements SecondarySide.Overseer {
        @Override
        public void applied(long epoch, MemorySegment replica, SimDisk disk) {
            snapshots.compareMemory(epoch, replica);
            snapshots.compareDisk(epoch, disk);
            snapshots.committed(epoch);
            bulk.roomMade();
        }

        @Override
        public void takesOver(
                long epoch,
                MemorySegment replica,
                SimDisk disk,
                MemorySegment base,
                MemorySegment sections) {
            snapshots.compareMemory(epoch, replica);
            snapshots.compareDisk(epoch, disk);
            snapshots.compareDevices(epoch, base, sections);
            client.answers()
                    .forEach(
                            (number, value) -> {
                                OptionalLong answer = GuestImage.answer(replica, number);
                                if (answer.isEmpty() || answer.getAsLong() != value) {
                                    throw new Violation(
                                            Invariant.I2,
                                            "the network has heard the answer to request "
                                                    + number
                                                    + ", the survivor's epoch "
                                                    + epoch
                                                    + " does not know it");
                                }
                            });
        }

        @Override
        public void survives(SimGuest survivor) {
            trace.say(secondary.node().name(), () -> "the survivor runs");
            survivor.connectOutput(
                    frame -> {
                        if (secondary.node().alive()) {
                            trace.say(secondary.node().name(), () -> "survivor lets out " + frame);
                            client.heard(survivor, frame);
                        }
                    });
            client.announced(survivor);
            if (primary.unfenced()) {
                throw new Violation(
                        Invariant.I1,
                        "the survivor runs while the primary's output flows in " + primary.state());
            }
        }

        @Override
        public void afterEvent() {
            check();
        }
    }

    /** The copy that serves the client, and I4: there is exactly one, or a reason for none. */
    Optional<SimGuest> location() {
        boolean here = primary.serves();
        boolean there = secondary.serves();
        if (here && there) {
            throw new Violation(Invariant.I1, "two copies of the domain run and speak");
        }
        if (!over() && !inForce()) {
            throw new Violation(
                    Invariant.I4,
                    "nothing happens any more, but the primary is in "
                            + primary.state()
                            + " and the secondary in "
                            + secondary.state());
        }
        if (here) {
            return Optional.of(primary.guest());
        }
        if (there) {
            return secondary.survivor();
        }
        String reason = new Excuse(primary, secondary, ruling, struck, failedCalls).text();
        trace.say("end", () -> "the domain is gone: " + reason);
        return Optional.empty();
    }

    /** No fault strikes any more. */
    void calm() {
        quiet = true;
    }

    /** Frees everything; nothing of this protection may be used after. */
    void sweep() {
        quiet = true;
        primary.sweep();
        secondary.sweep();
        client.mirrorTo((_, _) -> {});
    }
}
