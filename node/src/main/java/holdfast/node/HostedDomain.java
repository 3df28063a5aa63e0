package holdfast.node;

import holdfast.engine.ReplicationException;
import holdfast.engine.reprotect.ReprotectionState;
import holdfast.node.api.ApiException;
import holdfast.node.api.DomainStatus;
import holdfast.node.session.RemusPrimary;
import holdfast.node.session.RemusSecondary;
import holdfast.node.session.Telling;
import holdfast.node.store.ProtectionWish;
import holdfast.qemu.domain.QemuDomain;
import holdfast.qemu.launch.DomainSpec;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.EnumSet;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.UnaryOperator;

/**
 * One domain on this node. Everybody reads its newest {@link View}; an operator's operation holds
 * {@link #operation} from begin to end; sessions replace the view when something becomes of them.
 */
final class HostedDomain {
    private static final Logger LOG = LoggerFactory.getLogger(HostedDomain.class);
    private static final long LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(200);

    /** A QEMU of this domain that runs here. */
    record Body(QemuDomain qemu, OperatedDomain operated, DomainPlace place) {
        /** Holds that were in force when the daemon met it. */
        static Body of(QemuDomain qemu, DomainPlace place, Set<OperatedDomain.Hold> holds) {
            return new Body(qemu, new OperatedDomain(qemu, holds), place);
        }

        static Body running(QemuDomain qemu, DomainPlace place) {
            return of(qemu, place, EnumSet.noneOf(OperatedDomain.Hold.class));
        }
    }

    /** The newest session here, running or over. */
    sealed interface Session {
        record None() implements Session {}

        record Primary(RemusPrimary session, boolean holdOutput) implements Session {}

        record Secondary(RemusSecondary session) implements Session {}
    }

    /**
     * @param origin whether this node started its QEMU
     * @param change grows with every replacement
     */
    record View(
            DomainSpec spec,
            DomainStatus.State state,
            DomainStatus.Role role,
            long generation,
            holdfast.node.store.DomainRuntime.Origin origin,
            Optional<Body> body,
            Session session,
            Optional<DomainStatus.Event> event,
            long change) {
        View with(DomainStatus.State newState, DomainStatus.Role newRole) {
            return new View(
                    spec, newState, newRole, generation, origin, body, session, event, change);
        }

        View with(Session newSession) {
            return new View(spec, state, role, generation, origin, body, newSession, event, change);
        }

        View with(Optional<Body> newBody) {
            return new View(spec, state, role, generation, origin, newBody, session, event, change);
        }

        View withGeneration(long newGeneration) {
            return new View(spec, state, role, newGeneration, origin, body, session, event, change);
        }

        View telling(String text) {
            return new View(
                    spec,
                    state,
                    role,
                    generation,
                    origin,
                    body,
                    session,
                    Optional.of(
                            new DomainStatus.Event(
                                    Instant.now().truncatedTo(ChronoUnit.MILLIS).toString(), text)),
                    change);
        }

        private View numbered(long number) {
            return new View(spec, state, role, generation, origin, body, session, event, number);
        }

        /** Whether a QEMU or a session of this domain is here. */
        boolean isLive() {
            return state != DomainStatus.State.ENDED;
        }
    }

    final ReentrantLock operation = new ReentrantLock();
    private final String name;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private volatile View view;
    private volatile Optional<ProtectionWish> wish = Optional.empty();
    private volatile ReprotectionState reprotection = new ReprotectionState.Off();
    private volatile Optional<Migration> migration = Optional.empty();
    private volatile Optional<DomainSaving> saving = Optional.empty();

    HostedDomain(
            DomainSpec spec,
            DomainStatus.State state,
            DomainStatus.Role role,
            long generation,
            holdfast.node.store.DomainRuntime.Origin origin) {
        this.name = spec.name();
        this.view =
                new View(
                        spec,
                        state,
                        role,
                        generation,
                        origin,
                        Optional.empty(),
                        new Session.None(),
                        Optional.empty(),
                        1);
    }

