package holdfast.engine.disk;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** The batches of one epoch, in the order of the guest's writes. */
public final class BufferedEpoch {
    private final long epoch;
    private final ArrayList<EpochBatch> batches = new ArrayList<>();

    BufferedEpoch(long epoch) {
        this.epoch = epoch;
    }

    public long epoch() {
        return epoch;
    }

    public List<EpochBatch> batches() {
        return Collections.unmodifiableList(batches);
    }

    EpochBatch add(java.nio.ByteBuffer memory) {
        EpochBatch batch = new EpochBatch(epoch, batches.size(), memory);
        batches.add(batch);
        return batch;
    }

    long bytes() {
        long sum = 0;
        for (EpochBatch batch : batches) {
            sum += batch.bytes();
        }
        return sum;
    }
}
