package holdfast.sim.guest;

import java.util.Arrays;
import java.util.function.LongConsumer;

/** A disk, or a copy of one: a number in each sector, zero at first. */
public final class SimDisk {
    /** Sectors of every simulated disk. */
    public static final int SECTORS = 96;

    private final long[] sectors = new long[SECTORS];
    private LongConsumer written = _ -> {};

    /** Who hears of each write to a sector. */
    public void watch(LongConsumer sectorWritten) {
        written = sectorWritten;
    }

    public long read(long sector) {
        return sectors[(int) sector];
    }

    public void write(long sector, long value) {
        sectors[(int) sector] = value;
        written.accept(sector);
    }

    /** What the guest keeps in its memory of what it wrote. */
    long checksum() {
        long sum = 0;
        for (int sector = 0; sector < SECTORS; sector++) {
            sum += GuestImage.mix(sector, sectors[sector]);
        }
        return sum;
    }

    /** The content now. */
    public long[] content() {
        return sectors.clone();
    }

    /** The first sector that is not as in {@code content}, or -1. */
    public long mismatch(long[] content) {
        return Arrays.mismatch(sectors, content);
    }
}
