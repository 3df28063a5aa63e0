package holdfast.engine.output;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.port.OutputGate.Held;

import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.Tuple;

import org.junit.jupiter.api.Test;

import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

class HeldOutputTest {
    private static final long BOUND_BYTES = 600_000;

    @Test
    void aFrameThatFindsNoMemoryIsDroppedWholeAndTheNextOneIsIntact() {
        int[] left = {1};
        HeldOutput output =
                new HeldOutput(
                        10L * HeldOutput.CHUNK_BYTES,
                        () -> {
                            if (left[0]-- <= 0) {
                                throw new OutOfMemoryError("direct buffer memory");
                            }
                            return new HeldOutput.Chunk();
                        });
        int most = HeldOutput.CHUNK_BYTES - 100;
        assertThat(output.append(ByteBuffer.allocate(most))).isTrue();
        assertThat(output.append(ByteBuffer.allocate(500))).as("needs a second chunk").isFalse();
        assertThat(output.append(ByteBuffer.allocate(60))).isTrue();
        left[0] = 1;
        assertThat(output.append(ByteBuffer.wrap(new byte[] {1, 2, 3}))).isTrue();
        assertThat(output.append(ByteBuffer.allocate(500))).isTrue();
        assertThat(output.heldBytes()).isEqualTo(most + 60 + 3 + 500);
        assertThat(output.held().framesDropped()).isOne();

        output.closeEpoch(0);
        output.release(0);
        ByteBuffer[] ranges = new ByteBuffer[4];
        int count = output.batch(ranges);
        assertThat(count).isEqualTo(2);
        assertThat(ranges[0].get(most + 60 + 1)).isEqualTo((byte) 2);
        output.written(output.releasableBytes());
        assertThat(output.heldBytes()).isZero();
    }

    sealed interface Action {
        record Append(int frameBytes) implements Action {}

        record CloseNext() implements Action {}

        record CloseAgain() implements Action {}

        record Release(int epochsBack) implements Action {}

        record Write(int bytesMax) implements Action {}

        record ReleaseAll() implements Action {}

        record Discard() implements Action {}
    }

    private record ModelFrame(int number, long epoch, int bytes) {}

    @Provide
    @SuppressWarnings("unchecked") // jqwik takes the weights as a generic array
    Arbitrary<List<Action>> actions() {
        return Arbitraries.<Action>frequencyOf(
                        weighted(
                                20,
                                Arbitraries.integers().between(8, 70_000).map(Action.Append::new)),
                        weighted(20, Arbitraries.integers().between(8, 80).map(Action.Append::new)),
                        weighted(6, Arbitraries.just(new Action.CloseNext())),
                        weighted(2, Arbitraries.just(new Action.CloseAgain())),
                        weighted(8, Arbitraries.integers().between(0, 3).map(Action.Release::new)),
                        weighted(
                                10,
                                Arbitraries.integers().between(1, 300_000).map(Action.Write::new)),
                        weighted(1, Arbitraries.just(new Action.ReleaseAll())),
                        weighted(1, Arbitraries.just(new Action.Discard())))
                .list()
                .ofMaxSize(300);
    }

    private static Tuple.Tuple2<Integer, Arbitrary<? extends Action>> weighted(
            int weight, Arbitrary<? extends Action> actions) {
        return Tuple.of(weight, actions);
    }

    @Property(tries = 400)
    void everyFrameOfAReleasedEpochLeavesOnceInOrderAndNoOtherFrameLeaves(
            @ForAll("actions") List<Action> actions) {
        HeldOutput output = new HeldOutput(BOUND_BYTES);
        Model model = new Model();
        for (Action action : actions) {
            model.perform(output, action);
            assertThat(output.releasableBytes()).isEqualTo(model.releasableBytes());
            assertThat(output.held().bytes()).isEqualTo(model.heldBytes).isNotNegative();
            assertThat(output.held().bytesPeak()).isLessThanOrEqualTo(BOUND_BYTES);
            assertThat(output.held().framesDropped()).isEqualTo(model.dropped);
        }
        output.releaseAll();
        model.markAll();
        model.write(output, Integer.MAX_VALUE);
        assertThat(output.held().frames()).isZero();
        assertThat(output.held().bytes()).isZero();
        assertThat(output.storageBytes())
                .isLessThanOrEqualTo(
                        BOUND_BYTES + (HeldOutput.SPARE_CHUNKS_MAX + 2L) * HeldOutput.CHUNK_BYTES);
    }

    /** A list of frames and a cursor: what the queue must be equal to. */
    private static final class Model {
        private final Deque<ModelFrame> held = new ArrayDeque<>();
        private long epoch = 10;
        private long released = Long.MIN_VALUE;
        private int releasable;
        private int nextNumber;
        private long heldBytes;
        private long dropped;
        private int firstFrameBytesGone;

