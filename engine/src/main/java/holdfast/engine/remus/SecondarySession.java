package holdfast.engine.remus;

import holdfast.engine.ReplicationException;
import holdfast.engine.port.Arbiter;
import holdfast.engine.port.Clock;
import holdfast.engine.port.Domain;
import holdfast.engine.port.InboundFrames;
import holdfast.engine.port.ReplicaDisks;
import holdfast.engine.port.SecondaryLink;
import holdfast.engine.port.Standby;
import holdfast.wire.ProtocolException;

import java.nio.channels.ReadableByteChannel;
import java.util.ArrayDeque;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * Performs on real or simulated ports what {@link SecondaryMachine} decides. One thread owns a
 * session and calls {@link #start} and {@link #handle}; events that arise elsewhere reach it
 * through the {@code post} given to the constructor, which must queue them for that thread.
 */
public final class SecondarySession {
    /**
     * What a session drives. The session closes the standby, the disks and the link.
     *
     * @param prepareStandby starts the standby; its replica must read as zeroes
     * @param disks what the link's own thread gives disk writes to; its {@code boundary} is posted
     *     as {@link SecondaryEvent.DiskWritesArrived} by whoever calls it
     * @param bulk where checkpoints come from
     * @param inbound gives the frames toward the guest that came in after an epoch and forgets the
     *     older ones
     */
    public record Ports(
            Supplier<Standby> prepareStandby,
            ReplicaDisks disks,
            Bulk bulk,
            Inbound inbound,
            SecondaryLink link,
            Arbiter arbiter,
            Clock clock,
            SecondaryObserver observer) {}

    /** The bulk stream. */
    public interface Bulk {
        /** The stream, in blocking mode. */
        ReadableByteChannel channel();

        /** Runs {@link CheckpointReceiver#run} on a thread that the link joins when it closes. */
        void start(CheckpointReceiver receiver);
    }

    /** Frames toward the guest, mirrored by the primary. */
    public interface Inbound {
        /**
         * Frames that came in up to the end of {@code epoch} are in its checkpoint: forget them.
         */
        void committed(long epoch);

        /** All that came in since the committed epoch, oldest first. */
        InboundFrames sinceCommit();
    }

    private final String domain;
    private final long generation;
    private final Ports ports;
    private final Consumer<SecondaryEvent> post;
    private final SecondaryMachine machine;
    private final ArrayDeque<SecondaryEvent> followUps = new ArrayDeque<>();
    private Optional<Standby> standby = Optional.empty();
    private Optional<CheckpointReceiver> receiver = Optional.empty();
    private Optional<Domain> survivor = Optional.empty();
    private SecondaryState state = new SecondaryState.Preparing();

    /**
     * @param domain the domain's name
     * @param generation the primary's; the survivor's is larger
     * @param writesAtFirst as for {@link SecondaryMachine}
     */
    public SecondarySession(
            String domain,
            long generation,
            SecondaryState.DiskWrites writesAtFirst,
            Ports ports,
            Consumer<SecondaryEvent> post) {
        this.domain = domain;
        this.generation = generation;
        this.ports = ports;
        this.post = post;
        this.machine = new SecondaryMachine(writesAtFirst);
    }

    public SecondaryState state() {
        return state;
    }

    /** The domain, once it runs here. */
    public Optional<Domain> survivor() {
        return survivor;
    }

    /** Begins: the standby is started on the calling thread. */
    public void start() {
        SecondaryMachine.Step step = machine.start();
        state = step.state();
        step.effects().forEach(this::perform);
        drainFollowUps();
    }

    /**
     * Steps and performs, until no follow-up is left. A primary that broke the protocol ends the
     * session; nothing escapes but a broken invariant.
     */
    public void handle(SecondaryEvent event) {
        followUps.add(event);
        drainFollowUps();
    }

    private void drainFollowUps() {
        for (SecondaryEvent next = followUps.poll(); next != null; next = followUps.poll()) {
            SecondaryMachine.Step step;
            try {
                step = machine.step(state, next);
            } catch (ProtocolException e) {
                next = new SecondaryEvent.PeerViolated(e.getMessage());
                step = machine.step(state, next);
            }
            SecondaryState from = state;
            state = step.state();
            ports.observer().transition(from, next, state);
            step.effects().forEach(this::perform);
        }
    }

    private void perform(SecondaryEffect effect) {
        switch (effect) {
            case SecondaryEffect.PrepareStandby _ -> prepareStandby();
            case SecondaryEffect.Send(long epoch, var message) -> ports.link().send(epoch, message);
            case SecondaryEffect.CommitDisks(long epoch) -> commitDisks(epoch);
            case SecondaryEffect.Apply(long epoch) -> apply(epoch);
            case SecondaryEffect.Rehearse(long epoch) -> rehearse(epoch);
            case SecondaryEffect.DiscardPartial _ -> discardPartial();
            case SecondaryEffect.AskArbiter _ ->
                    ports.arbiter()
                            .ask(
                                    domain,
                                    generation,
                                    Arbiter.Role.SECONDARY,
                                    verdict -> post.accept(new SecondaryEvent.Verdict(verdict)));
            case SecondaryEffect.ClaimDomain(String reason) -> ports.link().claim(reason);
            case SecondaryEffect.TakeOver(long epoch) -> takeOver(epoch);
            case SecondaryEffect.Finish(SecondaryOutcome outcome) -> finish(outcome);
        }
    }

    private void prepareStandby() {
        try {
            Standby prepared = ports.prepareStandby().get();
            standby = Optional.of(prepared);
            CheckpointReceiver reading =
                    new CheckpointReceiver(prepared.replica(), ports.bulk().channel(), post);
            receiver = Optional.of(reading);
            ports.bulk().start(reading);
            followUps.add(new SecondaryEvent.StandbyReady());
        } catch (ReplicationException e) {
            followUps.add(
                    new SecondaryEvent.StandbyFailed(
                            "the standby could not be started: " + e.getMessage()));
        }
    }

    /**
     * Runs to its end before the next event is looked at: what a lost peer finds is either not
     * committed or is.
     */
    private void commitDisks(long epoch) {
        try {
            ports.disks().commit(epoch);
            followUps.add(new SecondaryEvent.DisksCommitted(epoch));
        } catch (ReplicationException e) {
            followUps.add(
                    new SecondaryEvent.DisksFailed(
                            "the disk writes of epoch "
                                    + epoch
                                    + " cannot be kept: "
                                    + e.getMessage()));
        }
    }

    /**
     * Runs to its end before the next event is looked at: a replica is never left half way between
     * two epochs by a lost peer.
     */
    private void apply(long epoch) {
        long start = ports.clock().nanos();
        long pages;
        try {
            ports.disks().apply(epoch);
            pages = receiver.orElseThrow().apply();
        } catch (ReplicationException e) {
            followUps.add(
                    new SecondaryEvent.DisksFailed(
                            "the disk writes of epoch "
                                    + epoch
                                    + " are kept but do not reach the image: "
                                    + e.getMessage()));
            return;
        }
        ports.inbound().committed(epoch);
        ports.observer().applied(epoch, pages, ports.clock().nanos() - start);
        followUps.add(new SecondaryEvent.Applied(epoch));
    }

    private void rehearse(long epoch) {
        CheckpointReceiver committed = receiver.orElseThrow();
        try {
            standby.orElseThrow().rehearse(committed.base(), committed.sections());
            followUps.add(new SecondaryEvent.Rehearsed(epoch));
        } catch (RuntimeException | VirtualMachineError e) {
            followUps.add(new SecondaryEvent.RehearsalFailed(e.toString()));
        }
    }

    private void discardPartial() {
        receiver.ifPresent(CheckpointReceiver::stop);
        attempt("forgetting uncommitted disk writes", ports.disks()::discardPartial);
    }

    private void takeOver(long epoch) {
        CheckpointReceiver committed = receiver.orElseThrow();
        try {
            ports.disks().discardPartial();
            ports.disks().settle();
            survivor =
                    Optional.of(
                            standby.orElseThrow()
                                    .takeOver(
                                            committed.base(),
                                            committed.sections(),
                                            ports.inbound().sinceCommit()));
            followUps.add(new SecondaryEvent.TookOver());
        } catch (RuntimeException | VirtualMachineError e) {
            // Whatever it was: in this state the domain must be said to be somewhere.
            followUps.add(
                    new SecondaryEvent.StandbyFailed(
                            "the domain could not be resumed from epoch " + epoch + ": " + e));
        }
    }

    private void finish(SecondaryOutcome outcome) {
        attempt("ending the bulk stream", () -> receiver.ifPresent(CheckpointReceiver::stop));
        if (outcome instanceof SecondaryOutcome.Discarded(String reason)) {
            // A finished session never takes over: the primary may know before the standby is gone.
            attempt("telling the primary", () -> ports.link().discarded(reason));
        }
        // A reader may wait for room: it must see that there is none to come.
        attempt("forgetting uncommitted disk writes", ports.disks()::discardPartial);
        // The link joins its readers: only then may what they write to be freed.
        attempt("closing the link", ports.link()::close);
        attempt("closing the replica's disks", ports.disks()::close);
        attempt(
                "freeing the checkpoint buffer",
                () -> receiver.ifPresent(CheckpointReceiver::close));
        switch (outcome) {
            case SecondaryOutcome.Discarded _ ->
                    attempt("discarding the standby", () -> standby.ifPresent(Standby::close));
            // The replica is the domain now, or is kept for repair.
            case SecondaryOutcome.Survived _, SecondaryOutcome.TakeOverFailed _ -> {}
        }
        ports.observer().finished(outcome);
    }

    private void attempt(String what, Runnable step) {
        try {
            step.run();
        } catch (RuntimeException e) {
            ports.observer().trouble(what, e);
        }
    }
}
