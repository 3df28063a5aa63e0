package holdfast.bench;

import java.util.List;

/**
 * What {@code ./bench disk --json} prints. Medians are over the rounds.
 *
 * @param job always {@code disk}
 * @param rounds each of an unprotected part and a protected one
 * @param secondsEach of each part
 * @param depth writes in flight
 * @param sequential writes of 1 MiB in order, in MiB a second
 * @param random writes of 4 KiB, in writes a second; with a depth above 1 each stream's in order
 * @param pause how long checkpoints stopped the guest
 * @param replication of the loaded guest's disk, at the end of its last protected part
 */
record DiskResult(
        String job,
        RemusResult.Machine machine,
        int intervalMillis,
        int rounds,
        int secondsEach,
        int depth,
        Throughput sequential,
        Throughput random,
        List<Pause> pause,
        Replication replication) {
    /**
     * By the host's clock.
     *
     * @param ratio protected by unprotected
     * @param ratios of the single rounds
     */
    record Throughput(
            double unprotectedPerSecond,
            double protectedPerSecond,
            double ratio,
            List<Double> ratios) {}

    /**
     * Microseconds.
     *
     * @param guest {@code no-disk}, {@code idle-disk} or {@code loaded-disk}
     * @param checkpointsPerSecond median
     * @param suspendMicros part of it until the virtual CPU stood and the disk's writes were done
     */
    record Pause(
            String guest,
            double p50Micros,
            double p99Micros,
            double suspendMicros,
            double copyMicros,
            double checkpointsPerSecond) {}

    /**
     * @param forwardedMib of the guest's writes and of the first copy
     * @param waits of them that found the primary's queue full
     * @param waitMillis how long these waited, together
     * @param replicaWaitMillis for which the secondary had no room for them
     * @param commitMicros to make an epoch durable there, on average
     */
    record Replication(
            long forwardedMib,
            long waits,
            long waitMillis,
            long replicaWaitMillis,
            long commitMicros) {}
}
