package holdfast.node;

import holdfast.engine.port.DeviceState;
import holdfast.engine.port.Domain;
import holdfast.engine.port.StateSave;
import holdfast.qemu.memory.GuestActivity;
import holdfast.qemu.net.GuestStop;

import java.util.EnumSet;
import java.util.Optional;
import java.util.Set;

/**
 * A domain that several parties may want suspended: it runs only while none does. The session sees
 * it as an ordinary domain; its resume after a checkpoint does not undo an operator's pause, and an
 * operator's word never lets a guest run in the middle of a checkpoint.
 */
final class OperatedDomain implements Domain, GuestActivity {
    /** Who wants it suspended. */
    enum Hold {
        /** A checkpoint is being taken. */
        SESSION,
        /** Filters are being taken out of its NICs. */
        DETACHING,
        /** It is slowed down. */
        THROTTLE,
        /** A person wants it so. */
        OPERATOR,
        /** It is not decided whether this copy may run. */
        UNDECIDED
    }

    private final Domain domain;
    private final Set<Hold> holds = EnumSet.noneOf(Hold.class);

    /** Of the session's latest pause. */
    private Optional<String> disturbance = Optional.empty();

    /**
     * @param domain running, unless {@code held} says otherwise
     */
    OperatedDomain(Domain domain, Set<Hold> held) {
        this.domain = domain;
        this.holds.addAll(held);
    }

    @Override
    public String name() {
        return domain.name();
    }

    @Override
    public void suspend() {
        hold(Hold.SESSION);
    }

    @Override
    public synchronized void suspendForHandOver() {
        domain.suspendForHandOver();
        holds.add(Hold.SESSION);
    }

    @Override
    public synchronized void resume() {
        release(Hold.SESSION);
        // At once: another holder's stop begins another pause, of which the session knows nothing.
        disturbance = domain.disturbance();
    }

    /** Stops that leave an operator's pause alone. */
    GuestStop detaching() {
        return new GuestStop() {
            @Override
            public void begin() {
                hold(Hold.DETACHING);
            }

            @Override
            public void end() {
                release(Hold.DETACHING);
            }
        };
    }

    /** It is decided that this copy runs, and no session stands in its way: only a person may. */
    synchronized void goOn() {
        holds.retainAll(EnumSet.of(Hold.OPERATOR));
        if (holds.isEmpty()) {
            domain.resume();
        }
    }

    synchronized void hold(Hold hold) {
        // A checkpoint's pause is one: whether the guest stood still in it is asked at its end.
        if (!holds.contains(Hold.SESSION)) {
            domain.suspend();
        }
        holds.add(hold);
    }

    synchronized void release(Hold hold) {
        holds.remove(hold);
        if (holds.isEmpty()) {
            domain.resume();
        }
    }

    synchronized boolean isHeld(Hold hold) {
        return holds.contains(hold);
    }

    /** Suspended until the caller's checkpoint is over only if a checkpoint is what holds it. */
    @Override
    public synchronized State now() {
        return holds.contains(Hold.SESSION) ? State.SUSPENDED : State.RUNNING;
    }

    /** Of the session's latest pause that is over. */
    @Override
    public synchronized Optional<String> disturbance() {
        return disturbance;
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
