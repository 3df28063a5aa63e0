package holdfast.bench;

import com.fasterxml.jackson.annotation.JsonInclude;

import java.util.List;
import java.util.Map;

/**
 * What {@code ./bench remus} found; the names are a contract with people's scripts. Parts that were
 * not asked for are absent.
 *
 * @param tracker how dirty pages were found
 * @param floorMicros of the first row of {@code pause}
 */
@JsonInclude(JsonInclude.Include.NON_NULL)
record RemusResult(
        String job,
        Machine machine,
        String tracker,
        Quantiles floorMicros,
        List<Pause> pause,
        List<Redis> redis,
        Failover failover,
        Failover silentFailover,
        List<Encoding> encoding) {

    /**
     * @param accelerator of QEMU
     * @param loadAverage of the last minute, before the first measurement
     */
    record Machine(
            int cpus, int guestMemoryMib, String accelerator, String qemu, double loadAverage) {}

    /** Median and 99th percentile, in the unit that the field's name says. */
    record Quantiles(double p50, double p99) {
        static Quantiles ofNanos(Samples nanos) {
            return new Quantiles(micros(nanos.quantile(0.5)), micros(nanos.quantile(0.99)));
        }

        private static double micros(double nanos) {
            return Math.round(nanos / 100) / 10.0;
        }
    }

    /**
     * The guest's pause at one write rate.
     *
     * @param dirtyPages what the guest's writer was told to write in each epoch
     * @param dirtyPagesFound median of what the tracker reported
     * @param checkpoints measured, and as many bare ones beside them as {@code floors}
     * @param stages suspend, state, output, track, copy, resume: microseconds
     * @param floorStages stop, save, cont: microseconds
     * @param vsFloor ratio of medians
     * @param releaseMicros from the begin of the pause until the epoch's output left
     * @param checkpointsPerSecond committed, over some seconds without floor measurements
     */
    record Pause(
            int dirtyPages,
            double dirtyPagesFound,
            int intervalMillis,
            int checkpoints,
            int floors,
            double p50Micros,
            double p99Micros,
            double floorP50Micros,
            double floorP99Micros,
            double vsFloor,
            Map<String, Quantiles> stages,
            Map<String, Quantiles> floorStages,
            Quantiles releaseMicros,
            double checkpointsPerSecond) {}

    /**
     * @param intervalMillis 0: unprotected
     * @param requestsPerSecond median of the rounds
     * @param vsUnprotected ratio to the row of as many clients without protection
     * @param checkpoints what they were like under this load; absent where there were none
     */
    @JsonInclude(JsonInclude.Include.NON_NULL)
    record Redis(
            int intervalMillis,
            int clients,
            double requestsPerSecond,
            double vsUnprotected,
            Checkpoints checkpoints) {}

    /**
     * @param dirtyPages median
     */
    record Checkpoints(Quantiles pauseMicros, double dirtyPages) {}

    /**
     * From SIGKILL, or from a host's falling silent, to the first byte the client gets, over the
     * runs whose connection survived.
     *
     * @param deadlineMillis the heartbeat deadline; a killed process is noticed sooner, by the end
     *     of its connections
     * @param lostAckedWrites of all runs
     */
    record Failover(
            double p50Millis,
            double maxMillis,
            int runs,
            int survived,
            int intervalMillis,
            int deadlineMillis,
            long lostAckedWrites) {}

    /**
     * What a checkpoint costs on the link, means over the sustained phase.
     *
     * @param rawBytes its pages as they are
     * @param streamBytes on the link, device state included
     * @param gain raw / stream
     */
    record Encoding(
            int dirtyPages,
            double rawBytes,
            double streamBytes,
            double gain,
            double applyP50Micros,
            double applyP99Micros) {}
}
