package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.memory.CheckpointEncoder;
import holdfast.engine.memory.PfnSet;
import holdfast.engine.port.DeviceState;
import holdfast.engine.port.DirtyTracker;
import holdfast.engine.port.Domain;
import holdfast.engine.port.GuestMemory;
import holdfast.engine.port.StateSave;
import holdfast.node.api.ProgressListener;
import holdfast.wire.xen.DomainHeader;
import holdfast.wire.xen.DomainType;
import holdfast.wire.xen.EmulatorKind;
import holdfast.wire.xen.LibxcRecord;
import holdfast.wire.xen.LibxlRecord;
import holdfast.wire.xen.ReaderOptions;
import holdfast.wire.xen.StreamVerifier;
import holdfast.wire.xen.XenStreamWriter;
import holdfast.wire.xen.XlFileHeader;

import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CancellationException;

/** Saving a guest that writes between any two looks at it. */
class DomainSavingTest {
    private static final int PAGES = 5_000;
    private static final String SPEC = "{\"name\":\"g\"}";

    @TempDir private Path directory;

    /** Writes whenever it is looked at and not suspended. */
    private static final class Guest implements Domain, DirtyTracker {
        private final Random random;
        private final MemorySegment bytes;
        private final int writes;
        private final PfnSet written = new PfnSet(PAGES);
        private boolean suspended;
        int resumed;

        Guest(Random random, MemorySegment bytes, int writes) {
            this.random = random;
            this.bytes = bytes;
            this.writes = writes;
        }

        void write() {
            for (int i = 0; i < writes; i++) {
                int pfn = random.nextInt(3) == 0 ? random.nextInt(PAGES) : random.nextInt(600);
                written.add(pfn);
                if (random.nextInt(8) == 0) {
                    bytes.asSlice((long) pfn * 4096, 4096).fill((byte) 0);
                } else {
                    bytes.set(
                            ValueLayout.JAVA_LONG,
                            (long) pfn * 4096 + 8L * random.nextInt(512),
                            random.nextLong());
                }
            }
        }

        @Override
        public String kind() {
            return "told";
        }

        @Override
        public void collect(PfnSet into) {
            if (!suspended) {
                write();
            }
            into.addAll(written);
            written.clear();
            if (!suspended) {
                // What it writes while a round is under way is in the next one.
                write();
            }
        }

        @Override
        public String name() {
            return "g";
        }

        @Override
        public void suspend() {
            suspended = true;
        }

        @Override
        public void resume() {
            suspended = false;
            resumed++;
        }

        @Override
        public void destroy() {
            throw new AssertionError("it is the caller's");
        }

        @Override
        public DeviceState saveDeviceState() {
            assertThat(suspended).isTrue();
            MemorySegment state = bytes.asSlice(0, 64);
            return new DeviceState(new DeviceState.DeviceBase(1, state), state);
        }

        @Override
        public StateSave beginHandOver() {
            throw new AssertionError("nothing is handed over");
        }

        @Override
        public void close() {}
    }

    private static DomainSaving saving(Guest guest, MemorySegment here, boolean tracked) {
        return new DomainSaving(
                new DomainSaving.Source(
                        SPEC,
                        GuestMemory.over(here),
                        guest,
                        tracked ? Optional.of(guest) : Optional.empty()),
                ProgressListener.none());
    }

