package holdfast.node.session;

import holdfast.engine.port.Timer;

import java.util.ArrayDeque;
import java.util.Optional;
import java.util.PriorityQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * The events of one session. What the guest, the peer and timers say comes before what operators
 * ask. Timers are part of the same wait, so that an interval ends on the owner's thread without a
 * hand-over. Bounded: what finds no room is replaced by one event that says so.
 *
 * @param <E> the session's events
 */
final class SessionQueue<E> implements Timer<E> {
    /** Far more than a session causes between two looks; reaching it means that its owner hangs. */
    static final int EVENTS_MAX = 4096;

    static final int REQUESTS_MAX = 64;

    private record Due<E>(long atNanos, long number, E event) implements Comparable<Due<E>> {
        @Override
        public int compareTo(Due<E> other) {
            int byTime = Long.signum(atNanos - other.atNanos);
            return byTime != 0 ? byTime : Long.compare(number, other.number);
        }
    }

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final ArrayDeque<E> events = new ArrayDeque<>();
    private final ArrayDeque<E> requests = new ArrayDeque<>();
    private final PriorityQueue<Due<E>> timers = new PriorityQueue<>();
    private final E overflow;
    private long timerNumber;
    private boolean overflowed;

    /**
     * @param overflow delivered once, after what is queued, when there was no room for an event
     */
    SessionQueue(E overflow) {
        this.overflow = overflow;
    }

    /** Queues what happened; never blocks. */
    void post(E event) {
        lock.lock();
        try {
            if (events.size() < EVENTS_MAX) {
                events.add(event);
            } else {
                overflowed = true;
            }
            changed.signal();
        } finally {
            lock.unlock();
        }
    }

    /** Queues what an operator wants; false if too many such wait already. */
    boolean request(E event) {
        lock.lock();
        try {
            if (requests.size() >= REQUESTS_MAX) {
                return false;
            }
            requests.add(event);
            changed.signal();
            return true;
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void after(long delayNanos, E event) {
        lock.lock();
        try {
            timers.add(new Due<>(System.nanoTime() + delayNanos, timerNumber++, event));
            changed.signal();
        } finally {
            lock.unlock();
        }
    }

    /** The next event; waits for it at most {@code limitNanos}. */
    Optional<E> take(long limitNanos) throws InterruptedException {
        long until = System.nanoTime() + limitNanos;
        lock.lock();
        try {
            while (true) {
                E event = events.poll();
                if (event != null) {
                    return Optional.of(event);
                }
                if (overflowed) {
                    overflowed = false;
                    return Optional.of(overflow);
                }
                long now = System.nanoTime();
                Due<E> due = timers.peek();
                if (due != null && due.atNanos() - now <= 0) {
                    timers.remove();
                    return Optional.of(due.event());
                }
                E request = requests.poll();
                if (request != null) {
                    return Optional.of(request);
                }
                long wait = until - now;
                if (due != null) {
                    wait = Math.min(wait, due.atNanos() - now);
                }
                if (wait <= 0) {
                    return Optional.empty();
                }
                changed.await(wait, TimeUnit.NANOSECONDS);
            }
        } finally {
            lock.unlock();
        }
    }
}
