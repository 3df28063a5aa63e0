package holdfast.node;

import holdfast.engine.memory.CheckpointEncoder;
import holdfast.engine.memory.PfnSet;
import holdfast.engine.migrate.PrecopyPolicy;
import holdfast.engine.port.DeviceState;
import holdfast.engine.port.DirtyTracker;
import holdfast.engine.port.Domain;
import holdfast.engine.port.GuestMemory;
import holdfast.node.api.Progress;
import holdfast.node.api.ProgressListener;
import holdfast.wire.xen.DomainHeader;
import holdfast.wire.xen.DomainType;
import holdfast.wire.xen.EmulatorKind;
import holdfast.wire.xen.LibxcRecord;
import holdfast.wire.xen.LibxlRecord;
import holdfast.wire.xen.XenStreamWriter;
import holdfast.wire.xen.XlFileHeader;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.TimeUnit;

/**
 * Writes a domain into a file: rounds over what it writes while it runs, as a migration does, each
 * brought to the disk, then a short pause for the rest. One thread saves, any may cancel.
 */
final class DomainSaving {
    /**
     * A pause of this length is nothing to wait for. What a round brings costs nothing but its
     * time: it is written over what it replaces.
     */
    private static final PrecopyPolicy POLICY =
            new PrecopyPolicy(
                    TimeUnit.MILLISECONDS.toNanos(20), 12, PrecopyPolicy.Convergence.AS_IS);

    private static final double MIB = 1 << 20;

    /**
     * What is saved.
     *
     * @param specJson the domain's description
     * @param domain running, unless there is no tracker; it is suspended for the rest
     * @param tracker none: the guest stands still anyway, or what it writes cannot be known, and
     *     all of it is the rest
     */
    record Source(
            String specJson, GuestMemory memory, Domain domain, Optional<DirtyTracker> tracker) {}

    /**
     * What was written.
     *
     * @param bytes the file's length
     * @param rounds while the guest ran
     * @param finalPages written while it stood still
     */
    record Written(long bytes, int rounds, long finalPages) {}

    /** When the guest is let go, if it is. */
    enum Resume {
        /** As soon as nothing of it is read any more. */
        WHEN_READ,
        /** By the caller. */
        NOT_HERE
    }

    private final Source source;
    private final ProgressListener progress;
    private volatile Optional<String> cancelled = Optional.empty();
    private volatile long suspendedNanos;
    private volatile long pausedNanos;
    private boolean suspended;

    DomainSaving(Source source, ProgressListener progress) {
        this.source = source;
        this.progress = progress;
    }

    /** Ends it, unless the file is whole already. */
    void cancel(String reason) {
        cancelled = Optional.of(reason);
    }

    /** How long the guest stood still for it; until now, if it still does. */
    long pausedNanos() {
        return suspended ? System.nanoTime() - suspendedNanos : pausedNanos;
    }

    /**
     * Writes the file, which appears under its name only when it is whole and on the disk. Ends
     * with the guest suspended, or with an exception and the guest running, unless it was suspended
     * before.
     */
    Written write(Path file, Resume resume) throws IOException {
        Path beside = file.resolveSibling(file.getFileName() + ".tmp");
        try {
            Written written;
            try (FileChannel out =
                            FileChannel.open(
                                    beside,
                                    StandardOpenOption.CREATE,
                                    StandardOpenOption.TRUNCATE_EXISTING,
                                    StandardOpenOption.WRITE);
                    XenStreamWriter writer = new XenStreamWriter(out);
                    SavedPages pages = new SavedPages(writer, out, source.memory())) {
                writer.xlFileHeader(XlFileHeader.ofConfig(source.specJson()));
                writer.libxlHeader();
                writer.record(new LibxlRecord.LibxcContext());
                writer.imageStart(new DomainHeader(DomainType.X86_HVM, 4, 17));
                writer.record(new LibxcRecord.StaticDataEnd());
                writer.flush();
                PfnSet dirty = new PfnSet(source.memory().pages());
                int rounds = 0;
                if (source.tracker().isPresent()) {
                    rounds = rounds(source.tracker().get(), dirty, pages, out);
                } else {
                    dirty.fill();
                }
                long finalPages = rest(dirty, pages, writer);
                if (resume == Resume.WHEN_READ) {
                    release();
                }
                out.force(true);
                written = new Written(writer.bytesWritten(), rounds, finalPages);
            }
            requireWanted();
            Files.move(
                    beside,
                    file,
                    StandardCopyOption.ATOMIC_MOVE,
                    StandardCopyOption.REPLACE_EXISTING);
            // Its name, too: the domain may end after this.
            try (FileChannel names =
                    FileChannel.open(file.toAbsolutePath().getParent(), StandardOpenOption.READ)) {
                names.force(true);
            }
            return written;
        } catch (IOException | RuntimeException | Error e) {
            try {
                release();
                Files.deleteIfExists(beside);
            } catch (IOException | RuntimeException again) {
                e.addSuppressed(again);
            }
            throw e;
        }
    }

