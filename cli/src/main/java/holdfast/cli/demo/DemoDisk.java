package holdfast.cli.demo;

import holdfast.node.api.ApiClient;
import holdfast.node.api.DomainStatus;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The guest's disk in the demo, seen from outside the guest. */
final class DemoDisk {
    private static final int MIB = 256;
    private static final int BLOCK_BYTES = 4096;
    private static final int BLOCKS = (MIB << 20) / BLOCK_BYTES;
    private static final long APPLY_SECONDS = 20;
    private static final long LOOK_MILLIS = 10;

    /** Epochs that may hold writes of before a suspension without being counted as committed. */
    private static final int UNDER_WAY_EPOCHS = 2;

    private static final int CHUNK_BYTES = 1 << 20;
    private static final Pattern MISSING =
            Pattern.compile("writes missing in the append-only file: (\\d+) of \\d+");

    /**
     * What a survivor's image is worth.
     *
     * @param fileSystemClean and the append-only file on it as well
     * @param lostWrites acknowledged ones that the append-only file lacks; -1 if it cannot be read
     * @param findings what was wrong; empty where nothing was
     */
    private record Verdict(boolean fileSystemClean, long lostWrites, String findings) {}

    private final Path script;
    private final Timeline timeline;
    private long differing;
    private Optional<Verdict> verdict = Optional.empty();

    /**
     * @param script {@code scripts/check-disk.sh}
     */
    DemoDisk(Path script, Timeline timeline) {
        this.script = script;
        this.timeline = timeline;
    }

    /** Makes an image: blank, and of no block yet. */
    static void create(Path image) {
        try {
            Files.createDirectories(image.getParent());
            try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
                file.setLength((long) MIB << 20);
            }
        } catch (IOException e) {
            throw new DemoException("no room for the guest's disk: " + e.getMessage(), e);
        }
    }

    /** Blocks that differed, in all comparisons together. */
    long blocksDiffering() {
        return differing;
    }

    /** Null before {@link #check}. */
    Boolean fileSystemClean() {
        return verdict.map(Verdict::fileSystemClean).orElse(null);
    }

    /** -1 before {@link #check}, and when the append-only file could not be read. */
    long lostWrites() {
        return verdict.map(Verdict::lostWrites).orElse(-1L);
    }

    /**
     * Compares the images of a protected domain's two hosts. Only under a suspended guest is there
     * a time at which the primary's image is that of a committed epoch: checkpoints go on, and
     * those that begin from then on find nothing written.
     */
    void compare(Lab.Host primary, ApiClient from, Lab.Host secondary, ApiClient to) {
        from.pause(Demo.DOMAIN);
        try {
            DomainStatus paused = from.status(Demo.DOMAIN);
            DomainStatus replica =
                    awaitApplied(to, paused.protection().epochsCommitted() + UNDER_WAY_EPOCHS);
            long found = blocksDiffering(image(paused), image(replica));
            differing += found;
            timeline.happened(
                    "the guest suspended in epoch %d: of %,d blocks on %s's disk, %d differ from %s's"
                            .formatted(
                                    replica.protection().replication().replica().appliedEpoch(),
                                    BLOCKS,
                                    primary,
                                    found,
                                    secondary));
        } catch (IOException e) {
            throw new DemoException("the disks' images cannot be compared: " + e.getMessage(), e);
        } finally {
            from.unpause(Demo.DOMAIN);
        }
    }

    /** The status of a secondary with that epoch, or a later one, in its image. */
    private static DomainStatus awaitApplied(ApiClient secondary, long epoch) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(APPLY_SECONDS);
        while (true) {
            DomainStatus status = secondary.status(Demo.DOMAIN);
            if (status.protection().replication().replica().appliedEpoch() >= epoch) {
                return status;
            }
            if (System.nanoTime() > deadline) {
                throw new DemoException(
                        "epoch %d is not in the replica's image after %d s: %s"
                                .formatted(epoch, APPLY_SECONDS, status.protection()));
            }
            // Epochs are no event of the API.
            Demo.sleep(LOOK_MILLIS);
        }
    }

    private static Path image(DomainStatus domain) {
        return Path.of(domain.disks().getFirst().path());
    }

    /**
     * Looks at the image that the domain has survived on; the guest stays suspended.
     *
     * @param acked writes that the client got an answer to
     */
    void check(Lab.Host survivor, ApiClient node, long acked) {
        Verdict found = look(image(node.pause(Demo.DOMAIN)), acked);
        verdict = Optional.of(found);
        timeline.happened(
                found.findings().isEmpty()
                        ? "%s's disk: the file system is clean, redis-check-aof content, %d writes on it: %d lost"
                                .formatted(survivor, acked, found.lostWrites())
                        : survivor + "'s disk: " + found.findings().strip());
    }

    /** Blocks in which two images that nobody writes differ. */
    private static long blocksDiffering(Path one, Path other) throws IOException {
        try (FileChannel first = FileChannel.open(one, StandardOpenOption.READ);
                FileChannel second = FileChannel.open(other, StandardOpenOption.READ)) {
            long bytes = first.size();
            if (second.size() != bytes) {
                throw new IOException(
                        "%s has %d bytes, %s %d".formatted(one, bytes, other, second.size()));
            }
            ByteBuffer a = ByteBuffer.allocateDirect(CHUNK_BYTES);
            ByteBuffer b = ByteBuffer.allocateDirect(CHUNK_BYTES);
            long differing = 0;
            for (long at = 0; at < bytes; at += CHUNK_BYTES) {
                int count = (int) Math.min(CHUNK_BYTES, bytes - at);
                fill(first, a.clear().limit(count), at);
                fill(second, b.clear().limit(count), at);
                if (a.mismatch(b) >= 0) {
                    differing += blocksDiffering(a, b, count);
                }
            }
            return differing;
        }
    }

    private static long blocksDiffering(ByteBuffer a, ByteBuffer b, int count) {
        long differing = 0;
        for (int at = 0; at < count; at += BLOCK_BYTES) {
            int length = Math.min(BLOCK_BYTES, count - at);
            if (a.slice(at, length).mismatch(b.slice(at, length)) >= 0) {
                differing++;
            }
        }
        return differing;
    }

    private static void fill(FileChannel file, ByteBuffer into, long from) throws IOException {
        while (into.hasRemaining()) {
            if (file.read(into, from + into.position()) < 0) {
                throw new IOException("the image ends at byte " + (from + into.position()));
            }
        }
        into.flip();
    }

    /** The script looks at a copy. */
    private Verdict look(Path image, long writes) {
        Shell.Result fileSystem =
                Shell.attempt(List.of(script.toString(), "file-system", image.toString()));
        Shell.Result redis =
                Shell.attempt(
                        List.of(
                                script.toString(),
                                "redis",
                                image.toString(),
                                Long.toString(writes)));
        Matcher missing = MISSING.matcher(redis.output());
        // It counts in a file that has passed the check.
        boolean counted = missing.find();
        StringBuilder findings = new StringBuilder();
        for (Shell.Result each : List.of(fileSystem, redis)) {
            if (each.status() != 0) {
                findings.append(each.output());
            }
        }
        return new Verdict(
                fileSystem.status() == 0 && counted,
                counted ? Long.parseLong(missing.group(1)) : -1,
                findings.toString());
    }
}
