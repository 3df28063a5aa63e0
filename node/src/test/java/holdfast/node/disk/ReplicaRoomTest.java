package holdfast.node.disk;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.DiskException;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.UUID;

class ReplicaRoomTest {
    private static final long MIB = 1 << 20;
    private static final int DISK_BYTES = 1 << 20;

    @TempDir Path directory;

    /** Real files on a file system whose room is made up. */
    private static final class Roomy implements DiskFiles {
        private final SystemFiles real = new SystemFiles(ImageUse.REPLICA);
        long freeBytes = 1000 * MIB;
        Optional<Path> foundFull = Optional.empty();

        @Override
        public ImageUse use() {
            return real.use();
        }

        @Override
        public OpenFile openImage(Path path) throws IOException {
            return real.openImage(path);
        }

        @Override
        public OpenFile open(Path path) throws IOException {
            return real.open(path);
        }

        @Override
        public OpenFile create(Path path) throws IOException {
            return real.create(path);
        }

        @Override
        public List<Path> list(Path directory) throws IOException {
            return real.list(directory);
        }

        @Override
        public void createDirectory(Path directory) throws IOException {
            real.createDirectory(directory);
        }

        @Override
        public void rename(Path from, Path to) throws IOException {
            real.rename(from, to);
        }

        @Override
        public void delete(Path path) throws IOException {
            real.delete(path);
        }

        @Override
        public void forceDirectory(Path directory) throws IOException {
            real.forceDirectory(directory);
        }

        @Override
        public long usableBytes(Path path) {
            return freeBytes;
        }

        @Override
        public Optional<Path> foundFull() {
            return foundFull;
        }
    }

    private final Roomy files = new Roomy();
    private final ReplicaRoom room = new ReplicaRoom(files);

    private ReplicaImages.Image image() {
        return new ReplicaImages.Image(directory.resolve("web.img"), DISK_BYTES);
    }

    private ReplicaImages open() {
        return room.open(directory.resolve("journals"), UUID.randomUUID(), "web", List.of(image()));
    }

    /** As one whose image could not be written. */
    private void ranOut(long freeBytesAfterwards) throws IOException {
        ReplicaImages images =
                ReplicaImages.open(
                        files,
                        directory.resolve("journals"),
                        UUID.randomUUID(),
                        "web",
                        List.of(image()),
                        DiskBounds.DEFAULT);
        files.foundFull = Optional.of(image().path());
        images.close();
        files.freeBytes = freeBytesAfterwards;
        room.over("web", images);
    }

    @Test
    void a_journal_needs_room_for_two_segments_and_nothing_is_touched_before() throws Exception {
        Files.write(image().path(), new byte[DISK_BYTES]);
        Files.writeString(image().path(), "the last replica");
        files.freeBytes = ReplicaRoom.JOURNAL_BYTES_MIN - 1;
        assertThatThrownBy(this::open)
                .isInstanceOf(DiskException.class)
                .hasMessageContaining("has 127 MiB free, needed are at least 128 MiB");
        assertThat(image().path()).hasContent("the last replica");
        Files.delete(image().path());
        files.freeBytes++;
        open().close();
    }

    @Test
    void the_journal_of_the_domains_last_session_counts_as_room() throws Exception {
        try (ReplicaImages last =
                ReplicaImages.open(
                        directory.resolve("journals"),
                        UUID.randomUUID(),
                        "web",
                        List.of(image()))) {
            last.write(0, 0, ByteBuffer.allocate(512));
            Path journal = files.list(directory.resolve("journals")).getFirst();
            long bytes = Files.size(files.list(journal).getFirst());
            assertThat(bytes).isPositive();
            files.freeBytes = ReplicaRoom.JOURNAL_BYTES_MIN - bytes - 1;
            assertThatThrownBy(this::open).hasMessageContaining("no room for the journal");
            files.freeBytes++;
            assertThatThrownBy(this::open).hasMessageContaining("in use by another session");
        }
    }

    @Test
    void where_a_replica_ran_out_of_room_the_next_one_needs_more() throws Exception {
        ranOut(500 * MIB);
        files.freeBytes += ReplicaRoom.MORE_BYTES_MIN - 1;
        assertThatThrownBy(this::open)
                .isInstanceOf(DiskException.class)
                .hasMessage(
                        "no room for the replica of \"web\": the last one found none for "
                                + image().path()
                                + ", whose file system has 515 MiB free now and had 500 MiB then;"
                                + " make room there, until at least 516 MiB are free");
        files.freeBytes++;
        open().close();
        files.freeBytes = 500 * MIB;
        open().close();
    }

    @Test
    void a_replica_that_lies_elsewhere_now_is_another_matter() throws Exception {
        ranOut(500 * MIB);
        assertThatThrownBy(this::open).hasMessageContaining("no room for the replica");
        room.open(
                        directory.resolve("journals"),
                        UUID.randomUUID(),
                        "web",
                        List.of(
                                new ReplicaImages.Image(
                                        directory.resolve("other.img"), DISK_BYTES)))
                .close();
    }

    @Test
    void a_session_that_ended_for_another_reason_says_nothing_of_room() throws Exception {
        ReplicaImages images = open();
        images.close();
        room.over("web", images);
        open().close();
    }
}
