package holdfast.engine.output;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.port.InboundFrames;

import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.Tuple;

import org.junit.jupiter.api.Test;

import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;

class InboundLogTest {
    private static final int BOUND_BYTES = 200_000;

    sealed interface Action {
        record Append(int frameBytes) implements Action {}

        record NextEpoch() implements Action {}

        record Commit(int epochsBack) implements Action {}

        record Drain() implements Action {}
    }

    private record Kept(int number, long epoch, int bytes) {
        int recordBytes() {
            return bytes + InboundLog.RECORD_HEADER_BYTES;
        }
    }

    @Provide
    @SuppressWarnings("unchecked") // jqwik takes the weights as a generic array
    Arbitrary<List<Action>> actions() {
        return Arbitraries.<Action>frequencyOf(
                        Tuple.of(
                                10,
                                Arbitraries.integers()
                                        .between(0, 60_000)
                                        .map(bytes -> (Action) new Action.Append(bytes))),
                        Tuple.of(
                                10,
                                Arbitraries.integers()
                                        .between(0, 100)
                                        .map(bytes -> (Action) new Action.Append(bytes))),
                        Tuple.of(4, Arbitraries.just((Action) new Action.NextEpoch())),
                        Tuple.of(
                                2,
                                Arbitraries.integers()
                                        .between(0, 3)
                                        .map(back -> (Action) new Action.Commit(back))),
                        Tuple.of(1, Arbitraries.just((Action) new Action.Drain())))
                .list()
                .ofMaxSize(200);
    }

    @Property(tries = 400)
    void whatCameInAfterTheCommittedEpochIsKeptInOrderAndTheOldestGivesWay(
            @ForAll("actions") List<Action> actions) {
        InboundLog log = new InboundLog(BOUND_BYTES);
        Deque<Kept> model = new ArrayDeque<>();
        long epoch = 0;
        long committed = Long.MIN_VALUE;
        long keptBytes = 0;
        long dropped = 0;
        int number = 0;
        for (Action action : actions) {
            switch (action) {
                case Action.Append(int bytes) -> {
                    log.append(epoch, number % 3, Math.min(bytes, 12), frame(number, bytes));
                    if (epoch > committed) {
                        Kept added = new Kept(number, epoch, bytes);
                        while (keptBytes + added.recordBytes() > BOUND_BYTES) {
                            keptBytes -= model.remove().recordBytes();
                            dropped++;
                        }
                        model.add(added);
                        keptBytes += added.recordBytes();
                    }
                    number++;
                }
                case Action.NextEpoch _ -> epoch++;
                case Action.Commit(int back) -> {
                    committed = Math.max(committed, epoch - back);
                    log.commit(epoch - back);
                    while (!model.isEmpty() && model.element().epoch <= committed) {
                        keptBytes -= model.remove().recordBytes();
                    }
                }
                case Action.Drain _ -> {
                    assertEqual(log.drain(), model);
                    model.clear();
                    keptBytes = 0;
                }
            }
            assertThat(log.kept())
                    .isEqualTo(new InboundLog.Kept(model.size(), keptBytes, BOUND_BYTES, dropped));
        }
        assertEqual(log.drain(), model);
        assertThat(log.kept().bytes()).isZero();
    }

    private static void assertEqual(InboundFrames frames, Deque<Kept> model) {
        assertThat(frames.frames()).hasSize(model.size());
        int index = 0;
        for (Kept kept : model) {
            InboundFrames.Frame frame = frames.frames().get(index++);
            assertThat(frame.nic()).isEqualTo(kept.number % 3);
            assertThat(frame.vnetHeaderBytes()).isEqualTo(Math.min(kept.bytes, 12));
            assertThat(frame.bytes()).isEqualTo(frame(kept.number, kept.bytes));
            assertThat(frame.bytes().isReadOnly()).isTrue();
        }
    }

    @Test
    void theVisitorSeesEpochsInOrder() {
        InboundLog log = new InboundLog(BOUND_BYTES);
        log.append(3, 0, 12, frame(1, 64));
        log.append(4, 1, 0, frame(2, 64));
        StringBuilder seen = new StringBuilder();
        log.drain(
                (epoch, nic, vnetHeaderBytes, frame) ->
                        seen.append(epoch)
                                .append(' ')
                                .append(nic)
                                .append(' ')
                                .append(vnetHeaderBytes)
                                .append(' ')
                                .append(frame.remaining())
                                .append(';'));
        assertThat(seen).hasToString("3 0 12 64;4 1 0 64;");
    }

    @Test
    void framesOutOfRangeAreRefused() {
        InboundLog log = new InboundLog(BOUND_BYTES);
        assertThatThrownBy(() -> log.append(1, 0, 13, frame(1, 12)))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> log.append(1, -1, 0, frame(1, 12)))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> log.append(1, 0, 0, frame(1, InboundLog.FRAME_BYTES_MAX + 1)))
                .isInstanceOf(IllegalArgumentException.class);
        log.append(2, 0, 0, frame(1, InboundLog.FRAME_BYTES_MAX));
        assertThatThrownBy(() -> log.append(1, 0, 0, frame(1, 12)))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(
                        () ->
                                new InboundLog(
                                        InboundLog.FRAME_BYTES_MAX
                                                + InboundLog.RECORD_HEADER_BYTES
                                                - 1))
                .isInstanceOf(IllegalArgumentException.class);
    }

    private static ByteBuffer frame(int number, int bytes) {
        ByteBuffer frame = ByteBuffer.allocate(bytes);
        for (int i = 0; i < bytes; i++) {
            frame.put((byte) (number * 31 + i * 7));
        }
        return frame.flip();
    }
}