    @RepeatedTest(10)
    void what_is_restored_is_what_the_guest_had_when_it_was_suspended() throws Exception {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        Path file = directory.resolve("g.save");
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment here = arena.allocate((long) PAGES * 4096);
            MemorySegment there = arena.allocate((long) PAGES * 4096);
            Guest guest = new Guest(random, here, random.nextInt(1_500));
            guest.write();
            DomainSaving.Written written =
                    saving(guest, here, random.nextInt(4) > 0)
                            .write(file, DomainSaving.Resume.NOT_HERE);
            assertThat(guest.resumed).isZero();
            assertThat(written.bytes()).isEqualTo(Files.size(file));
            // Each page at most once, and its place in a list.
            assertThat(written.bytes()).isLessThan(PAGES * (4096L + 8 + 64) + (1 << 16));
            try (FileChannel stream = FileChannel.open(file)) {
                assertThat(StreamVerifier.verify(stream, ReaderOptions.PLAIN).deviation())
                        .isEmpty();
            }
            try (SavedDomain saved = new SavedDomain(file, ProgressListener.none())) {
                assertThat(saved.specJson()).isEqualTo(SPEC);
                saved.readInto(GuestMemory.over(there));
                assertThat(saved.base().byteSize()).isEqualTo(64);
                assertThat(saved.sections().byteSize()).isEqualTo(64);
            }
            assertThat(here.mismatch(there)).as("seed " + seed).isEqualTo(-1);
        }
    }

    @Test
    void a_failure_lets_the_guest_go_on_and_leaves_nothing() throws Exception {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment here = arena.allocate((long) PAGES * 4096).fill((byte) 1);
            Guest guest = new Guest(new Random(1), here, 100);
            DomainSaving cancelled = saving(guest, here, true);
            cancelled.cancel("told so");
            Path file = directory.resolve("g.save");
            assertThatThrownBy(() -> cancelled.write(file, DomainSaving.Resume.NOT_HERE))
                    .isInstanceOf(CancellationException.class)
                    .hasMessage("told so");
            Path nowhere = directory.resolve("absent/g.save");
            assertThatThrownBy(
                            () ->
                                    saving(guest, here, true)
                                            .write(nowhere, DomainSaving.Resume.NOT_HERE))
                    .isInstanceOf(IOException.class);
            assertThat(guest.resumed).as("it never stood still").isZero();
            try (var left = Files.list(directory)) {
                assertThat(left).isEmpty();
            }
        }
    }

    @Test
    void a_file_that_is_cut_is_refused_with_its_place() throws Exception {
        Path file = directory.resolve("g.save");
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment here = arena.allocate((long) PAGES * 4096).fill((byte) 1);
            Guest guest = new Guest(new Random(1), here, 0);
            saving(guest, here, true).write(file, DomainSaving.Resume.WHEN_READ);
            assertThat(guest.resumed).isOne();
            long whole = Files.size(file);
            for (long length : new long[] {whole - 1, whole - 100, whole / 2, 200}) {
                try (FileChannel cut = FileChannel.open(file, StandardOpenOption.WRITE)) {
                    cut.truncate(length);
                }
                try (SavedDomain saved = new SavedDomain(file, ProgressListener.none())) {
                    assertThatThrownBy(
                                    () ->
                                            saved.readInto(
                                                    GuestMemory.over(
                                                            arena.allocate((long) PAGES * 4096))))
                            .isInstanceOf(holdfast.wire.ProtocolException.class)
                            .hasMessageContaining("g.save");
                }
            }
        }
    }

    @Test
    void a_file_with_every_page_and_some_twice_is_read_and_the_last_content_wins()
            throws Exception {
        Path file = directory.resolve("g.save");
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment here = arena.allocate((long) PAGES * 4096).fill((byte) 1);
            MemorySegment there = arena.allocate((long) PAGES * 4096);
            try (FileChannel out =
                            FileChannel.open(
                                    file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                    XenStreamWriter writer = new XenStreamWriter(out)) {
                writer.xlFileHeader(XlFileHeader.ofConfig(SPEC));
                writer.libxlHeader();
                writer.record(new LibxlRecord.LibxcContext());
                writer.imageStart(new DomainHeader(DomainType.X86_HVM, 4, 17));
                writer.record(new LibxcRecord.StaticDataEnd());
                pages(writer, here, 0, PAGES);
                here.asSlice(50 * 4096, 200 * 4096).fill((byte) 2);
                here.asSlice(60 * 4096, 4096).fill((byte) 0);
                pages(writer, here, 50, 250);
                writer.record(new LibxcRecord.End());
                for (long index :
                        new long[] {
                            CheckpointEncoder.BASE_INDEX, CheckpointEncoder.SECTIONS_INDEX
                        }) {
                    writer.emulatorContext(EmulatorKind.UPSTREAM_QEMU, index, here.asSlice(0, 64));
                }
                writer.record(new LibxlRecord.End());
                writer.flush();
            }
            try (SavedDomain saved = new SavedDomain(file, ProgressListener.none())) {
                saved.readInto(GuestMemory.over(there));
            }
            assertThat(here.mismatch(there)).isEqualTo(-1);
        }
    }

    private static void pages(XenStreamWriter writer, MemorySegment memory, int first, int end)
            throws IOException {
        for (int from = first; from < end; from += 1024) {
            int count = Math.min(1024, end - from);
            long[] pfns = new long[count];
            for (int i = 0; i < count; i++) {
                pfns[i] = from + i;
            }
            writer.pageData(pfns, 0, count, memory.asSlice(from * 4096L, count * 4096L));
        }
    }
}
