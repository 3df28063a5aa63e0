package holdfast.sim.guest;

import holdfast.engine.port.ReplicaDisks;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * A replica's disk that changes by whole committed epochs. What is durable outlives nothing here.
 */
public final class BufferedDisk implements ReplicaDisks {
    private record Write(long sector, long value) {}

    private final SimDisk image;
    private List<Write> running = new ArrayList<>();
    private List<Write> ended = List.of();
    private long endedEpoch = -1;
    private long committedEpoch = -1;
    private boolean synchronising = true;
    private boolean taking = true;

    /**
     * @param image of the disk
     */
    public BufferedDisk(SimDisk image) {
        this.image = image;
    }

    @Override
    public void write(int disk, long offsetBytes, ByteBuffer data) {
        put(offsetBytes / Long.BYTES, data.getLong(data.position()));
    }

    @Override
    public void writeZeroes(int disk, long offsetBytes, long lengthBytes) {
        put(offsetBytes / Long.BYTES, 0);
    }

    private void put(long sector, long value) {
        if (!taking) {
            return;
        }
        if (synchronising) {
            image.write(sector, value);
        } else {
            running.add(new Write(sector, value));
        }
    }

    @Override
    public void boundary(long epoch) {
        if (!taking) {
            return;
        }
        if (epoch != endedEpoch + 1 || endedEpoch != committedEpoch) {
            throw new IllegalStateException(
                    "boundary " + epoch + " after " + endedEpoch + ", committed " + committedEpoch);
        }
        synchronising = false;
        endedEpoch = epoch;
        ended = running;
        running = new ArrayList<>();
    }

    @Override
    public void commit(long epoch) {
        if (epoch != endedEpoch) {
            throw new IllegalStateException("commit " + epoch + " of " + endedEpoch);
        }
        committedEpoch = epoch;
    }

    @Override
    public void apply(long epoch) {
        if (epoch != committedEpoch) {
            throw new IllegalStateException("apply " + epoch + " of " + committedEpoch);
        }
        ended.forEach(write -> image.write(write.sector(), write.value()));
        ended = List.of();
    }

    @Override
    public void discardPartial() {
        taking = false;
        running = new ArrayList<>();
    }

    @Override
    public void settle() {
        taking = false;
    }

    @Override
    public void close() {
        taking = false;
    }
}
