package holdfast.wire.disk;

/** What a journal says after its header. */
public sealed interface JournalRecord {
    /** Most bytes of a batch's body. */
    int BODY_BYTES_MAX = 1 << 20;

    /** The segment that it was written to. */
    long segment();

    /**
     * Writes of one epoch; the body follows.
     *
     * @param number of this batch within its epoch, from 0
     * @param bodyBytes a multiple of 8
     * @param bodyCrc32c of the body
     */
    record Batch(long segment, long epoch, long number, int bodyBytes, int bodyCrc32c)
            implements JournalRecord {
        public Batch {
            require(segment, epoch, number);
            if (bodyBytes <= 0 || bodyBytes > BODY_BYTES_MAX || bodyBytes % 8 != 0) {
                throw new IllegalArgumentException("body of " + bodyBytes + " bytes");
            }
        }
    }

    /**
     * All batches of an epoch stand before this, and it counts.
     *
     * @param batches how many it has, over all segments
     */
    record Commit(long segment, long epoch, long batches) implements JournalRecord {
        public Commit {
            require(segment, epoch, batches);
        }
    }

    /** The journal goes on in the next segment; whatever else this file holds is older. */
    record End(long segment) implements JournalRecord {
        public End {
            require(segment, 0, 0);
        }
    }

    private static void require(long segment, long epoch, long number) {
        if (segment <= 0 || epoch < 0 || number < 0) {
            throw new IllegalArgumentException(
                    "segment " + segment + ", epoch " + epoch + ", number " + number);
        }
    }
}
