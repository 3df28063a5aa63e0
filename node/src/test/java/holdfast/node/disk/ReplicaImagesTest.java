package holdfast.node.disk;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.DiskException;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

@Timeout(60)
class ReplicaImagesTest {
    private final SplittableRandom random = new SplittableRandom(7);
    private final CrashingFiles files = new CrashingFiles(0, random);
    private final DiskModel model = new DiskModel(random);

    private ReplicaImages complete() throws Exception {
        DiskModel.makeImages(files, random);
        ReplicaImages disks = DiskModel.open(files);
        model.synchronise(disks);
        disks.boundary(0);
        disks.commit(0);
        disks.apply(0);
        return disks;
    }

    private void assertImages(byte[][] expected) {
        for (int disk = 0; disk < expected.length; disk++) {
            assertThat(files.content(DiskModel.PATHS.get(disk))).isEqualTo(expected[disk]);
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void two_threads_see_the_order_of_the_guest(long seed) throws Exception {
        try (ReplicaImages disks = complete()) {
            int epochs = 60;
            java.util.concurrent.Semaphore may = new java.util.concurrent.Semaphore(1);
            java.util.concurrent.LinkedBlockingQueue<Long> seen =
                    new java.util.concurrent.LinkedBlockingQueue<>();
            CompletableFuture<Void> link =
                    CompletableFuture.runAsync(
                            () -> {
                                SplittableRandom many = new SplittableRandom(seed);
                                for (long epoch = 1; epoch <= epochs; epoch++) {
                                    for (int i = many.nextInt(30); i > 0; i--) {
                                        model.write(disks);
                                    }
                                    may.acquireUninterruptibly();
                                    disks.boundary(epoch);
                                    seen.add(epoch);
                                }
                            });
            for (long epoch = 1; epoch <= epochs; epoch++) {
                assertThat(seen.poll(20, TimeUnit.SECONDS)).isEqualTo(epoch);
                disks.commit(epoch);
                may.release();
                disks.apply(epoch);
            }
            link.get(20, TimeUnit.SECONDS);
            disks.settle();
            assertImages(model.disks);
            assertThat(disks.figures().spilledBytes()).isPositive();
            assertThat(files.list(DiskModel.JOURNALS)).isEmpty();
        }
    }

    @Test
    void what_is_not_committed_is_discarded() throws Exception {
        ReplicaImages disks = complete();
        model.write(disks);
        disks.boundary(1);
        disks.commit(1);
        disks.apply(1);
        byte[][] atOne = model.copy();
        for (int i = 0; i < 50; i++) {
            model.write(disks);
        }
        disks.boundary(2);
        for (int i = 0; i < 50; i++) {
            model.write(disks);
        }
        disks.discardPartial();
        model.write(disks);
        disks.boundary(3);
        assertThatThrownBy(() -> disks.commit(2)).isInstanceOf(DiskException.class);
        disks.settle();
        disks.settle();
        assertImages(atOne);
        disks.close();
        disks.close();
        assertImages(atOne);
        assertThatThrownBy(() -> disks.write(0, 0, ByteBuffer.allocate(1)))
                .isInstanceOf(DiskException.class)
                .hasMessageContaining("closed");
    }

    @Test
    void closing_without_settling_leaves_the_last_commit_and_no_journal() throws Exception {
        byte[][] atOne;
        try (ReplicaImages disks = complete()) {
            model.write(disks);
            disks.boundary(1);
            atOne = model.copy();
            disks.commit(1);
            model.write(disks);
        }
        assertImages(atOne);
        assertThat(files.list(DiskModel.JOURNALS)).isEmpty();
    }

    @Test
    void images_that_were_never_complete_cannot_be_settled() throws Exception {
        DiskModel.makeImages(files, random);
        try (ReplicaImages disks = DiskModel.open(files)) {
            model.synchronise(disks);
            disks.boundary(0);
            assertThatThrownBy(disks::settle).hasMessageContaining("never complete");
            assertThatThrownBy(() -> disks.commit(1)).hasMessageContaining("boundary");
            assertThatThrownBy(() -> disks.apply(0)).hasMessageContaining("not committed");
            disks.commit(0);
        }
    }

    @Test
    void a_write_outside_of_the_disk_harms_nothing() throws Exception {
        try (ReplicaImages disks = complete()) {
            assertThatThrownBy(() -> disks.write(1, 1499, ByteBuffer.allocate(2)))
                    .isInstanceOf(DiskException.class)
                    .hasMessageContaining("/sim/b.img")
                    .hasMessageContaining("offset 1499");
            assertThatThrownBy(() -> disks.writeZeroes(2, 0, 1)).isInstanceOf(DiskException.class);
            disks.boundary(1);
            disks.commit(1);
            disks.settle();
            assertImages(model.disks);
        }
    }

    @Test
    void a_full_journal_fails_the_commit_and_room_mends_it() throws Exception {
        ReplicaImages disks = complete();
        byte[][] before = model.copy();
        // More than what is left of a sector.
        random.nextBytes(model.disks[0]);
        disks.write(0, 0, ByteBuffer.wrap(model.disks[0], 0, 600));
        System.arraycopy(before[0], 600, model.disks[0], 600, before[0].length - 600);
        disks.boundary(1);
        files.limitRoom(10);
        assertThatThrownBy(() -> disks.commit(1))
                .isInstanceOf(DiskException.class)
                .hasMessageContaining(DiskModel.JOURNALS.toString())
                .hasMessageContaining("No space left")
                .hasMessageContaining("10 bytes are free")
                .hasMessageContaining("make room");
        assertImages(before);
        // A process that dies now has not committed it either.
        ReplicaRecovery.redoAll(
                files.afterwards(CrashingFiles.Death.PROCESS, 0), DiskModel.JOURNALS);
        assertImages(before);
        files.limitRoom(Long.MAX_VALUE);
        disks.commit(1);
        disks.apply(1);
        disks.settle();
        assertImages(model.disks);
        disks.close();
    }

    @Test
    void a_full_journal_fails_the_session_when_the_epoch_lost_a_write() throws Exception {
        ReplicaImages disks = complete();
        byte[][] before = model.copy();
        files.limitRoom(10);
        assertThatThrownBy(
                        () -> {
                            for (int i = 0; i < 100; i++) {
                                model.write(disks);
                            }
                        })
                .isInstanceOf(DiskException.class)
                .hasMessageContaining("No space left");
        files.limitRoom(Long.MAX_VALUE);
        assertThatThrownBy(() -> disks.boundary(1)).hasMessageContaining("No space left");
        disks.close();
        assertImages(before);
    }

    /** As a file system does that finds out late, one on another machine for example. */
    @Test
    void a_force_that_finds_no_room_commits_nothing_and_ends_the_session() throws Exception {
        ReplicaImages disks = complete();
        byte[][] before = model.copy();
        model.write(disks);
        disks.boundary(1);
        files.failForce(1);
        assertThatThrownBy(() -> disks.commit(1))
                .isInstanceOf(DiskException.class)
                .hasMessageContaining("fdatasync failed: No space left on device")
                .hasMessageContaining("make room");
        // What the kernel has dropped, a second force would not tell.
        assertThatThrownBy(() -> disks.commit(1)).hasMessageContaining("No space left");
        ReplicaRecovery.redoAll(
                files.afterwards(CrashingFiles.Death.PROCESS, 0), DiskModel.JOURNALS);
        disks.close();
        assertImages(before);
        assertThat(files.list(DiskModel.JOURNALS)).isEmpty();
    }

    @Test
    void an_image_that_cannot_grow_is_told_and_redone_when_it_can() throws Exception {
        for (Path path : DiskModel.PATHS) {
            files.create(path);
        }
        ReplicaImages disks = DiskModel.open(files);
        disks.boundary(0);
        disks.commit(0);
        disks.write(0, 0, ByteBuffer.wrap(new byte[] {1, 2, 3}));
        disks.write(0, 5000, ByteBuffer.wrap(new byte[] {4, 5, 6}));
        disks.boundary(1);
        disks.commit(1);
        files.limitRoom(100);
        // The first of both that the applier's failure reaches says it.
        assertThatThrownBy(
                        () -> {
                            disks.apply(1);
                            disks.settle();
                        })
                .isInstanceOf(DiskException.class)
                .hasMessageContaining("/sim/a.img")
                .hasMessageContaining("No space left");
        assertThatThrownBy(() -> disks.apply(1)).isInstanceOf(DiskException.class);
        assertThatThrownBy(() -> disks.write(0, 0, ByteBuffer.allocate(1)))
                .isInstanceOf(DiskException.class);
        files.limitRoom(Long.MAX_VALUE);
        disks.settle();
        byte[] image = files.content(DiskModel.PATHS.get(0));
        assertThat(image).hasSize(5003).startsWith(1, 2, 3).endsWith(4, 5, 6);
        disks.close();
    }

    @Test
    void a_journal_that_cannot_be_applied_stays_for_the_next_start() throws Exception {
        for (Path path : DiskModel.PATHS) {
            files.create(path);
        }
        ReplicaImages disks = DiskModel.open(files);
        disks.boundary(0);
        disks.commit(0);
        disks.write(0, 5000, ByteBuffer.wrap(new byte[] {4, 5, 6}));
        disks.boundary(1);
        disks.commit(1);
        files.limitRoom(100);
        disks.close();
        assertThat(files.list(DiskModel.JOURNALS)).hasSize(1);
        CrashingFiles later = files.afterwards(CrashingFiles.Death.HOST, 0);
        later.create(DiskModel.PATHS.get(0)).resize(6000);
        later.create(DiskModel.PATHS.get(1)).resize(1500);
        List<ReplicaRecovery.Redone> redone = ReplicaRecovery.redoAll(later, DiskModel.JOURNALS);
        assertThat(redone).hasSize(1);
        assertThat(redone.getFirst().epoch()).hasValue(1);
        assertThat(later.content(DiskModel.PATHS.get(0))).hasSize(6000).containsSequence(4, 5, 6);
    }

    @Test
    void a_blocked_write_goes_on_when_there_is_room_and_fails_when_it_is_closed() throws Exception {
        DiskModel.makeImages(files, random);
        DiskBounds tight = new DiskBounds(512, 4, 2048, 4096, 4096, 2048);
        List<ImageFile> images =
                List.of(
                        new ImageFile(
                                DiskModel.PATHS.get(0),
                                files,
                                files.openImage(DiskModel.PATHS.get(0))),
                        new ImageFile(
                                DiskModel.PATHS.get(1),
                                files,
                                files.openImage(DiskModel.PATHS.get(1))));
        ReplicaImages disks =
                ReplicaImages.begin(files, DiskModel.JOURNALS, DiskModel.header(), images, tight);
        model.synchronise(disks);
        disks.boundary(0);
        // Epoch 0 waits for its commit, so these may wait for room.
        CompletableFuture<Void> writer =
                CompletableFuture.runAsync(
                        () -> {
                            for (int i = 0; i < 40; i++) {
                                model.write(disks);
                            }
                        });
        long start = System.nanoTime();
        while (disks.figures().journalBytes() < 4096) {
            assertThat(System.nanoTime() - start).isLessThan(20_000_000_000L);
            Thread.onSpinWait();
        }
        assertThat(writer).isNotDone();
        // With nothing older left, the epoch alone is too large, and that is said.
        disks.commit(0);
        disks.apply(0);
        assertThatThrownBy(() -> writer.get(20, TimeUnit.SECONDS))
                .hasRootCauseInstanceOf(DiskException.class)
                .hasMessageContaining("in one epoch");
        disks.close();

        ReplicaImages second =
                ReplicaImages.begin(files, DiskModel.JOURNALS, DiskModel.header(), images, tight);
        second.boundary(0);
        CompletableFuture<Void> blocked =
                CompletableFuture.runAsync(
                        () -> {
                            for (int i = 0; i < 400; i++) {
                                model.write(second);
                            }
                        });
        while (second.figures().journalBytes() < 4096) {
            Thread.onSpinWait();
        }
        second.close();
        assertThatThrownBy(() -> blocked.get(20, TimeUnit.SECONDS))
                .hasRootCauseInstanceOf(DiskException.class)
                .hasMessageContaining("closed");
    }

    @Test
    void a_damaged_journal_is_told_from_a_torn_one() throws Exception {
        ReplicaImages disks = complete();
        for (long epoch = 1; epoch < 4; epoch++) {
            model.write(disks);
            disks.boundary(epoch);
            disks.commit(epoch);
        }
        CrashingFiles dead = files.afterwards(CrashingFiles.Death.PROCESS, 0);
        disks.close();
        Path directory = DiskModel.JOURNALS.resolve(DiskModel.SESSION.toString());
        Path first = Journal.path(directory, 1);
        // The header is damaged: nobody knows what it was about.
        dead.open(first).write(ByteBuffer.wrap(new byte[] {1}), 20);
        assertThat(ReplicaRecovery.redoAll(dead, DiskModel.JOURNALS)).isEmpty();
        assertThat(dead.exists(first)).isTrue();
    }
}