    /** The guest goes on, where it was suspended for this. */
    void release() {
        if (suspended) {
            source.domain().resume();
            suspended = false;
            pausedNanos = System.nanoTime() - suspendedNanos;
        }
    }

    private int rounds(DirtyTracker tracker, PfnSet dirty, SavedPages pages, FileChannel out)
            throws IOException {
        tracker.collect(dirty);
        source.memory().addPopulated(dirty);
        PrecopyPolicy.Course course = PrecopyPolicy.Course.BEGIN;
        for (int round = 0; ; round++) {
            long sent = dirty.count();
            long begun = System.nanoTime();
            long writtenBefore = pages.writtenPages();
            pages.write(dirty, new Telling(round, sent));
            // A round is as long as it takes to the disk: so is the rest.
            out.force(false);
            long nanos = System.nanoTime() - begun;
            dirty.clear();
            tracker.collect(dirty);
            long bytes = (pages.writtenPages() - writtenBefore) * GuestMemory.PAGE_BYTES;
            switch (POLICY.decide(
                    course, new PrecopyPolicy.Measured(round, sent, bytes, nanos, dirty.count()))) {
                case PrecopyPolicy.Decision.Again(PrecopyPolicy.Course next) -> course = next;
                case PrecopyPolicy.Decision.Enough _ -> {
                    return round + 1;
                }
            }
        }
    }

    /** The pause: what is left of memory, and the state of devices. */
    private long rest(PfnSet dirty, SavedPages pages, XenStreamWriter writer) throws IOException {
        requireWanted();
        suspendedNanos = System.nanoTime();
        // Also where it is not answered in time: it may still be obeyed.
        suspended = true;
        source.domain().suspend();
        DeviceState state = source.domain().saveDeviceState();
        // What saving the state wrote is in here, too.
        source.tracker().ifPresent(tracker -> tracker.collect(dirty));
        long left = dirty.count();
        pages.write(dirty, new Telling(0, left));
        writer.record(new LibxcRecord.End());
        writer.emulatorContext(
                EmulatorKind.UPSTREAM_QEMU, CheckpointEncoder.BASE_INDEX, state.base().bytes());
        writer.emulatorContext(
                EmulatorKind.UPSTREAM_QEMU, CheckpointEncoder.SECTIONS_INDEX, state.sections());
        writer.record(new LibxlRecord.End());
        writer.flush();
        return left;
    }

    private void requireWanted() {
        cancelled.ifPresent(
                reason -> {
                    throw new CancellationException(reason);
                });
    }

    /** Tells how far a round is, and looks whether it is still wanted. */
    private final class Telling implements SavedPages.Heard {
        private final int round;
        private final long total;
        private long done;

        Telling(int round, long totalPages) {
            this.round = round;
            this.total = totalPages * GuestMemory.PAGE_BYTES;
        }

        @Override
        public void done(long pages) {
            done += pages * GuestMemory.PAGE_BYTES;
            requireWanted();
            progress.progress(
                    new Progress(
                            "saving",
                            round,
                            Math.min(done, total),
                            total,
                            suspended
                                    ? String.format(
                                            Locale.ROOT,
                                            "the guest stands still, %.1f MiB are left",
                                            (total - done) / MIB)
                                    : String.format(
                                            Locale.ROOT,
                                            "the guest runs, round %d of %.1f MiB",
                                            round,
                                            total / MIB)));
        }
    }
}
