package holdfast.sim.world;

import holdfast.sim.check.Violation;
import holdfast.sim.check.Violation.Invariant;
import holdfast.sim.guest.Frame;
import holdfast.sim.guest.SimGuest;
import holdfast.sim.time.VirtualTime;

import java.util.HashMap;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.BiConsumer;

/**
 * The network outside: a client that numbers its requests, sends the next one when the last one is
 * acknowledged, and repeats what was not answered; and a switch that knows which copy announced
 * itself last.
 */
final class Client {
    private static final long NETWORK_NANOS = 150_000;
    private static final long REPEAT_NANOS = 15_000_000;
    private static final long THINK_NANOS = 800_000;

    private final VirtualTime time;
    private final SplittableRandom random;
    private final Map<Long, Long> answers = new HashMap<>();
    private SimGuest speaker;
    private BiConsumer<SimGuest, Frame> mirror = (_, _) -> {};
    private long waitingFor = 1;
    private long acknowledged;

    Client(VirtualTime time, SplittableRandom random, SimGuest speaker) {
        this.time = time;
        this.random = random;
        this.speaker = speaker;
        send(1);
    }

    /** The copy whose address the switch knows. */
    void announced(SimGuest copy) {
        speaker = copy;
    }

    /** Who sees the frames that reach a guest. */
    void mirrorTo(BiConsumer<SimGuest, Frame> sink) {
        mirror = sink;
    }

    long acknowledged() {
        return acknowledged;
    }

    /** All answers that ever left, by request. */
    Map<Long, Long> answers() {
        return answers;
    }

    private void send(long number) {
        if (number != waitingFor) {
            return;
        }
        time.after(
                NETWORK_NANOS / 2 + random.nextLong(NETWORK_NANOS),
                () -> {
                    Frame frame = new Frame(Frame.Kind.REQUEST, number, 0);
                    mirror.accept(speaker, frame);
                    speaker.receive(frame);
                });
        time.after(REPEAT_NANOS, () -> send(number));
    }

    /** A frame left for the network: from here on it was said. */
    void heard(SimGuest from, Frame frame) {
        Long before = answers.putIfAbsent(frame.number(), frame.value());
        if (before != null && before != frame.value()) {
            throw new Violation(
                    Invariant.I2,
                    from.name()
                            + " answers request "
                            + frame.number()
                            + " with "
                            + Long.toHexString(frame.value())
                            + ", but the network has heard "
                            + Long.toHexString(before));
        }
        time.after(
                NETWORK_NANOS / 2 + random.nextLong(NETWORK_NANOS), () -> deliver(frame.number()));
    }

    private void deliver(long number) {
        if (number == waitingFor) {
            acknowledged = number;
            waitingFor++;
            long next = waitingFor;
            time.after(random.nextLong(THINK_NANOS), () -> send(next));
        }
    }
}
