package holdfast.sim.link;

import holdfast.sim.time.VirtualTime;

import java.util.SplittableRandom;

/**
 * The control connection of two simulated nodes: both ways in order, with heartbeats that run from
 * the start, and all that can befall a TCP connection.
 */
public final class ControlConnection {
    /** The two ends. */
    public enum Side {
        PRIMARY,
        SECONDARY;

        public Side other() {
            return this == PRIMARY ? SECONDARY : PRIMARY;
        }
    }

    /** What an end reports; called between steps of the session, never inside one. */
    public interface Listener {
        /** A message other than heartbeats and goodbyes. */
        void message(ControlMessage message);

        /** The peer is gone or silent. Once at most. */
        void lost(String reason);

        /** What came was damaged. */
        void violated(String reason);

        /** Whether this end's node still runs. */
        boolean alive();
    }

    /** Sees traffic other than heartbeats, to strike at a chosen message. */
    public interface Tap {
        void sent(Side from, ControlMessage message);

        /** After the receiver has been given it. */
        void received(Side by, ControlMessage message);
    }

    /** What a damaged message does to those that follow it. */
    public enum Damage {
        /** This message alone is lost, and noticed. */
        BODY,
        /** Where the next message begins is unknown from here on. */
        FRAMING
    }

    private enum Phase {
        OPEN,
        CLOSING,
        DOWN
    }

    /** One end and the direction toward it. */
    private static final class End {
        private Listener listener;
        private Phase phase = Phase.OPEN;
        private long heardNanos;
        private long newestArrivalNanos;
        private long stalledUntilNanos;
        private long lostFromNanos = Long.MAX_VALUE;
        private long damageIndex = -1;
        private Damage damage = Damage.BODY;
        private boolean framingLost;
        private long arrived;
    }

    private final VirtualTime time;
    private final SplittableRandom random;
    private final LinkShape shape;
    private final Tap tap;
    private final End[] ends = {new End(), new End()};

    public ControlConnection(VirtualTime time, SplittableRandom random, LinkShape shape, Tap tap) {
        this.time = time;
        this.random = random;
        this.shape = shape;
        this.tap = tap;
    }

    /** Begins with heartbeats. */
    public void start(Listener primary, Listener secondary) {
        end(Side.PRIMARY).listener = primary;
        end(Side.SECONDARY).listener = secondary;
        for (Side side : Side.values()) {
            end(side).heardNanos = time.nanos();
            beat(side);
        }
    }

    private End end(Side side) {
        return ends[side.ordinal()];
    }

    private void beat(Side side) {
        End end = end(side);
        if (end.phase != Phase.OPEN || !end.listener.alive()) {
            return;
        }
        if (time.nanos() - end.heardNanos >= shape.deadlineNanos()) {
            goDown(end, "nothing was heard for " + (time.nanos() - end.heardNanos) / 1000 + " us");
            return;
        }
        put(side, new ControlMessage.Heartbeat());
        time.after(shape.heartbeatNanos(), () -> beat(side));
    }

    /** Sends in order; nothing happens where this end is closed or down. */
    public void send(Side from, ControlMessage message) {
        if (end(from).phase != Phase.OPEN) {
            return;
        }
        put(from, message);
        tap.sent(from, message);
    }

    private void put(Side from, ControlMessage message) {
        End to = end(from.other());
        long arrival =
                Math.max(time.nanos(), to.stalledUntilNanos)
                        + shape.delayNanos()
                        + random.nextLong(shape.jitterNanos() + 1);
        to.newestArrivalNanos = Math.max(to.newestArrivalNanos, arrival);
        time.at(to.newestArrivalNanos, () -> arrive(from.other(), message));
    }

    private void arrive(Side at, ControlMessage message) {
        End end = end(at);
        if (end.phase == Phase.DOWN || !end.listener.alive() || time.nanos() >= end.lostFromNanos) {
            return;
        }
        if (time.nanos() < end.stalledUntilNanos) {
            // A stall that began while this was under way; what follows queues behind it.
            time.at(end.stalledUntilNanos, () -> arrive(at, message));
            return;
        }
        end.heardNanos = time.nanos();
        if (end.framingLost) {
            if (message instanceof ControlMessage.Close) {
                goDown(end, "it ended the connection without a goodbye");
            }
            return;
        }
        switch (message) {
            case ControlMessage.Heartbeat _ -> {}
            case ControlMessage.Close(String reason) ->
                    goDown(end, "it closed the link: " + reason);
            default -> deliver(at, end, message);
        }
    }

    private void deliver(Side at, End end, ControlMessage message) {
        if (end.arrived++ == end.damageIndex) {
            end.framingLost = end.damage == Damage.FRAMING;
            end.listener.violated("the checksum of a control frame is wrong");
        } else if (end.phase == Phase.OPEN) {
            end.listener.message(message);
        }
        tap.received(at, message);
    }

    /** Says goodbye and closes this end. */
    public void close(Side side, String reason) {
        End end = end(side);
        if (end.phase == Phase.OPEN) {
            put(side, new ControlMessage.Close(reason));
            end.phase = Phase.CLOSING;
            time.after(shape.deadlineNanos(), () -> end.phase = Phase.DOWN);
        }
    }

    public boolean isDown(Side side) {
        return end(side).phase == Phase.DOWN;
    }

    /** Message number {@code index} toward {@code side} arrives damaged. */
    public void damage(Side side, long index, Damage damage) {
        end(side).damageIndex = index;
        end(side).damage = damage;
    }

    /** Nothing arrives at {@code side} for a while; then everything does, in order. */
    public void stall(Side side, long nanos) {
        end(side).stalledUntilNanos = Math.max(end(side).stalledUntilNanos, time.nanos() + nanos);
    }

    /** Breaks the connection; both ends notice soon, each at its own time. */
    public void cut(String reason) {
        for (Side side : Side.values()) {
            time.after(
                    random.nextLong(shape.delayNanos() + shape.jitterNanos() + 1),
                    () -> goDown(end(side), reason));
        }
    }

    /** How the other node learns of a crash. */
    public enum Farewell {
        /** A kernel or a switch resets the connection. */
        RESET,
        /** Nobody says anything. */
        SILENCE
    }

    /**
     * The node at {@code side} is gone.
     *
     * @param lostFromNanos what would arrive from then on never left
     */
    public void crashed(Side side, Farewell farewell, long lostFromNanos) {
        end(side).phase = Phase.DOWN;
        End other = end(side.other());
        other.lostFromNanos = lostFromNanos;
        if (farewell == Farewell.RESET) {
            time.at(
                    Math.max(time.nanos() + shape.delayNanos(), other.newestArrivalNanos),
                    () -> goDown(other, "the connection was reset"));
        }
    }

    private void goDown(End end, String reason) {
        if (end.phase == Phase.DOWN) {
            return;
        }
        boolean planned = end.phase == Phase.CLOSING;
        end.phase = Phase.DOWN;
        if (!planned && end.listener.alive()) {
            end.listener.lost(reason);
        }
    }
}
