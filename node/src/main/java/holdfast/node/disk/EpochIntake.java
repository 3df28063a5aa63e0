package holdfast.node.disk;

import holdfast.engine.DiskException;
import holdfast.engine.disk.DiskSizes;
import holdfast.engine.disk.EpochBatch;
import holdfast.engine.disk.EpochBuffer;
import holdfast.engine.disk.JournalPlace;

import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Takes the writes of a replica's disks in: straight into the images until the first boundary, from
 * then on into batches of the open epochs, the oldest of which go to the journal where memory has
 * no room. One thread.
 */
final class EpochIntake {
    private static final long SPILL_BYTES = 4L << 20;

    private final DiskSizes sizes;
    private final List<ImageFile> images;
    private final Journal journal;
    private final ReentrantLock journalOrder;
    private final ReplicaState state;
    private final DiskBounds bounds;
    private final Arena arena;
    private long unforcedBytes;

    /**
     * @param journalOrder held while the journal is appended to
     * @param arena of the batches' memory
     */
    EpochIntake(
            DiskSizes sizes,
            List<ImageFile> images,
            Journal journal,
            ReentrantLock journalOrder,
            ReplicaState state,
            DiskBounds bounds,
            Arena arena) {
        this.sizes = sizes;
        this.images = images;
        this.journal = journal;
        this.journalOrder = journalOrder;
        this.state = state;
        this.bounds = bounds;
        this.arena = arena;
    }

    void write(int disk, long offsetBytes, ByteBuffer data) {
        sizes.require(disk, offsetBytes, data.remaining());
        if (!data.hasRemaining() || !state.beginWrite()) {
            return;
        }
        try {
            if (synchronising()) {
                synchronise(disk, offsetBytes, data.duplicate());
            } else {
                buffer(disk, offsetBytes, data);
            }
        } catch (RuntimeException | Error e) {
            state.intakeFailed(e);
            throw e;
        } finally {
            state.endWrite();
        }
    }

    /** Only the thread that writes asks, and it alone ends this phase by going on. */
    private boolean synchronising() {
        return state.read(() -> state.buffer.isEmpty());
    }

    private void buffer(int disk, long offsetBytes, ByteBuffer data) {
        int start = data.position();
        int at = start;
        Optional<EpochBatch> batch = filling();
        while (at < data.limit()) {
            int taken = 0;
            if (batch.isPresent()) {
                taken = batch.get().put(disk, offsetBytes + at - start, data, at);
            }
            at += taken;
            if (taken == 0) {
                batch = nextBatch();
                if (batch.isEmpty()) {
                    return;
                }
            }
        }
    }

    void writeZeroes(int disk, long offsetBytes, long lengthBytes) {
        sizes.require(disk, offsetBytes, lengthBytes);
        if (lengthBytes == 0 || !state.beginWrite()) {
            return;
        }
        try {
            if (synchronising()) {
                images.get(disk).zero(offsetBytes, lengthBytes);
                return;
            }
            Optional<EpochBatch> batch = filling().or(this::nextBatch);
            while (batch.isPresent() && !batch.get().putZeroes(disk, offsetBytes, lengthBytes)) {
                batch = nextBatch();
            }
        } catch (RuntimeException | Error e) {
            state.intakeFailed(e);
            throw e;
        } finally {
            state.endWrite();
        }
    }

    /** What the page cache holds is bounded, so that the first commit need not wait for long. */
    private void synchronise(int disk, long offsetBytes, ByteBuffer data) {
        int bytes = data.remaining();
        images.get(disk).write(data, offsetBytes);
        unforcedBytes += bytes;
        if (unforcedBytes >= bounds.unforcedBytesMax()) {
            images.forEach(ImageFile::force);
            unforcedBytes = 0;
        }
        state.change(() -> state.synchronisedBytes += bytes);
    }

    private Optional<EpochBatch> filling() {
        return state.read(() -> state.requireBuffer().filling());
    }

    /** Blocks while there is no room; empty when nothing counts any more. */
    private Optional<EpochBatch> nextBatch() {
        while (state.read(state::takesIn)) {
            Optional<EpochBatch> next = state.read(() -> state.requireBuffer().nextBatch());
            if (next.isPresent()) {
                return next;
            }
            long start = System.nanoTime();
            if (!spill()) {
                state.read(this::awaitRoom);
            }
            state.change(() -> state.backPressureNanos += System.nanoTime() - start);
        }
        return Optional.empty();
    }

    /**
     * Writes the oldest batches to the journal.
     *
     * @return whether there was room for them
     */
    private boolean spill() {
        journalOrder.lock();
        try {
            if (journal.bytes() >= bounds.journalBytesMax()) {
                return false;
            }
            List<EpochBatch> oldest =
                    state.read(() -> state.requireBuffer().oldestUnwritten(SPILL_BYTES));
            if (!oldest.isEmpty()) {
                journal.roll(state.read(() -> state.committed));
                List<JournalPlace> places = journal.append(oldest);
                state.change(
                        () -> {
                            state.requireBuffer().written(oldest, places);
                            oldest.forEach(batch -> state.spilledBytes += batch.bytes());
                        });
            }
            return true;
        } finally {
            journalOrder.unlock();
        }
    }

    private boolean awaitRoom() {
        state.awaitWhile(
                () -> {
                    boolean full = journal.bytes() >= bounds.journalBytesMax();
                    if (full && state.takesIn() && !state.requireBuffer().hasOlder()) {
                        throw new DiskException(
                                "journal "
                                        + journal.directory()
                                        + ": the guest wrote more in one epoch than the journal"
                                        + " may hold ("
                                        + bounds.journalBytesMax()
                                        + " bytes); protect the domain again with a shorter"
                                        + " interval");
                    }
                    return full && state.takesIn();
                });
        return true;
    }

    void boundary(long epoch) {
        state.change(
                () -> {
                    if (!state.takesIn()) {
                        return;
                    }
                    if (state.buffer.isEmpty()) {
                        state.phase = ReplicaState.Phase.BUFFERING;
                        state.buffer =
                                Optional.of(
                                        new EpochBuffer(
                                                epoch, bounds.batchesMax(), this::batchMemory));
                    }
                    state.requireBuffer().boundary(epoch);
                });
    }

    private ByteBuffer batchMemory() {
        return arena.allocate(bounds.batchBytes(), 4096).asByteBuffer();
    }
}
