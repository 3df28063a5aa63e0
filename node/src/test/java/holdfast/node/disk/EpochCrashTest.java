package holdfast.node.disk;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;

import holdfast.engine.DiskException;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.slf4j.LoggerFactory;

import java.util.Arrays;
import java.util.List;
import java.util.OptionalLong;
import java.util.SplittableRandom;
import java.util.TreeMap;

/** Dies at every step of a session; what is found afterwards is an epoch, and the last one. */
class EpochCrashTest {
    private static final int SCRIPTS = Integer.getInteger("holdfast.scripts", 3);
    private static final int EPOCHS = 9;
    private static final long NANOS_MAX = 20_000_000_000L;

    /** A session up to its end or its death. */
    private static final class Run {
        private final TreeMap<Long, byte[][]> atEpoch = new TreeMap<>();
        private long committed = -1;
        private long committing = -1;
        private boolean settled;

        /** The same seed does the same. */
        void play(CrashingFiles files, long seed) throws Exception {
            SplittableRandom random = new SplittableRandom(seed);
            DiskModel model = new DiskModel(random);
            DiskModel.makeImages(files, random);
            try (ReplicaImages disks = DiskModel.open(files)) {
                model.synchronise(disks);
                for (long epoch = 0; epoch < EPOCHS; epoch++) {
                    disks.boundary(epoch);
                    atEpoch.put(epoch, model.copy());
                    // Some of the next epoch comes before this one is committed.
                    int early = random.nextInt(3) == 0 ? 0 : random.nextInt(12);
                    for (int i = 0; i < early; i++) {
                        model.write(disks);
                    }
                    committing = epoch;
                    disks.commit(epoch);
                    committed = epoch;
                    disks.apply(epoch);
                    if (random.nextInt(3) > 0) {
                        awaitApplied(disks, epoch, files);
                    }
                    int late = random.nextInt(4) == 0 ? 0 : random.nextInt(6);
                    for (int i = 0; i < late; i++) {
                        model.write(disks);
                    }
                }
                disks.discardPartial();
                disks.settle();
                settled = true;
            } catch (CrashingFiles.Died | DiskException e) {
                assertThat(files.died()).as("%s", e).isTrue();
            }
        }
    }

    private static void awaitApplied(ReplicaImages disks, long epoch, CrashingFiles files) {
        long start = System.nanoTime();
        while (disks.figures().appliedEpoch().orElse(-1) < epoch && !files.died()) {
            assertThat(System.nanoTime() - start).isLessThan(NANOS_MAX);
            Thread.onSpinWait();
        }
    }

    @BeforeAll
    static void say_nothing_of_thousands_of_redone_journals() {
        ((Logger) LoggerFactory.getLogger("holdfast.node.disk")).setLevel(Level.OFF);
    }

    @AfterAll
    static void say_everything_again() {
        ((Logger) LoggerFactory.getLogger("holdfast.node.disk")).setLevel(null);
    }

    @ParameterizedTest
    @EnumSource
    void the_images_are_at_the_last_committed_epoch_wherever_it_dies(CrashingFiles.Death death)
            throws Exception {
        long first = Long.getLong("holdfast.seed", System.nanoTime() & 0xFFFF);
        long deaths = 0;
        for (long seed = first; seed < first + SCRIPTS; seed++) {
            boolean dead = true;
            for (long step = 1; dead; step++) {
                String name = death + " seed " + seed + " step " + step;
                CrashingFiles files = new CrashingFiles(step, new SplittableRandom(seed + step));
                Run run = new Run();
                try {
                    run.play(files, seed);
                    dead = files.died();
                    deaths += dead ? 1 : 0;
                    check(name, run, files.afterwards(death, 0));
                    if (step % 5 == 0) {
                        redoAfterDeaths(name, run, files, death);
                    }
                } catch (CrashingFiles.Died e) {
                    // Before there was a session.
                    continue;
                } catch (RuntimeException | AssertionError e) {
                    throw new AssertionError(name + ": -Dholdfast.seed=" + seed, e);
                }
            }
        }
        System.out.println(death + ": " + deaths + " deaths, seeds from " + first);
    }

    /** The redo dies as well, at each of its steps in turn. */
    private static void redoAfterDeaths(
            String name, Run run, CrashingFiles files, CrashingFiles.Death death) {
        boolean dead = true;
        CrashingFiles left = files.afterwards(death, 0);
        for (long step = 1; dead && step < 400; step++) {
            CrashingFiles again = left.afterwards(CrashingFiles.Death.PROCESS, step);
            try {
                ReplicaRecovery.redoAll(again, DiskModel.JOURNALS);
                dead = false;
            } catch (CrashingFiles.Died e) {
                check(name + ", redo " + step, run, again.afterwards(death, 0));
            }
        }
    }

    private static void check(String name, Run run, CrashingFiles files) {
        List<ReplicaRecovery.Redone> redone = ReplicaRecovery.redoAll(files, DiskModel.JOURNALS);
        assertThat(files.list(DiskModel.JOURNALS)).as(name).isEmpty();
        OptionalLong epoch = redone.isEmpty() ? OptionalLong.empty() : redone.getFirst().epoch();
        if (run.committed < 0 && epoch.isEmpty()) {
            return;
        }
        byte[][] found = {
            files.content(DiskModel.PATHS.get(0)), files.content(DiskModel.PATHS.get(1))
        };
        if (epoch.isPresent()) {
            assertThat(found)
                    .as("%s: epoch %s", name, epoch)
                    .isDeepEqualTo(run.atEpoch.get(epoch.getAsLong()));
        }
        // A commit that was under way may count or not; an epoch without writes leaves no trace.
        assertThat(
                        Arrays.deepEquals(found, run.atEpoch.get(Math.max(0, run.committed)))
                                || Arrays.deepEquals(found, run.atEpoch.get(run.committing)))
                .as("%s: committed %d, found %s", name, run.committed, epoch)
                .isTrue();
        if (run.settled) {
            assertThat(found).as(name).isDeepEqualTo(run.atEpoch.get(run.committed));
        }
    }
}
