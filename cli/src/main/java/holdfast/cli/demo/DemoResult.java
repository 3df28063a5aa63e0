package holdfast.cli.demo;

/**
 * What {@code ./demo --json} prints as its last line. Names are a contract with people's scripts.
 *
 * @param job always {@code remus}
 * @param epochsCommitted checkpoints that the secondary held whole when the host died
 * @param ackedWrites writes that the client got an answer to, before and after
 * @param lostAckedWrites of those, how many the survivor does not have; -1 when it could not be
 *     asked
 * @param connectionSurvived whether the one TCP connection carried all of it
 * @param diskBlocksDiffering blocks of 4096 bytes in which the secondary's image was not the
 *     primary's at a committed epoch, while the client's writes were under way: looked at under
 *     each protection once, and added up; -1 without a disk
 * @param fileSystemClean whether the file system check finds nothing on the survivor's image, and
 *     redis-check-aof nothing in the append-only file on it; null without a disk
 * @param diskLostAckedWrites as {@code lostAckedWrites}, in the append-only file on the survivor's
 *     image; -1 without a disk, and when the file could not be read
 * @param pauseMicros how long checkpoints stopped the guest
 * @param dirtyPages pages of 4096 bytes per checkpoint
 * @param failoverMillis from SIGKILL, or from the port's going down, to the first byte that the
 *     client got after it
 * @param reprotectedMillis from SIGKILL to the survivor's first checkpoint that is committed by a
 *     host A that came back; -1 when that was not waited for
 * @param secondFailoverMillis as {@code failoverMillis}, when host B died after that; else -1
 * @param tracker how dirty pages were found
 * @param intervalMillis the guest ran this long between two checkpoints
 * @param deadlineMillis a peer silent for this long is lost; a killed process is noticed at once
 * @param death {@code killed} or {@code silent}
 */
public record DemoResult(
        String job,
        long epochsCommitted,
        long ackedWrites,
        long lostAckedWrites,
        boolean connectionSurvived,
        long diskBlocksDiffering,
        Boolean fileSystemClean,
        long diskLostAckedWrites,
        Percentiles pauseMicros,
        Median dirtyPages,
        double failoverMillis,
        double reprotectedMillis,
        double secondFailoverMillis,
        String tracker,
        int intervalMillis,
        int deadlineMillis,
        String death) {
    /** Microseconds. */
    public record Percentiles(long p50, long p99) {}

    /** Pages. */
    public record Median(long p50) {}

    /** Whether nothing acknowledged was lost, also on the disk, and the connection survived. */
    public boolean good() {
        return connectionSurvived && lostAckedWrites == 0 && ackedWrites > 0 && diskGood();
    }

    private boolean diskGood() {
        return fileSystemClean == null
                || (fileSystemClean && diskBlocksDiffering == 0 && diskLostAckedWrites == 0);
    }
}
