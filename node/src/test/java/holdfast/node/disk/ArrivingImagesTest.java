package holdfast.node.disk;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.DiskException;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;

@Timeout(60)
class ArrivingImagesTest {
    private static final int DISK_BYTES = 1 << 20;

    @TempDir Path directory;
    private Path journals;
    private Path image;

    @BeforeEach
    void name() {
        journals = directory.resolve("journals");
        image = directory.resolve("web.img");
    }

    private ArrivingImages open(Path... paths) {
        return ArrivingImages.open(journals, images(DISK_BYTES, paths));
    }

    private static List<ReplicaImages.Image> images(long bytes, Path... paths) {
        return Arrays.stream(paths).map(path -> new ReplicaImages.Image(path, bytes)).toList();
    }

    @Test
    void every_write_is_in_its_image_at_once_and_an_old_content_is_not() throws Exception {
        byte[] old = new byte[DISK_BYTES];
        Arrays.fill(old, (byte) 7);
        Files.write(image, old);
        Path other = directory.resolve("other.img");
        byte[] expected = new byte[DISK_BYTES];
        Random random = new Random(4);
        try (ArrivingImages disks = open(other, image)) {
            for (int i = 0; i < 200; i++) {
                int at = random.nextInt(DISK_BYTES - 9000);
                byte[] data = new byte[1 + random.nextInt(9000)];
                if (i % 3 == 0) {
                    disks.writeZeroes(1, at, data.length);
                } else {
                    random.nextBytes(data);
                    disks.write(1, at, ByteBuffer.wrap(data));
                }
                System.arraycopy(data, 0, expected, at, data.length);
            }
            assertThat(Files.readAllBytes(image)).isEqualTo(expected);
            disks.boundary(0);
        }
        assertThat(Files.readAllBytes(image)).isEqualTo(expected);
        assertThat(Files.readAllBytes(other)).isEqualTo(new byte[DISK_BYTES]);
    }

    @Test
    void what_was_made_for_a_domain_that_does_not_come_is_removed_and_no_other_image() {
        Path there = directory.resolve("there.img");
        try (ArrivingImages first = open(there)) {
            first.boundary(0);
        }
        ArrivingImages disks = open(image, there);
        assertThat(image).exists();
        disks.discard();
        disks.discard();
        assertThat(image).doesNotExist();
        assertThat(there).exists();
    }

    @Test
    void an_image_in_use_or_too_small_is_refused_and_nothing_is_left() throws Exception {
        try (ArrivingImages disks = open(image)) {
            Path other = directory.resolve("other.img");
            refuses("in use", other, image);
            assertThat(other).doesNotExist();
            disks.boundary(0);
        }
        Files.write(image, new byte[DISK_BYTES - 512]);
        refuses("has 1048064 bytes, the disk has 1048576", image);
        assertThat(image).hasSize(DISK_BYTES - 512);
        refuses("has no directory", directory.resolve("nowhere/web.img"));
    }

    private void refuses(String text, Path... paths) {
        assertThatThrownBy(() -> open(paths))
                .isInstanceOf(DiskException.class)
                .hasMessageContaining(text);
    }

    @Test
    void nothing_is_written_outside_of_a_disk() {
        try (ArrivingImages disks = open(image)) {
            ByteBuffer two = ByteBuffer.wrap(new byte[2]);
            assertThatThrownBy(() -> disks.write(0, DISK_BYTES - 1, two))
                    .isInstanceOf(DiskException.class);
            assertThatThrownBy(() -> disks.write(1, 0, two)).isInstanceOf(DiskException.class);
            assertThatThrownBy(() -> disks.writeZeroes(0, -1, 1)).isInstanceOf(DiskException.class);
        }
        assertThat(image).hasSize(DISK_BYTES);
    }

    /** The machine's files with a disk that can be made to wait or to fail when it is forced. */
    private static final class SlowFiles implements DiskFiles {
        private final SystemFiles real = new SystemFiles(ImageUse.ARRIVAL);
        final CountDownLatch go = new CountDownLatch(1);
        final AtomicInteger forces = new AtomicInteger();
        volatile boolean fails;

        /** As Linux has it: told once, to whoever asks first. */
        volatile boolean failsOnce;

        @Override
        public ImageUse use() {
            return real.use();
        }