        void perform(HeldOutput output, Action action) {
            switch (action) {
                case Action.Append(int frameBytes) -> {
                    boolean fits = heldBytes + frameBytes <= BOUND_BYTES;
                    int number = nextNumber++;
                    assertThat(output.append(frame(number, frameBytes))).isEqualTo(fits);
                    if (fits) {
                        held.add(new ModelFrame(number, Long.MAX_VALUE, frameBytes));
                        heldBytes += frameBytes;
                    } else {
                        dropped++;
                    }
                }
                case Action.CloseNext _ -> {
                    epoch++;
                    output.closeEpoch(epoch);
                    assignOpen();
                }
                case Action.CloseAgain _ -> {
                    if (released >= epoch) {
                        assertThatThrownBy(() -> output.closeEpoch(epoch))
                                .isInstanceOf(IllegalStateException.class);
                    } else {
                        output.closeEpoch(epoch);
                        assignOpen();
                    }
                }
                case Action.Release(int epochsBack) -> {
                    released = Math.max(released, epoch - epochsBack);
                    output.release(epoch - epochsBack);
                    int count = 0;
                    int leaving = 0;
                    for (ModelFrame frame : held) {
                        count++;
                        if (frame.epoch <= released) {
                            leaving = count;
                        }
                    }
                    releasable = Math.max(releasable, leaving);
                }
                case Action.Write(int bytesMax) -> write(output, bytesMax);
                case Action.ReleaseAll _ -> {
                    output.releaseAll();
                    markAll();
                }
                case Action.Discard _ -> {
                    output.discard();
                    held.clear();
                    heldBytes = 0;
                    releasable = 0;
                    firstFrameBytesGone = 0;
                }
            }
        }

        void markAll() {
            releasable = held.size();
        }

        long releasableBytes() {
            return held.stream().limit(releasable).mapToLong(ModelFrame::bytes).sum()
                    - firstFrameBytesGone;
        }

        void write(HeldOutput output, int bytesMax) {
            ByteBuffer[] ranges = new ByteBuffer[8];
            int left = bytesMax;
            int entries;
            while (left > 0 && (entries = output.batch(ranges)) > 0) {
                int taken = 0;
                for (int i = 0; i < entries; i++) {
                    while (ranges[i].hasRemaining() && left > 0) {
                        expect(ranges[i].get());
                        taken++;
                        left--;
                    }
                }
                output.written(taken);
            }
        }

        private void expect(byte left) {
            ModelFrame first = held.element();
            assertThat(releasable).isPositive();
            if (left != content(first.number, firstFrameBytesGone)) {
                throw new AssertionError(
                        "frame " + first + " differs at byte " + firstFrameBytesGone);
            }
            heldBytes--;
            if (++firstFrameBytesGone == first.bytes) {
                held.remove();
                releasable--;
                firstFrameBytesGone = 0;
            }
        }

        private void assignOpen() {
            List<ModelFrame> assigned = new ArrayList<>();
            for (ModelFrame frame : held) {
                assigned.add(
                        frame.epoch == Long.MAX_VALUE
                                ? new ModelFrame(frame.number, epoch, frame.bytes)
                                : frame);
            }
            held.clear();
            held.addAll(assigned);
        }
    }

    @Test
    void aFrameThatFillsTheBoundExactlyIsHeldAndTheNextByteIsNot() {
        HeldOutput output = new HeldOutput(100);
        assertThat(output.append(frame(1, 60))).isTrue();
        assertThat(output.append(frame(2, 41))).isFalse();
        assertThat(output.append(frame(3, 40))).isTrue();
        assertThat(output.append(frame(4, 1))).isFalse();
        assertThat(output.held()).isEqualTo(new Held(2, 100, 100, 100, 2));
    }

    @Test
    void anOlderEpochCannotBeClosed() {
        HeldOutput output = new HeldOutput(100);
        output.closeEpoch(5);
        assertThatThrownBy(() -> output.closeEpoch(4)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void aReleaseInAdvanceLetsNothingOutAndForbidsTheEpoch() {
        HeldOutput output = new HeldOutput(100);
        output.append(frame(1, 10));
        output.release(7);
        assertThat(output.releasableBytes()).isZero();
        assertThatThrownBy(() -> output.closeEpoch(7)).isInstanceOf(IllegalStateException.class);
        output.closeEpoch(8);
        assertThat(output.releasableBytes()).isZero();
        output.release(8);
        assertThat(output.releasableBytes()).isEqualTo(10);
    }

    @Test
    void aSteadyStreamOfEpochsReusesItsStorage() {
        HeldOutput output = new HeldOutput(8 << 20);
        ByteBuffer[] ranges = new ByteBuffer[16];
        ByteBuffer frame = frame(0, 1500);
        long storageBytes = 0;
        for (long epoch = 1; epoch <= 2000; epoch++) {
            for (int i = 0; i < 100; i++) {
                output.append(frame.rewind());
            }
            output.closeEpoch(epoch);
            output.release(epoch);
            while (output.batch(ranges) > 0) {
                output.written(output.releasableBytes());
            }
            if (epoch == 10) {
                storageBytes = output.storageBytes();
            }
        }
        assertThat(output.storageBytes()).isEqualTo(storageBytes);
        assertThat(output.held().frames()).isZero();
    }

    private static ByteBuffer frame(int number, int bytes) {
        ByteBuffer frame = ByteBuffer.allocate(bytes);
        for (int i = 0; i < bytes; i++) {
            frame.put(content(number, i));
        }
        return frame.flip();
    }

    private static byte content(int number, int index) {
        return (byte) (number * 31 + index * 7 + (index >>> 8));
    }
}
