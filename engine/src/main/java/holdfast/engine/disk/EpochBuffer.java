package holdfast.engine.disk;

import holdfast.engine.DiskException;

import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;

/**
 * The epochs between a guest's write and the images: at most two open ones, and committed ones that
 * wait to be applied. Bounded memory; who finds none writes the oldest batches to the journal.
 * Confined to whoever holds the caller's lock, but for the contents of the batch that is filled.
 */
public final class EpochBuffer {
    private final int batchesMax;
    private final Supplier<ByteBuffer> allocate;
    private int allocated;
    private final ArrayDeque<ByteBuffer> free = new ArrayDeque<>();

    /** Full, in memory alone, in the order of the guest's writes. */
    private final ArrayDeque<EpochBatch> unwritten = new ArrayDeque<>();

    /** In the journal, and in memory too. */
    private final ArrayDeque<EpochBatch> kept = new ArrayDeque<>();

    private final ArrayDeque<BufferedEpoch> committed = new ArrayDeque<>();
    private Optional<BufferedEpoch> closing = Optional.empty();
    private BufferedEpoch running;
    private Optional<EpochBatch> filling = Optional.empty();
    private long committedBytes;

    /**
     * @param epoch the first one
     * @param batchesMax batches in memory, at least 3: one is filled, one is applied
     * @param allocate memory of one batch; never given back
     */
    public EpochBuffer(long epoch, int batchesMax, Supplier<ByteBuffer> allocate) {
        if (batchesMax < 3) {
            throw new IllegalArgumentException(batchesMax + " batches");
        }
        this.batchesMax = batchesMax;
        this.allocate = allocate;
        running = new BufferedEpoch(epoch);
    }

    /** The batch to put the next write into, where there is one. */
    public Optional<EpochBatch> filling() {
        return filling;
    }

    /**
     * The batch that is filled is full: begins another.
     *
     * @return empty when there is no memory: then some of {@link #oldestUnwritten} must be written
     */
    public Optional<EpochBatch> nextBatch() {
        sealFilling();
        Optional<ByteBuffer> memory = takeMemory();
        filling = memory.map(running::add);
        return filling;
    }

    private void sealFilling() {
        filling.ifPresent(unwritten::add);
        filling = Optional.empty();
    }

    private Optional<ByteBuffer> takeMemory() {
        if (!free.isEmpty()) {
            return Optional.of(free.pop());
        }
        if (allocated < batchesMax) {
            allocated++;
            return Optional.of(allocate.get());
        }
        // The newest: the oldest will be applied next.
        for (Iterator<EpochBatch> newest = kept.descendingIterator(); newest.hasNext(); ) {
            EpochBatch batch = newest.next();
            if (!batch.lent) {
                newest.remove();
                return Optional.of(batch.giveUpMemory());
            }
        }
        return Optional.empty();
    }

    /** Full batches that are in memory alone, oldest first, about as much as {@code bytes}. */
    public List<EpochBatch> oldestUnwritten(long bytes) {
        List<EpochBatch> some = new ArrayList<>();
        long sum = 0;
        for (EpochBatch batch : unwritten) {
            if (sum >= bytes) {
                break;
            }
            some.add(batch);
            sum += batch.bytes();
        }
        return some;
    }

    /** The oldest unwritten batches were written, each at its place. */
    public void written(List<EpochBatch> batches, List<JournalPlace> places) {
        for (int i = 0; i < batches.size(); i++) {
            EpochBatch batch = batches.get(i);
            if (unwritten.poll() != batch) {
                throw new IllegalStateException("written out of order");
            }
            batch.place = Optional.of(places.get(i));
            kept.add(batch);
        }
    }

    /**
     * All writes of {@code epoch} were put.
     *
     * @throws DiskException unless it is the running epoch and the one before is committed
     */
    public void boundary(long epoch) {
        if (epoch != running.epoch() || closing.isPresent()) {
            throw new DiskException(
                    "the disks' epoch "
                            + epoch
                            + " ended while epoch "
                            + closing.map(BufferedEpoch::epoch).orElse(running.epoch())
                            + " was expected to; protect the domain again");
        }
        sealFilling();
        closing = Optional.of(running);
        running = new BufferedEpoch(epoch + 1);
    }

    /**
     * The epoch whose boundary was seen.
     *
     * @throws DiskException if that is not {@code epoch}
     */
    public BufferedEpoch closing(long epoch) {
        return closing.filter(closed -> closed.epoch() == epoch)
                .orElseThrow(
                        () ->
                                new DiskException(
                                        "the disks' epoch "
                                                + epoch
                                                + " cannot be committed: its boundary was not seen;"
                                                + " protect the domain again"));
    }

    /** What of the closing epoch is in memory alone. */
    public List<EpochBatch> unwrittenOfClosing() {
        return unwritten.stream()
                .filter(batch -> batch.epoch() == closing.orElseThrow().epoch())
                .toList();
    }

    /** The closing epoch is committed. */
    public void committed() {
        BufferedEpoch epoch = closing.orElseThrow();
        closing = Optional.empty();
        committed.add(epoch);
        committedBytes += epoch.bytes();
    }

    /** The oldest committed epoch that is not applied. */
    public Optional<BufferedEpoch> oldestCommitted() {
        return Optional.ofNullable(committed.peek());
    }

    /** Bytes of committed epochs that are not applied. */
    public long committedBytes() {
        return committedBytes;
    }

    /** Whether something other than the running epoch waits: it will make room when it is done. */
    public boolean hasOlder() {
        return closing.isPresent() || !committed.isEmpty();
    }

    /** Keeps a batch's memory from being given up. */
    public boolean lend(EpochBatch batch) {
        batch.lent = batch.memory().isPresent();
        return batch.lent;
    }

    public void giveBack(EpochBatch batch) {
        batch.lent = false;
    }

    /** The oldest committed epoch is in the images. */
    public void applied() {
        BufferedEpoch epoch = committed.remove();
        committedBytes -= epoch.bytes();
        for (EpochBatch batch : epoch.batches()) {
            if (batch.memory().isPresent()) {
                kept.remove(batch);
                free.push(batch.giveUpMemory());
            }
        }
    }

    /** Bytes of memory that hold writes now, in whole batches. */
    public int batchesInUse() {
        return allocated - free.size();
    }
}