        @Override
        public OpenFile openImage(Path path) throws IOException {
            OpenFile file = real.openImage(path);
            return new OpenFile() {
                @Override
                public void write(ByteBuffer from, long position) throws IOException {
                    file.write(from, position);
                }

                @Override
                public int read(ByteBuffer into, long position) throws IOException {
                    return file.read(into, position);
                }

                @Override
                public void zero(long position, long bytes) throws IOException {
                    file.zero(position, bytes);
                }

                @Override
                public long size() throws IOException {
                    return file.size();
                }

                @Override
                public void resize(long bytes) throws IOException {
                    file.resize(bytes);
                }

                @Override
                public void force() throws IOException {
                    boolean first = forces.incrementAndGet() == 1;
                    try {
                        go.await();
                    } catch (InterruptedException e) {
                        throw new IOException(e);
                    }
                    if (fails || failsOnce && first) {
                        throw new IOException("the platter is scratched");
                    }
                    file.force();
                }

                @Override
                public void close() throws IOException {
                    file.close();
                }
            };
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
        public List<Path> list(Path path) throws IOException {
            return real.list(path);
        }

        @Override
        public void createDirectory(Path path) throws IOException {
            real.createDirectory(path);
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
        public void forceDirectory(Path path) throws IOException {
            real.forceDirectory(path);
        }

        @Override
        public long usableBytes(Path path) throws IOException {
            return real.usableBytes(path);
        }
    }

    @Test
    void whoever_writes_faster_than_the_disk_waits_for_it() throws Exception {
        SlowFiles files = new SlowFiles();
        long bytes = 2 * ArrivingImages.UNFORCED_BYTES_MAX;
        try (ArrivingImages disks = ArrivingImages.open(files, journals, images(bytes, image))) {
            AtomicInteger pieces = new AtomicInteger();
            int pieceBytes = 1 << 20;
            Thread writer =
                    Thread.ofPlatform()
                            .start(
                                    () -> {
                                        ByteBuffer piece = ByteBuffer.allocate(pieceBytes);
                                        for (long at = 0; at < bytes; at += pieceBytes) {
                                            disks.write(0, at, piece.clear());
                                            pieces.incrementAndGet();
                                        }
                                    });
            long most = ArrivingImages.UNFORCED_BYTES_MAX / pieceBytes + 1;
            while (pieces.get() < most) {
                Thread.onSpinWait();
            }
            writer.join(300);
            assertThat(pieces.get()).isEqualTo((int) most);
            assertThat(files.forces.get()).as("forced in the background").isPositive();
            files.go.countDown();
            writer.join();
            assertThat((long) pieces.get() * pieceBytes).isEqualTo(bytes);
            disks.boundary(0);
        }
    }

    @Test
    void a_disk_that_fails_in_the_background_fails_the_next_write_and_no_boundary_counts()
            throws Exception {
        SlowFiles files = new SlowFiles();
        files.fails = true;
        files.go.countDown();
        long bytes = 2 * ArrivingImages.FORCED_FROM_BYTES;
        try (ArrivingImages disks = ArrivingImages.open(files, journals, images(bytes, image))) {
            assertThatThrownBy(
                            () -> {
                                for (long at = 0; ; at = (at + 4096) % bytes) {
                                    disks.write(0, at, ByteBuffer.allocate(4096));
                                }
                            })
                    .isInstanceOf(DiskException.class)
                    .hasMessageContaining(image.toString())
                    .hasMessageContaining("the platter is scratched")
                    .hasMessageEndingWith("then move the domain again");
            assertThatThrownBy(() -> disks.boundary(0)).isInstanceOf(DiskException.class);
        }
    }

    @Test
    void a_failure_that_the_background_was_told_of_is_the_boundarys_too() throws Exception {
        SlowFiles files = new SlowFiles();
        files.failsOnce = true;
        try (ArrivingImages disks =
                ArrivingImages.open(
                        files, journals, images(ArrivingImages.FORCED_FROM_BYTES, image))) {
            disks.write(0, 0, ByteBuffer.allocate((int) ArrivingImages.FORCED_FROM_BYTES));
            while (files.forces.get() == 0) {
                Thread.onSpinWait();
            }
            Thread boundary =
                    Thread.ofPlatform()
                            .start(
                                    () ->
                                            assertThatThrownBy(() -> disks.boundary(0))
                                                    .isInstanceOf(DiskException.class)
                                                    .hasMessageContaining("scratched"));
            AtomicReference<Throwable> failed = new AtomicReference<>();
            boundary.setUncaughtExceptionHandler((_, e) -> failed.set(e));
            while (boundary.getState() != Thread.State.WAITING) {
                Thread.onSpinWait();
            }
            files.go.countDown();
            boundary.join();
            assertThat(failed.get()).isNull();
            assertThat(files.forces.get()).as("never two at once").isEqualTo(1);
        }
    }

    @Test
    void whoever_waits_for_room_is_let_go_when_the_images_are_closed() throws Exception {
        SlowFiles files = new SlowFiles();
        long bytes = 2 * ArrivingImages.UNFORCED_BYTES_MAX;
        ArrivingImages disks = ArrivingImages.open(files, journals, images(bytes, image));
        Thread writer =
                Thread.ofPlatform()
                        .start(
                                () ->
                                        assertThatThrownBy(
                                                        () -> {
                                                            for (long at = 0; ; at += 1 << 20) {
                                                                disks.write(
                                                                        0,
                                                                        at % bytes,
                                                                        ByteBuffer.allocate(
                                                                                1 << 20));
                                                            }
                                                        })
                                                .isInstanceOf(DiskException.class));
        while (writer.getState() != Thread.State.TIMED_WAITING) {
            Thread.onSpinWait();
        }
        Thread closer = Thread.ofPlatform().start(disks::discard);
        writer.join();
        files.go.countDown();
        closer.join();
        assertThat(image).doesNotExist();
    }
}
