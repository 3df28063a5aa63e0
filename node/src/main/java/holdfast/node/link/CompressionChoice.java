package holdfast.node.link;

/**
 * Whether the next block of a stream is compressed: if that shortens its way. Knows only what it
 * was told; one thread, except where it says so.
 */
final class CompressionChoice {
    /** A smaller block is a header between pages: nothing is gained, and its time says nothing. */
    static final int BYTES_MIN = 4096;

    /** What a smaller write takes is the call and whoever it wakes, not the link. */
    static final int MEASURED_BYTES_MIN = 32 << 10;

    /** Nothing compresses faster than such a link takes its bytes: it is not even tried. */
    static final long FAST_BYTES_PER_SECOND = 600_000_000;

    /** One of so many blocks is compressed to see what it would bring. */
    static final int TRY_EVERY = 8;

    /** What compressing must bring at least: a tenth of the time. */
    private static final double GAIN = 0.9;

    /** How much the newest block weighs. */
    private static final double WEIGHT = 0.25;

    private final BulkCompression wish;
    private double linkNanosPerByte;
    private double packNanosPerByte;
    private double storedPerRaw;
    private boolean linkKnown;
    private volatile double drainNanosPerByte;
    private boolean packKnown;
    private int sinceTried = TRY_EVERY;

    CompressionChoice(BulkCompression wish) {
        this.wish = wish;
    }

    /** Whether to compress a block of so many bytes. */
    boolean compress(int rawBytes) {
        if (rawBytes < BYTES_MIN) {
            return false;
        }
        return switch (wish) {
            case NONE -> false;
            case ZSTD -> true;
            case AUTO -> worthwhile() || worthTrying();
        };
    }

    private boolean worthwhile() {
        double link = link();
        return packKnown && packNanosPerByte + storedPerRaw * link < GAIN * link;
    }

    private boolean worthTrying() {
        return link() * FAST_BYTES_PER_SECOND > 1e9 && ++sinceTried >= TRY_EVERY;
    }

    /** 0: nothing is known yet. */
    private double link() {
        return Math.max(linkNanosPerByte, drainNanosPerByte);
    }

    /**
     * A block was compressed.
     *
     * @param storedBytes what it became; as much as it was, or more, where that was useless
     */
    void compressed(int rawBytes, int storedBytes, long nanos) {
        sinceTried = 0;
        packNanosPerByte = mean(packKnown, packNanosPerByte, (double) nanos / rawBytes);
        storedPerRaw =
                mean(packKnown, storedPerRaw, (double) Math.min(storedBytes, rawBytes) / rawBytes);
        packKnown = true;
    }

    /** The link took so many bytes. */
    void sent(int bytes, long nanos) {
        if (bytes >= MEASURED_BYTES_MIN) {
            linkNanosPerByte = mean(linkKnown, linkNanosPerByte, (double) nanos / bytes);
            linkKnown = true;
        }
    }

    /** What {@link LinkDrain} found. Any thread. */
    void drained(double nanosPerByte) {
        drainNanosPerByte = nanosPerByte;
    }

    private static double mean(boolean known, double before, double now) {
        return known ? before + WEIGHT * (now - before) : now;
    }
}
