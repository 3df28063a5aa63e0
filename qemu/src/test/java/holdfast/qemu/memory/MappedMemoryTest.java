package holdfast.qemu.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.HypervisorException;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.io.RandomAccessFile;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;

class MappedMemoryTest {
    private static final long MIB = 1 << 20;

    @TempDir private Path directory;

    @Test
    void a_created_file_is_zero_reserved_private_to_its_owner_and_seen_by_all_who_open_it()
            throws Exception {
        Path path = directory.resolve("ram");
        try (MappedMemory one = MappedMemory.create(path, 4 * MIB);
                MappedMemory other = MappedMemory.open(path, 4 * MIB)) {
            assertThat(one.pages()).isEqualTo(1024);
            assertThat(Files.getPosixFilePermissions(path)).hasSize(2);
            one.page(1023).set(ValueLayout.JAVA_LONG, 4088, 42);
            assertThat(other.page(1023).get(ValueLayout.JAVA_LONG, 4088)).isEqualTo(42);
            one.deleteFile();
            one.deleteFile();
            assertThat(path).doesNotExist();
            assertThat(other.page(1023).get(ValueLayout.JAVA_LONG, 4088)).isEqualTo(42);
        }
    }

    @Test
    void more_than_two_gibibytes_are_mapped_in_one_piece() throws Exception {
        Path path = directory.resolve("ram");
        long bytes = 5L << 30;
        try (RandomAccessFile sparse = new RandomAccessFile(path.toFile(), "rw")) {
            sparse.setLength(bytes);
        }
        try (MappedMemory memory = MappedMemory.open(path, bytes)) {
            long last = memory.pages() - 1;
            memory.page(last).set(ValueLayout.JAVA_LONG, 0, 7);
            assertThat(memory.bytes().get(ValueLayout.JAVA_LONG, bytes - 4096)).isEqualTo(7);
        }
    }

    @Test
    void a_file_of_another_size_is_refused_and_left_alone() throws Exception {
        Path path = directory.resolve("ram");
        Files.write(path, new byte[8192]);
        assertThatThrownBy(() -> MappedMemory.open(path, 4096 * 3))
                .isInstanceOf(HypervisorException.class)
                .hasMessageContaining("has 8192 bytes, expected 12288");
        assertThat(Files.size(path)).isEqualTo(8192);
    }

    @Test
    void a_missing_file_says_how_qemu_must_be_started() {
        assertThatThrownBy(() -> MappedMemory.open(directory.resolve("none"), 4096))
                .isInstanceOf(HypervisorException.class)
                .hasMessageContaining("share=on");
    }

    @Test
    void creating_beyond_the_free_space_is_refused_with_the_lack_and_leaves_no_file()
            throws Exception {
        Path path = directory.resolve("ram");
        long free = Files.getFileStore(directory).getUsableSpace();
        assertThatThrownBy(() -> MappedMemory.create(path, (free / 4096 + (1 << 20)) * 4096))
                .isInstanceOf(HypervisorException.class)
                .hasMessageContaining("MiB are missing")
                .hasMessageContaining("remount,size");
        assertThat(path).doesNotExist();
    }

    @Test
    void a_sparse_file_without_room_for_its_holes_is_refused_instead_of_touched() throws Exception {
        Path shared = Files.createTempFile(Path.of("/dev/shm"), "hf-sparse", "");
        try {
            long bytes = (Files.getFileStore(shared).getTotalSpace() / 4096 + 1) * 4096;
            try (RandomAccessFile sparse = new RandomAccessFile(shared.toFile(), "rw")) {
                sparse.setLength(bytes);
            }
            assertThatThrownBy(() -> MappedMemory.openReserved(shared, bytes))
                    .isInstanceOf(HypervisorException.class)
                    .hasMessageContaining("MiB are missing")
                    .hasMessageContaining("remount,size");
        } finally {
            Files.delete(shared);
        }
    }

    @Test
    void reserving_keeps_what_a_file_holds() throws Exception {
        Path path = Files.write(directory.resolve("ram"), new byte[] {7});
        try (RandomAccessFile sparse = new RandomAccessFile(path.toFile(), "rw")) {
            sparse.setLength(MIB);
        }
        try (MappedMemory memory = MappedMemory.openReserved(path, MIB)) {
            assertThat(memory.bytes().get(ValueLayout.JAVA_BYTE, 0)).isEqualTo((byte) 7);
            assertThat(memory.bytes().asSlice(1, MIB - 1).toArray(ValueLayout.JAVA_BYTE))
                    .containsOnly(0);
        }
    }

    @Test
    void a_memory_that_is_reserved_while_it_fills_keeps_what_came_before_and_beside()
            throws Exception {
        long pages = 4096;
        Path path = Path.of("/dev/shm", "hf-filling-" + ProcessHandle.current().pid());
        try (MappedMemory memory =
                MappedMemory.createUnreserved(path, pages * MappedMemory.PAGE_BYTES)) {
            for (long pfn = 0; pfn < pages; pfn += 2) {
                memory.page(pfn).set(ValueLayout.JAVA_LONG, 0, pfn + 1);
            }
            Thread reserving = Thread.ofPlatform().start(memory::reserve);
            for (long pfn = 1; pfn < pages; pfn += 2) {
                memory.page(pfn).set(ValueLayout.JAVA_LONG, 0, pfn + 1);
            }
            assertThat(reserving.join(java.time.Duration.ofSeconds(20))).isTrue();
            memory.reserve();
            for (long pfn = 0; pfn < pages; pfn++) {
                assertThat(memory.page(pfn).get(ValueLayout.JAVA_LONG, 0)).isEqualTo(pfn + 1);
            }
        } finally {
            Files.deleteIfExists(path);
        }
    }

    @Test
    void an_unreserved_file_needs_room_too_and_overwrites_nothing() throws Exception {
        Path path = directory.resolve("ram");
        long free = Files.getFileStore(directory).getUsableSpace();
        assertThatThrownBy(
                        () -> MappedMemory.createUnreserved(path, (free / 4096 + (1 << 20)) * 4096))
                .isInstanceOf(HypervisorException.class)
                .hasMessageContaining("MiB are missing");
        assertThat(path).doesNotExist();
        Files.write(path, new byte[] {1});
        assertThatThrownBy(() -> MappedMemory.createUnreserved(path, 4096))
                .isInstanceOf(HypervisorException.class)
                .hasMessageContaining("exists already");
        assertThat(Files.size(path)).isOne();
    }

    @Test
    void an_existing_file_is_not_overwritten() throws Exception {
        Path path = Files.write(directory.resolve("ram"), new byte[] {1});
        assertThatThrownBy(() -> MappedMemory.create(path, 4096))
                .isInstanceOf(HypervisorException.class)
                .hasMessageContaining("exists already");
        assertThat(Files.size(path)).isOne();
    }

    @Test
    void sizes_that_are_no_whole_pages_are_refused() {
        for (long bytes : new long[] {0, -4096, 4095, 4097}) {
            assertThatThrownBy(() -> MappedMemory.create(directory.resolve("ram"), bytes))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }
}
