package holdfast.node.disk;

import holdfast.engine.DiskException;
import holdfast.engine.disk.BufferedEpoch;
import holdfast.engine.disk.DiskSizes;
import holdfast.engine.disk.EpochBatch;
import holdfast.engine.disk.EpochBuffer;
import holdfast.engine.disk.JournalPlace;
import holdfast.engine.port.ReplicaDisks;
import holdfast.wire.ProtocolException;
import holdfast.wire.disk.JournalCodec;
import holdfast.wire.disk.JournalHeader;
import holdfast.wire.disk.JournalRecord;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.UUID;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A domain's disks as raw images, changed by whole epochs through a journal. An epoch counts from
 * the moment its commit record is on stable storage; the images follow.
 *
 * <p>The order of one session, and why:
 *
 * <ol>
 *   <li>{@link #open} refuses images in use. A QEMU that has an image open counts, so this comes
 *       before the standby is started; afterwards the standby may open the images, while this
 *       writes to them, as long as it does not run. It sees a file's final size.
 *   <li>The session: the port's methods. Until the first boundary every byte that is not zero must
 *       be written; on a block device the zeroes too.
 *   <li>{@link #settle}, and only after its return may the standby's guest run. If it throws, it
 *       may be called again once the cause is removed.
 *   <li>{@link #close}.
 * </ol>
 *
 * A session that dies leaves its journal, which {@link ReplicaRecovery} brings into the images,
 * once the dead daemon's standby is gone.
 */
public final class ReplicaImages implements ReplicaDisks {
    private static final Logger LOG = LoggerFactory.getLogger(ReplicaImages.class);

    /**
     * One disk of a domain.
     *
     * @param path absolute. A file that is not there is made, sparse, in a directory that is; one
     *     that is there must be as large as the disk, loses what it holds and gets the disk's size.
     *     A block device must be as large, keeps its size (give the standby the disk's as {@code
     *     size}) and, until it is written over, what it holds
     * @param sizeBytes of the guest's disk
     */
    public record Image(Path path, long sizeBytes) {}

    private final String domain;
    private final DiskSizes sizes;
    private final List<ImageFile> images;
    private final Journal journal;
    private final DiskFiles files;
    private final DiskBounds bounds;
    private final Arena arena = Arena.ofShared();
    private final Applier applier;
    private final ByteBuffer readBack =
            ByteBuffer.allocateDirect(JournalCodec.RECORD_BYTES + JournalRecord.BODY_BYTES_MAX);

    /** Held while the journal is appended to or segments of it are removed. */
    private final ReentrantLock journalOrder = new ReentrantLock();

    private final ReplicaState state;
    private final EpochIntake intake;

    /**
     * Makes a session's images ready to be filled.
     *
     * @param journals directory of all journals of this node, made if it is not there. For the
     *     images to be whole after a crash of the host it must survive that too
     * @throws DiskException if an image is refused; none was changed then
     */
    public static ReplicaImages open(
            Path journals, UUID session, String domain, List<Image> images) {
        return open(
                new SystemFiles(ImageUse.REPLICA),
                journals,
                session,
                domain,
                images,
                DiskBounds.DEFAULT);
    }

    static ReplicaImages open(
            DiskFiles files,
            Path journals,
            UUID session,
            String domain,
            List<Image> images,
            DiskBounds bounds) {
        JournalHeader header =
                new JournalHeader(
                        1,
                        session,
                        domain,
                        OptionalLong.empty(),
                        images.stream()
                                .map(
                                        i ->
                                                new JournalHeader.Disk(
                                                        i.path().toString(), i.sizeBytes()))
                                .toList());
        List<ImageFile> opened = ImageOpening.open(files, header.disks());
        try {
            ImageOpening.forgetOlder(files, journals, header.disks());
            return begin(files, journals, header, opened, bounds);
        } catch (DiskException e) {
            opened.forEach(ImageFile::close);
            throw e;
        }
    }

    /** With images that are open, and as large as their disks. */
    static ReplicaImages begin(
            DiskFiles files,
            Path journals,
            JournalHeader header,
            List<ImageFile> opened,
            DiskBounds bounds) {
        Journal journal =
                Journal.create(
                        files,
                        journals.resolve(header.session().toString()),
                        header,
                        bounds.segmentBytes());
        ReplicaImages disks = new ReplicaImages(files, header, opened, journal, bounds);
        disks.applier.start();
        return disks;
    }

    private ReplicaImages(
            DiskFiles files,
            JournalHeader header,
            List<ImageFile> images,
            Journal journal,
            DiskBounds bounds) {
        this.domain = header.domain();
        this.sizes = new DiskSizes(header.disks());
        this.images = images;
        this.journal = journal;
        this.files = files;
        this.bounds = bounds;
        this.state = new ReplicaState(domain);
        this.intake = new EpochIntake(sizes, images, journal, journalOrder, state, bounds, arena);
        this.applier = new Applier(domain, state::nextToApply, this::applyNow, this::applierFailed);
    }

    @Override
    public void write(int disk, long offsetBytes, ByteBuffer data) {
        intake.write(disk, offsetBytes, data);
    }

    @Override
    public void writeZeroes(int disk, long offsetBytes, long lengthBytes) {
        intake.writeZeroes(disk, offsetBytes, lengthBytes);
    }

    @Override
    public void boundary(long epoch) {
        intake.boundary(epoch);
    }

    /** What of an epoch is to be made durable. */
    private record Closing(BufferedEpoch epoch, List<EpochBatch> unwritten, boolean first) {}

    @Override
    public void commit(long epoch) {
        long start = System.nanoTime();
        journalOrder.lock();
        try {
            Closing closing =
                    state.read(
                            () -> {
                                state.requireTakesIn();
                                EpochBuffer buffer = state.requireBuffer();
                                return new Closing(
                                        buffer.closing(epoch),
                                        buffer.unwrittenOfClosing(),
                                        state.committed.isEmpty());
                            });
            if (closing.first()) {
                images.forEach(ImageFile::force);
            }
            if (closing.first() || !closing.epoch().batches().isEmpty()) {
                makeDurable(closing);
            }
            state.change(
                    () -> {
                        state.requireBuffer().committed();
                        state.committed = OptionalLong.of(epoch);
                        state.commitNanos += System.nanoTime() - start;
                    });
        } finally {
            journalOrder.unlock();
        }
    }

    private void makeDurable(Closing closing) {
        journal.roll(state.read(() -> state.committed));
        Journal.Mark mark = journal.mark();
        try {
            List<JournalPlace> places = journal.append(closing.unwritten());
            journal.append(
                    new JournalRecord.Commit(
                            journal.currentSegment(),
                            closing.epoch().epoch(),
                            closing.epoch().batches().size()));
            force();
            state.change(() -> state.requireBuffer().written(closing.unwritten(), places));
        } catch (DiskException e) {
            try {
                journal.rollBack(mark);
            } catch (DiskException again) {
                e.addSuppressed(again);
                state.intakeFailed(e);
            }
            throw e;
        }
    }

    /** After a failure nobody knows what is on stable storage, so nothing is committed any more. */
    private void force() {
        try {
            journal.force();
        } catch (IOException e) {
            DiskException failure = files.failure("journal", journal.directory(), "fdatasync", e);
            state.intakeFailed(failure);
            throw failure;
        }
    }

    @Override
    public void apply(long epoch) {
        state.change(
                () -> {
                    state.throwApplierFailure();
                    if (state.committed.isEmpty() || epoch > state.committed.getAsLong()) {
                        throw new DiskException(
                                "the disks' epoch "
                                        + epoch
                                        + " is not committed; protect the domain again");
                    }
                    state.applyUpTo = OptionalLong.of(epoch);
                });
        state.read(
                () -> {
                    state.awaitWhile(this::isFarBehind);
                    return epoch;
                });
    }

    private boolean isFarBehind() {
        state.throwApplierFailure();
        return state.requireBuffer().committedBytes() > bounds.backlogBytesMax();
    }

    private void applyNow(BufferedEpoch epoch) {
        long start = System.nanoTime();
        long bytes = 0;
        for (EpochBatch batch : epoch.batches()) {
            bytes += apply(batch);
        }
        long sum = bytes;
        long nanos = System.nanoTime() - start;
        // Before the epoch counts as applied: who waits for room in the journal then looks again.
        removeFinished(epoch.epoch());
        state.change(
                () -> {
                    state.requireBuffer().applied();
                    state.applied = OptionalLong.of(epoch.epoch());
                    if (!epoch.batches().isEmpty()) {
                        state.epochsApplied++;
                        state.appliedBytes += sum;
                        state.applyNanos += nanos;
                    }
                });
    }

    private long apply(EpochBatch batch) {
        if (state.read(() -> state.requireBuffer().lend(batch))) {
            long bytes = ImageFile.apply(batch.body(), sizes, images);
            state.change(() -> state.requireBuffer().giveBack(batch));
            return bytes;
        }
        journal.read(batch.place().orElseThrow(), readBack);
        return ImageFile.apply(readBack, sizes, images);
    }

    private void removeFinished(long epoch) {
        if (!hasFinished(epoch)) {
            return;
        }
        images.forEach(ImageFile::force);
        while (hasFinished(epoch)) {
            journalOrder.lock();
            try {
                journal.removeOldest();
            } finally {
                journalOrder.unlock();
            }
        }
    }

    private boolean hasFinished(long epoch) {
        journalOrder.lock();
        try {
            return journal.hasFinished(epoch);
        } finally {
            journalOrder.unlock();
        }
    }

    private void applierFailed(Throwable failure) {
        LOG.error("event=epoch-not-applied domain={} reason=\"{}\"", domain, failure.getMessage());
        state.applierFailed(failure);
    }

    @Override
    public void discardPartial() {
        state.change(
                () -> {
                    switch (state.phase) {
                        case SYNCHRONISING, BUFFERING -> state.phase = ReplicaState.Phase.DISCARDED;
                        case DISCARDED, SETTLED, CLOSED -> {}
                    }
                });
    }

    @Override
    public void settle() {
        switch (state.read(() -> state.phase)) {
            case SETTLED -> {
                return;
            }
            case CLOSED -> throw state.closed();
            case SYNCHRONISING, BUFFERING, DISCARDED -> {}
        }
        if (state.read(() -> state.committed).isEmpty()) {
            throw new DiskException(
                    "the images of "
                            + domain
                            + " were never complete: no epoch is committed, there is nothing to go"
                            + " on from");
        }
        discardPartial();
        bringToCommitted();
        state.change(() -> state.phase = ReplicaState.Phase.SETTLED);
    }

    /** May be called again after a failure. */
    private void bringToCommitted() {
        dismissApplier();
        if (state.hasApplierFailed()) {
            redo();
        }
        images.forEach(ImageFile::force);
        state.change(() -> state.applied = state.committed);
        journal.removeAll();
        images.forEach(ImageFile::close);
    }

    /** It first applies all that is committed. */
    private void dismissApplier() {
        state.change(
                () -> {
                    state.awaitNoWrite();
                    state.applyUpTo = state.committed;
                    state.applierDismissed = true;
                });
        applier.join();
    }

    /** The applier failed in the middle of an epoch: all of them again, from the journal. */
    private void redo() {
        try {
            JournalReader reader = new JournalReader(files);
            long epoch = state.read(() -> state.committed).getAsLong();
            reader.replay(reader.scan(journal.directory()).orElseThrow(), epoch, sizes, images);
            state.applierFailureMended();
        } catch (IOException | ProtocolException e) {
            throw new DiskException(
                    "journal "
                            + journal.directory()
                            + ": applying it failed: "
                            + e.getMessage()
                            + "; the images are not at one epoch; protect the domain again",
                    e);
        }
    }

    @Override
    public void close() {
        ReplicaState.Phase before = state.read(() -> state.phase);
        if (before == ReplicaState.Phase.CLOSED) {
            return;
        }
        state.change(() -> state.phase = ReplicaState.Phase.CLOSED);
        if (before != ReplicaState.Phase.SETTLED) {
            leave();
        }
        arena.close();
    }

    private void leave() {
        OptionalLong committed = state.read(() -> state.committed);
        try {
            if (committed.isPresent()) {
                bringToCommitted();
                return;
            }
            dismissApplier();
            journal.removeAll();
        } catch (DiskException e) {
            LOG.warn(
                    "event=journal-left domain={} epoch={} journal={} reason=\"{}\" next=\"it is"
                            + " brought into the images when the daemon is started again\"",
                    domain,
                    committed.isPresent() ? committed.getAsLong() : "none",
                    journal.directory(),
                    e.getMessage());
        }
        try {
            journal.close();
            images.forEach(ImageFile::close);
        } catch (DiskException e) {
            LOG.warn("event=images-not-closed domain={} reason=\"{}\"", domain, e.getMessage());
        }
    }

    /** The file on whose file system there was no room for a step, if that ever was so. */
    Optional<Path> foundFull() {
        return files.foundFull();
    }

    /** Of the guest's disks together. */
    long diskBytes() {
        return sizes.sumBytes();
    }

    /** A view of this moment, for any thread. */
    public DiskFigures figures() {
        return state.read(
                () ->
                        new DiskFigures(
                                state.synchronisedBytes,
                                state.committed,
                                state.applied,
                                state.epochsApplied,
                                state.appliedBytes,
                                state.applyNanos,
                                state.commitNanos,
                                state.backPressureNanos,
                                state.spilledBytes,
                                state.buffer.map(EpochBuffer::batchesInUse).orElse(0)
                                        * (long) bounds.batchBytes(),
                                journal.bytes()));
    }
}
