package holdfast.bench;

import java.util.List;

/**
 * What {@code ./bench nbd} found; the names are a contract with people's scripts.
 *
 * @param rounds of each row and server, taken in turns
 * @param seconds of each round
 * @param exportBytes of each server
 * @param queueDepth requests in flight on the one connection
 */
record NbdResult(
        String job,
        Machine machine,
        int rounds,
        int seconds,
        long exportBytes,
        int queueDepth,
        List<Row> rows) {

    /**
     * @param loadAverage of the last minute, before the first measurement
     */
    record Machine(
            int cpus, String java, String nbdkit, String qemuNbd, String fio, double loadAverage) {}

    /**
     * Medians over the rounds.
     *
     * @param workload {@code sequential-read}, {@code sequential-write}, {@code random-read},
     *     {@code random-write}
     * @param vsNbdkit ratio of holdfast to nbdkit
     * @param vsQemuNbd ratio of holdfast to qemu-nbd
     */
    record Row(
            String workload,
            int blockBytes,
            Rate holdfast,
            Rate nbdkit,
            Rate qemuNbd,
            double vsNbdkit,
            double vsQemuNbd) {}

    record Rate(double mibPerSecond, double requestsPerSecond) {}
}
