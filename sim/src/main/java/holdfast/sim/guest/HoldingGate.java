package holdfast.sim.guest;

import holdfast.engine.output.HeldOutput;
import holdfast.engine.port.OutputGate;

import java.nio.ByteBuffer;
import java.util.function.Consumer;

/** Holds a simulated guest's frames in the engine's own queue. */
public final class HoldingGate implements OutputGate {
    /** Whose hands the guest's output is in. */
    public enum Stage {
        /** Held here. */
        HOLDING,
        /** Ended in order: output flows by itself. */
        DETACHED,
        /** Given up: nothing leaves any more. */
        CLOSED
    }

    private static final long BYTES_MAX = 64 << 10;

    private final SimGuest guest;
    private final Consumer<Frame> network;
    private final HeldOutput held = new HeldOutput(BYTES_MAX);
    private final ByteBuffer[] batch = new ByteBuffer[4];
    private Stage stage = Stage.HOLDING;

    /**
     * @param network where frames leave to
     */
    public HoldingGate(SimGuest guest, Consumer<Frame> network) {
        this.guest = guest;
        this.network = network;
        guest.connectOutput(frame -> held.append(frame.encode()));
    }

    public Stage stage() {
        return stage;
    }

    @Override
    public void closeEpoch(long epoch) {
        held.closeEpoch(epoch);
    }

    @Override
    public void release(long epoch) {
        held.release(epoch);
        letOut();
    }

    @Override
    public Held held() {
        return held.held();
    }

    @Override
    public void detach() {
        if (stage != Stage.HOLDING) {
            return;
        }
        stage = Stage.DETACHED;
        held.releaseAll();
        letOut();
        guest.connectOutput(network);
    }

    @Override
    public void close() {
        if (stage == Stage.HOLDING) {
            stage = Stage.CLOSED;
            held.discard();
            guest.connectOutput(_ -> {});
        }
    }

    /** Frames are joined first: one may lie across two ranges. */
    private void letOut() {
        ByteBuffer joined = ByteBuffer.allocate(Math.toIntExact(held.releasableBytes()));
        for (int count = held.batch(batch); count > 0; count = held.batch(batch)) {
            long bytes = 0;
            for (int i = 0; i < count; i++) {
                bytes += batch[i].remaining();
                joined.put(batch[i]);
            }
            held.written(bytes);
        }
        joined.flip();
        while (joined.hasRemaining()) {
            network.accept(Frame.decode(joined));
        }
    }
}
