package holdfast.sim.time;

import holdfast.engine.port.Clock;

import java.util.Comparator;
import java.util.PriorityQueue;

/**
 * The only clock of a simulation: it stands still while something happens and jumps to whatever is
 * due next. Two things due at one instant happen in the order in which they were asked for.
 */
public final class VirtualTime implements Clock {
    private record Due(long nanos, long order, Runnable action) {}

    private final PriorityQueue<Due> due =
            new PriorityQueue<>(Comparator.comparingLong(Due::nanos).thenComparingLong(Due::order));
    private long now;
    private long order;

    @Override
    public long nanos() {
        return now;
    }

    /** Runs {@code action} when {@code delayNanos} have passed. */
    public void after(long delayNanos, Runnable action) {
        at(now + delayNanos, action);
    }

    /** Runs {@code action} at {@code nanos}, or as soon as possible where that has passed. */
    public void at(long nanos, Runnable action) {
        due.add(new Due(Math.max(now, nanos), order++, action));
    }

    /** Goes to what is due next and runs it; false where nothing is due up to {@code endNanos}. */
    public boolean step(long endNanos) {
        Due next = due.peek();
        if (next == null || next.nanos() > endNanos) {
            now = Math.max(now, endNanos);
            return false;
        }
        due.remove();
        now = next.nanos();
        next.action().run();
        return true;
    }
}
