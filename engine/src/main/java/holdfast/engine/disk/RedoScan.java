package holdfast.engine.disk;

import holdfast.wire.ProtocolException;
import holdfast.wire.disk.JournalHeader;
import holdfast.wire.disk.JournalRecord;

import java.util.Optional;
import java.util.OptionalLong;

/**
 * Which epochs a journal commits. It is given every segment that there is, and every record whose
 * checksums are right, in order, and refuses what cannot follow. The segments before the first one
 * were in the images, and on stable storage, before they were removed.
 */
public final class RedoScan {
    private static final String STREAM = "disk journal";

    /** How many batches of an epoch were seen, with those of removed segments. */
    private record Seen(long epoch, long batches) {}

    private Optional<JournalHeader> first = Optional.empty();
    private long segment;
    private boolean ended = true;
    private OptionalLong committed = OptionalLong.empty();
    private Optional<Seen> older = Optional.empty();
    private Optional<Seen> newest = Optional.empty();

    /**
     * The next segment begins.
     *
     * @throws ProtocolException if it does not belong behind what was given so far
     */
    public void segment(JournalHeader header) {
        if (first.isEmpty()) {
            first = Optional.of(header);
            committed = header.committedEpoch();
        } else {
            JournalHeader begin = first.get();
            expect(header.segment() == segment + 1, "segment", segment + 1, header.segment());
            expect(ended, "end of segment " + segment, "an END record", "none");
            expect(
                    header.session().equals(begin.session())
                            && header.disks().equals(begin.disks()),
                    "session of segment " + header.segment(),
                    begin.session(),
                    header.session());
        }
        segment = header.segment();
        ended = false;
    }

    /** The begin of the journal, once there was one. */
    public Optional<JournalHeader> first() {
        return first;
    }

    /** The last epoch that is committed; none before the first synchronisation was complete. */
    public OptionalLong committed() {
        return committed;
    }

    /** Whether the segment has its end: what follows is older. */
    public boolean ended() {
        return ended;
    }

    /**
     * The next record.
     *
     * @throws ProtocolException if it cannot stand here: the journal ends before it, or is damaged
     */
    public void record(JournalRecord record) {
        expect(!ended, "segment " + segment, "nothing behind END", record);
        expect(record.segment() == segment, "segment of a record", segment, record.segment());
        switch (record) {
            case JournalRecord.Batch batch -> batch(batch);
            case JournalRecord.Commit commit -> commit(commit);
            case JournalRecord.End _ -> ended = true;
        }
    }

    private void batch(JournalRecord.Batch batch) {
        expect(!isCommitted(batch.epoch()), "epoch of a batch", "an open one", batch.epoch());
        if (newest.isPresent() && newest.get().epoch() == batch.epoch()) {
            expect(batch.number() == newest.get().batches(), "batch", newest.get(), batch.number());
        } else {
            boolean mayGoOn = newest.isEmpty() && first.orElseThrow().segment() > 1;
            expect(batch.number() == 0 || mayGoOn, "first batch of an epoch", 0, batch.number());
            expect(
                    newest.isEmpty() || newest.get().epoch() < batch.epoch(),
                    "epoch of a batch",
                    "one after " + newest,
                    batch.epoch());
            expect(
                    older.isEmpty() || isCommitted(older.get().epoch()),
                    "open epochs",
                    "two",
                    older + ", " + newest + ", " + batch.epoch());
            older = newest;
        }
        newest = Optional.of(new Seen(batch.epoch(), batch.number() + 1));
    }

    private void commit(JournalRecord.Commit commit) {
        expect(!isCommitted(commit.epoch()), "epoch of a commit", "an open one", commit.epoch());
        Optional<Seen> seen =
                newest.filter(epoch -> epoch.epoch() == commit.epoch())
                        .or(() -> older.filter(epoch -> epoch.epoch() == commit.epoch()));
        if (seen.isPresent()) {
            expect(
                    commit.batches() == seen.get().batches(),
                    "batches of epoch " + commit.epoch(),
                    seen.get().batches(),
                    commit.batches());
        } else {
            // All of them may have been in segments that were applied and removed.
            expect(
                    commit.batches() == 0 || first.orElseThrow().segment() > 1,
                    "batches of epoch " + commit.epoch(),
                    0,
                    commit.batches());
        }
        committed = OptionalLong.of(commit.epoch());
    }

    private boolean isCommitted(long epoch) {
        return committed.isPresent() && epoch <= committed.getAsLong();
    }

    private static void expect(boolean holds, String field, Object expected, Object found) {
        if (!holds) {
            throw new ProtocolException(
                    STREAM,
                    ProtocolException.OFFSET_UNKNOWN,
                    field,
                    String.valueOf(expected),
                    String.valueOf(found));
        }
    }
}