    String name() {
        return name;
    }

    View view() {
        return view;
    }

    /** Whether and how the domain is to stay protected. */
    Optional<ProtectionWish> wish() {
        return wish;
    }

    /** For whoever makes this domain known, and from then on for its {@link Reprotector} alone. */
    void wish(Optional<ProtectionWish> newWish) {
        wish = newWish;
    }

    /** What is done so that it stays protected. */
    ReprotectionState reprotection() {
        return reprotection;
    }

    /** For its {@link Reprotector} alone. */
    void reprotection(ReprotectionState newState) {
        reprotection = newState;
    }

    /** The newest migration from or to here, running or over. */
    Optional<Migration> migration() {
        return migration;
    }

    /** The save that runs now. */
    Optional<DomainSaving> saving() {
        return saving;
    }

    void saving(Optional<DomainSaving> now) {
        saving = now;
    }

    /** Begins one. */
    void migration(Migration begun) {
        migration = Optional.of(begun);
        replace(v -> v);
    }

    View replace(UnaryOperator<View> change) {
        return replace(change, Telling.AT_ONCE);
    }

    /** The one place where the view is replaced. */
    View replace(UnaryOperator<View> change, Telling telling) {
        lock.lock();
        try {
            View before = view;
            View after = change.apply(before).numbered(before.change() + 1);
            view = after;
            switch (telling) {
                case AT_ONCE -> changed.signalAll();
                case WHEN_ASKED -> {}
            }
            if (before.state() != after.state() || before.role() != after.role()) {
                LOG.info(
                        "event=domain domain={} from={}/{} to={}/{} note=\"{}\"",
                        name,
                        before.role().text(),
                        before.state().text(),
                        after.role().text(),
                        after.state().text(),
                        after.event().map(DomainStatus.Event::text).orElse(""));
            }
            return after;
        } finally {
            lock.unlock();
        }
    }

    /** Waits for a newer view than number {@code after}. */
    View await(long after, long millis) {
        long left = TimeUnit.MILLISECONDS.toNanos(millis);
        lock.lock();
        try {
            while (view.change() <= after && left > 0) {
                // In parts: of some changes nobody is woken.
                long part = Math.min(left, LOOK_NANOS);
                left -= part - changed.awaitNanos(part);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            lock.unlock();
        }
        return view;
    }

    /** Ends the operation, if it is the calling thread's. */
    void endOwnOperation() {
        if (operation.isHeldByCurrentThread()) {
            operation.unlock();
        }
    }

    /** The running QEMU of an operation that needs one. */
    Body requireBody() {
        return view.body()
                .orElseThrow(
                        () ->
                                ApiException.badRequest(
                                        "domain \""
                                                + name
                                                + "\" does not run here; it is "
                                                + view.state().text()
                                                + view.event()
                                                        .map(event -> ": " + event.text())
                                                        .orElse("")));
    }

    /**
     * Lets go of the body: its process is gone or about to be ended here. Returns whether there was
     * one.
     */
    boolean removeBody() {
        Optional<Body> body;
        lock.lock();
        try {
            body = view.body();
            view = view.with(Optional.<Body>empty()).numbered(view.change() + 1);
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        body.ifPresent(this::end);
        return body.isPresent();
    }

    private void end(Body body) {
        try {
            body.qemu().destroy();
        } catch (ReplicationException e) {
            LOG.error(
                    "event=not-ended domain={} pid={} reason=\"{}\" next=\"end that process\"",
                    name,
                    body.qemu().qemu().process().pid(),
                    e.getMessage());
        }
        try {
            body.qemu().close();
        } catch (ReplicationException | IllegalStateException e) {
            LOG.warn("event=not-closed domain={} reason=\"{}\"", name, e.getMessage());
        }
        // Of an attached domain this is what was added to it: its RAM file and monitor stay.
        body.place().remove();
    }
}
