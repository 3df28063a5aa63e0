package holdfast.bench;

import holdfast.node.disk.DiskFigures;
import holdfast.node.disk.ReplicaImages;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.SplittableRandom;
import java.util.UUID;
import java.util.stream.Stream;

/**
 * Commit and application of an epoch of random 4 KiB writes, beside the same writes made with
 * pwrite and fdatasync in another file of the same file system. The two take turns.
 */
final class DiskApplyBenchmark {
    private static final int DISK_BYTES = 256 << 20;
    private static final int BLOCK_BYTES = 4096;
    private static final int CHUNK_BYTES = 1 << 20;
    private static final int ROUNDS_WARM = 5;
    private static final long APPLY_NANOS_MAX = 60_000_000_000L;

    /**
     * Times in microseconds.
     *
     * @param epochBytes written in an epoch
     * @param bufferP50Micros to take the writes in
     * @param commitP50Micros until the epoch is durable
     * @param applyP50Micros to write it to the image, without fdatasync, while the next epoch runs
     * @param plainP50Micros pwrite and fdatasync of the same writes
     * @param commitVsPlain ratio of medians
     */
    record Row(
            int epochBytes,
            int epochs,
            double bufferP50Micros,
            double commitP50Micros,
            double commitP99Micros,
            double applyP50Micros,
            double applyP99Micros,
            double plainP50Micros,
            double plainP99Micros,
            double commitVsPlain) {}

    /** All rows, and the load of the machine before the first. */
    record Result(String directory, double loadAverage, List<Row> rows) {}

    private final Path directory;
    private final SplittableRandom random = new SplittableRandom(1);
    private final byte[] data = new byte[CHUNK_BYTES];

    private DiskApplyBenchmark(Path directory) {
        this.directory = directory;
    }

    /**
     * @param parent on the file system that is to be measured
     */
    static Result run(Path parent, int rounds) throws IOException {
        Files.createDirectories(parent);
        Path directory = Files.createTempDirectory(parent, "hfbench").toAbsolutePath();
        try {
            double load =
                    java.lang.management.ManagementFactory.getOperatingSystemMXBean()
                            .getSystemLoadAverage();
            return new Result(
                    Files.getFileStore(directory).toString(),
                    load,
                    new DiskApplyBenchmark(directory).rows(rounds));
        } finally {
            try (Stream<Path> paths = Files.walk(directory)) {
                for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
                    Files.deleteIfExists(path);
                }
            }
        }
    }

    private List<Row> rows(int rounds) throws IOException {
        List<Row> rows = new ArrayList<>();
        try (FileChannel plain =
                        FileChannel.open(
                                directory.resolve("plain.img"),
                                StandardOpenOption.CREATE_NEW,
                                StandardOpenOption.WRITE);
                ReplicaImages disks =
                        ReplicaImages.open(
                                directory.resolve("journals"),
                                UUID.randomUUID(),
                                "bench",
                                List.of(
                                        new ReplicaImages.Image(
                                                directory.resolve("replica.img"), DISK_BYTES)))) {
            for (int at = 0; at < DISK_BYTES; at += CHUNK_BYTES) {
                random.nextBytes(data);
                disks.write(0, at, ByteBuffer.wrap(data));
                plain.write(ByteBuffer.wrap(data), at);
            }
            plain.force(false);
            disks.boundary(0);
            disks.commit(0);
            long epoch = 1;
            for (int bytes : new int[] {64 << 10, 1 << 20, 16 << 20}) {
                rows.add(row(disks, plain, bytes, rounds, epoch));
                epoch += ROUNDS_WARM + rounds;
            }
        }
        return rows;
    }

    private Row row(ReplicaImages disks, FileChannel plain, int bytes, int rounds, long first)
            throws IOException {
        Samples buffer = new Samples();
        Samples commit = new Samples();
        Samples apply = new Samples();
        Samples floor = new Samples();
        ByteBuffer block = ByteBuffer.allocateDirect(BLOCK_BYTES);
        int[] offsets = new int[bytes / BLOCK_BYTES];
        for (int round = 0; round < ROUNDS_WARM + rounds; round++) {
            long epoch = first + round;
            for (int i = 0; i < offsets.length; i++) {
                offsets[i] = random.nextInt(DISK_BYTES / BLOCK_BYTES) * BLOCK_BYTES;
            }
            random.nextBytes(data);
            block.clear().put(data, 0, BLOCK_BYTES);
            long start = System.nanoTime();
            for (int offset : offsets) {
                disks.write(0, offset, block.rewind());
            }
            long taken = System.nanoTime();
            disks.boundary(epoch);
            disks.commit(epoch);
            long committed = System.nanoTime();
            DiskFigures before = disks.figures();
            disks.apply(epoch);
            long applyNanos = awaitApplied(disks, epoch).applyNanos() - before.applyNanos();
            long begin = System.nanoTime();
            for (int offset : offsets) {
                plain.write(block.rewind(), offset);
            }
            plain.force(false);
            long end = System.nanoTime();
            if (round >= ROUNDS_WARM) {
                buffer.add((taken - start) / 1e3);
                commit.add((committed - taken) / 1e3);
                apply.add(applyNanos / 1e3);
                floor.add((end - begin) / 1e3);
            }
        }
        return new Row(
                bytes,
                rounds,
                buffer.median(),
                commit.median(),
                commit.quantile(0.99),
                apply.median(),
                apply.quantile(0.99),
                floor.median(),
                floor.quantile(0.99),
                commit.median() / floor.median());
    }

    private static DiskFigures awaitApplied(ReplicaImages disks, long epoch) {
        long start = System.nanoTime();
        DiskFigures figures = disks.figures();
        while (figures.appliedEpoch().orElse(-1) < epoch) {
            if (System.nanoTime() - start > APPLY_NANOS_MAX) {
                throw new BenchException("epoch " + epoch + " was not applied in a minute");
            }
            Thread.onSpinWait();
            figures = disks.figures();
        }
        return figures;
    }
}
