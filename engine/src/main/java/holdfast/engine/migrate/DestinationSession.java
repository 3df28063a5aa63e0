package holdfast.engine.migrate;

import holdfast.engine.ReplicationException;
import holdfast.engine.port.Clock;
import holdfast.engine.port.Domain;
import holdfast.wire.ProtocolException;

import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Optional;

/**
 * Performs on real or simulated ports what {@link DestinationMachine} decides. One thread owns it;
 * events that arise elsewhere must be queued for that thread.
 */
public final class DestinationSession {
    /**
     * What a session drives. It closes the link and the incoming pages.
     *
     * @param pages what the connections carry, whole when StreamsWhole was posted
     */
    public record Ports(
            Arrival arrival,
            DestinationLink link,
            IncomingPages pages,
            Clock clock,
            DestinationObserver observer) {}

    private final DestinationMachine machine;
    private final Ports ports;
    private final ArrayDeque<DestinationEvent> followUps = new ArrayDeque<>();
    private DestinationState state = DestinationMachine.begin();
    private Optional<Domain> domain = Optional.empty();

    public DestinationSession(DestinationMachine machine, Ports ports) {
        this.machine = machine;
        this.ports = ports;
    }

    public DestinationState state() {
        return state;
    }

    /** The domain, once it runs here. */
    public Optional<Domain> domain() {
        return domain;
    }

    /** Starts the hypervisor. */
    public void start() {
        try {
            handle(new DestinationEvent.Prepared(ports.arrival().prepare()));
        } catch (ReplicationException e) {
            handle(new DestinationEvent.Failed(e.getMessage()));
        }
    }

    /** Steps and performs, until no follow-up is left. */
    public void handle(DestinationEvent event) {
        followUps.add(event);
        for (DestinationEvent next = followUps.poll(); next != null; next = followUps.poll()) {
            DestinationMachine.Step step;
            try {
                step = machine.step(state, next);
            } catch (ProtocolException e) {
                next = new DestinationEvent.SourceViolated(e.getMessage());
                step = machine.step(state, next);
            }
            DestinationState from = state;
            state = step.state();
            ports.observer().transition(from, next, state);
            for (DestinationEffect effect : step.effects()) {
                perform(effect);
            }
        }
    }

    private void perform(DestinationEffect effect) {
        switch (effect) {
            case DestinationEffect.SendPrepared(Cookies.Prepared cookie) ->
                    ports.link().prepared(cookie);
            case DestinationEffect.OfferBase _ -> offerBase();
            case DestinationEffect.OfferSections(MemorySegment part) ->
                    ports.pages()
                            .base()
                            .ifPresent(base -> ports.arrival().offerSections(base, part));
            case DestinationEffect.BringUp(Feature feature) ->
                    followUps.add(
                            new DestinationEvent.FeatureTried(ports.arrival().bringUp(feature)));
            case DestinationEffect.TakeDown(FeatureReport up) ->
                    followUps.add(new DestinationEvent.FeatureDown(ports.arrival().takeDown(up)));
            case DestinationEffect.SendFinished(var reports) ->
                    ports.link().finished(new Cookies.Finished(Cookies.VERSION, reports));
            case DestinationEffect.TakeOver(long generation) -> takeOver(generation);
            case DestinationEffect.SendTakenOver(
                            long generation,
                            long runMicros,
                            long runAtNanos) ->
                    ports.link()
                            .takenOver(
                                    new Cookies.TakenOver(
                                            Cookies.VERSION,
                                            generation,
                                            runMicros,
                                            (ports.clock().nanos() - runAtNanos) / 1000));
            case DestinationEffect.StopReceiving _ ->
                    attempt("ending the connections of pages", ports.link()::stopReceiving);
            case DestinationEffect.Discard discard -> discard(discard);
            case DestinationEffect.Finish(DestinationOutcome outcome) -> finish(outcome);
        }
    }

    private void offerBase() {
        try {
            ports.pages().base().ifPresent(ports.arrival()::offerBase);
        } catch (ReplicationException e) {
            followUps.add(new DestinationEvent.Failed(e.getMessage()));
        }
    }

    private void takeOver(long generation) {
        long begun = ports.clock().nanos();
        switch (ports.arrival().run(generation)) {
            case Arrival.Run.Ran(Domain runs) -> {
                domain = Optional.of(runs);
                long now = ports.clock().nanos();
                followUps.add(new DestinationEvent.Runs((now - begun) / 1000, now));
            }
            case Arrival.Run.NeverRan(String reason) ->
                    followUps.add(new DestinationEvent.NeverRan(reason));
            case Arrival.Run.MayHaveRun(String reason) ->
                    followUps.add(new DestinationEvent.MayHaveRun(reason));
        }
    }

    private void discard(DestinationEffect.Discard discard) {
        attempt("freeing what arrived", ports.pages()::close);
        // Written down before it is said: once it was said the other copy may run.
        List<FeatureReport> reports = ports.arrival().discard(discard.reason(), discard.reports());
        ports.link().rolledBack(new Cookies.RolledBack(Cookies.VERSION, discard.reason(), reports));
    }

    private void finish(DestinationOutcome outcome) {
        domain.ifPresent(runs -> attempt("settling", () -> ports.arrival().settle(runs)));
        attempt("closing the link", ports.link()::close);
        attempt("freeing what arrived", ports.pages()::close);
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
