package holdfast.node.disk;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.Node;
import holdfast.node.store.StateDirectory;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.io.BufferedReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;

/**
 * SIGKILL at a random moment, real processes and files: the image is at an epoch, and not before
 * the last one whose commit was told. {@code -Dholdfast.kills=200} for the long run.
 */
class DaemonKillTest {
    private static final int KILLS = Integer.getInteger("holdfast.kills", 12);

    @TempDir Path directory;

    @Test
    void no_epoch_is_applied_in_part() throws Exception {
        long first = Long.getLong("holdfast.seed", System.nanoTime() & 0xFFFFF);
        int redoneBehind = 0;
        int unusable = 0;
        long epochs = 0;
        for (long seed = first; seed < first + KILLS; seed++) {
            Path journals = directory.resolve("j" + seed);
            Path image = directory.resolve("i" + seed);
            long told = runAndKill(journals, image, seed);
            byte[] before = Files.exists(image) ? Files.readAllBytes(image) : new byte[0];
            List<ReplicaRecovery.Redone> redone = ReplicaRecovery.redoAll(journals);
            if (redone.isEmpty() || redone.getFirst().epoch().isEmpty()) {
                assertThat(told).as("seed %d", seed).isEqualTo(-1);
                unusable++;
                continue;
            }
            long found = redone.getFirst().epoch().getAsLong();
            byte[] after = Files.readAllBytes(image);
            // Epochs without a write leave no trace, so the last one told may be such.
            byte[] expected = expected(seed, Math.max(found, told));
            assertThat(Arrays.equals(after, expected))
                    .as("seed %d, told %d, found %d: -Dholdfast.seed=%d", seed, told, found, seed)
                    .isTrue();
            redoneBehind += Arrays.equals(before, after) ? 0 : 1;
            epochs += found;
            assertThat(journals).isEmptyDirectory();
            Files.delete(image);
        }
        System.out.printf(
                "%d kills, seeds from %d: %d epochs, %d images were behind or half way, %d never"
                        + " complete%n",
                KILLS, first, epochs, redoneBehind, unusable);
        assertThat(unusable).isLessThan(KILLS);
    }

    @Test
    void a_daemon_that_starts_redoes_what_a_dead_one_left() throws Exception {
        StateDirectory state = new StateDirectory(directory.resolve("state"));
        state.create();
        Path journals = state.path().resolve("journals");
        Path image = directory.resolve("web.img");
        // Of these the writer is killed after its first commit.
        long seed = 1;
        while (new SplittableRandom(seed).nextInt(10) == 0) {
            seed++;
        }
        long told = runAndKill(journals, image, seed);
        assertThat(journals).isNotEmptyDirectory();
        try (Node node =
                Node.start(new Node.Settings("a", "127.0.0.1", 0, state, directory, 100, 1000))) {
            assertThat(node.list()).isEmpty();
            assertThat(journals).isEmptyDirectory();
            byte[] found = Files.readAllBytes(image);
            // The commit under way may count, and those after it that nobody heard of.
            boolean whole = false;
            for (long epoch = told; epoch < told + 10 && !whole; epoch++) {
                whole = Arrays.equals(found, expected(seed, epoch));
            }
            assertThat(whole).as("at epoch %d or later", told).isTrue();
        }
    }

    private static long runAndKill(Path journals, Path image, long seed) throws Exception {
        SplittableRandom random = new SplittableRandom(seed);
        Process writer =
                new ProcessBuilder(
                                ProcessHandle.current().info().command().orElseThrow(),
                                "-XX:TieredStopAtLevel=1",
                                "-XX:+UseSerialGC",
                                "-Xshare:auto",
                                "--enable-native-access=ALL-UNNAMED",
                                "-cp",
                                System.getProperty("java.class.path"),
                                EpochWriterMain.class.getName(),
                                journals.toString(),
                                image.toString(),
                                Long.toString(seed))
                        .redirectError(ProcessBuilder.Redirect.INHERIT)
                        .start();
        long last = -1;
        try (BufferedReader said = writer.inputReader()) {
            // Killed some time after a random epoch: before the first one every tenth time.
            int until = random.nextInt(10) == 0 ? -1 : random.nextInt(40);
            while (last < until) {
                String line = said.readLine();
                assertThat(line).as("the writer ended by itself").isNotNull();
                last = number(line, last);
            }
            TimeUnit.MICROSECONDS.sleep(random.nextInt(20_000));
            // By its handle: the process itself would close what it said with it.
            writer.toHandle().destroyForcibly();
            for (String line = said.readLine(); line != null; line = said.readLine()) {
                last = number(line, last);
            }
        } finally {
            writer.destroyForcibly().waitFor();
        }
        return last;
    }

    /** A number on a line; what a log says meanwhile is none. */
    private static long number(String line, long otherwise) {
        return line.matches("\\d+") ? Long.parseLong(line) : otherwise;
    }

    private static byte[] expected(long seed, long upTo) {
        byte[] disk = new byte[EpochWriterMain.DISK_BYTES];
        for (long epoch = 0; epoch <= upTo; epoch++) {
            EpochWriterMain.epoch(
                    seed,
                    epoch,
                    new EpochWriterMain.Target() {
                        @Override
                        public void write(long offsetBytes, byte[] data) {
                            System.arraycopy(data, 0, disk, (int) offsetBytes, data.length);
                        }

                        @Override
                        public void zero(long offsetBytes, int bytes) {
                            Arrays.fill(
                                    disk, (int) offsetBytes, (int) offsetBytes + bytes, (byte) 0);
                        }
                    });
        }
        return disk;
    }
}
