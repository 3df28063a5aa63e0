package holdfast.node.disk;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;

import holdfast.engine.DiskException;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

import java.util.List;
import java.util.SplittableRandom;
import java.util.TreeMap;

/**
 * The file system of a replica's images and journal is full, a sector later each time: images are
 * at the last committed epoch or say that they are not, and a session with room begins anew.
 */
class EpochFullTest {
    private static final int SCRIPTS = Integer.getInteger("holdfast.scripts", 20);
    private static final int EPOCHS = 9;
    private static final long SECTOR_BYTES = 512;
    private static final long ENOUGH_BYTES = 1 << 20;

    /** A session up to its end or its failure. */
    private static final class Run {
        private final TreeMap<Long, byte[][]> atEpoch = new TreeMap<>();
        private long committed = -1;
        private boolean settled;

        /**
         * @param room that is left when the session begins
         */
        void play(CrashingFiles files, long seed, long room) throws Exception {
            SplittableRandom random = new SplittableRandom(seed);
            DiskModel model = new DiskModel(random);
            DiskModel.makeImages(files, random);
            files.limitRoom(room);
            try (ReplicaImages disks = DiskModel.open(files)) {
                try {
                    model.synchronise(disks);
                    for (long epoch = 0; epoch < EPOCHS; epoch++) {
                        disks.boundary(epoch);
                        atEpoch.put(epoch, model.copy());
                        for (int i = random.nextInt(12); i > 0; i--) {
                            model.write(disks);
                        }
                        disks.commit(epoch);
                        committed = epoch;
                        disks.apply(epoch);
                        for (int i = random.nextInt(6); i > 0; i--) {
                            model.write(disks);
                        }
                    }
                } finally {
                    // As a session does, whose primary may be lost in this very moment.
                    disks.discardPartial();
                    disks.settle();
                    settled = true;
                }
            } catch (DiskException e) {
                String said = e.getMessage();
                assertThat(said)
                        .matches(
                                "(?s).*(No space left on device.*make room|were never complete).*");
            }
        }
    }

    @BeforeAll
    static void say_nothing_of_hundreds_of_failures() {
        ((Logger) LoggerFactory.getLogger("holdfast.node.disk")).setLevel(Level.OFF);
    }

    @AfterAll
    static void say_everything_again() {
        ((Logger) LoggerFactory.getLogger("holdfast.node.disk")).setLevel(null);
    }

    @Test
    void the_images_are_at_the_last_committed_epoch_or_wait_for_room_wherever_it_ends()
            throws Exception {
        long first = Long.getLong("holdfast.seed", System.nanoTime() & 0xFFFF);
        int failed = 0;
        int left = 0;
        for (long seed = first; seed < first + SCRIPTS; seed++) {
            boolean whole = false;
            for (long room = 0; !whole; room += SECTOR_BYTES) {
                CrashingFiles files = new CrashingFiles(0, new SplittableRandom(seed + room));
                try {
                    Run run = new Run();
                    run.play(files, seed, room);
                    whole = run.committed == EPOCHS - 1 && run.settled;
                    failed += whole ? 0 : 1;
                    left += files.list(DiskModel.JOURNALS).isEmpty() ? 0 : 1;
                    requireLastCommit(run, files);
                    requireNewSession(files, seed + 1);
                } catch (RuntimeException | AssertionError e) {
                    throw new AssertionError(
                            "room for " + room + " bytes: -Dholdfast.seed=" + seed, e);
                }
            }
        }
        System.out.printf(
                "%d sessions failed, %d left a journal, seeds from %d%n", failed, left, first);
        assertThat(failed).isPositive();
        assertThat(left).isPositive();
    }

    /** At once where they were settled; else with the journal, once there is room. */
    private static void requireLastCommit(Run run, CrashingFiles files) {
        if (!run.settled && run.committed >= 0) {
            // Still full: what cannot be redone stays.
            ReplicaRecovery.redoAll(files, DiskModel.JOURNALS);
        }
        files.limitRoom(ENOUGH_BYTES);
        List<ReplicaRecovery.Redone> redone = ReplicaRecovery.redoAll(files, DiskModel.JOURNALS);
        assertThat(files.list(DiskModel.JOURNALS)).isEmpty();
        if (run.committed < 0) {
            assertThat(run.settled).isFalse();
            redone.forEach(session -> assertThat(session.epoch()).isEmpty());
            return;
        }
        byte[][] found = {
            files.content(DiskModel.PATHS.get(0)), files.content(DiskModel.PATHS.get(1))
        };
        assertThat(found)
                .as("committed %d", run.committed)
                .isDeepEqualTo(run.atEpoch.get(run.committed));
    }

    private static void requireNewSession(CrashingFiles files, long seed) throws Exception {
        Run again = new Run();
        again.play(files, seed, ENOUGH_BYTES);
        assertThat(again.settled).isTrue();
        requireLastCommit(again, files);
    }
}
