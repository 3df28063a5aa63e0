package holdfast.wire.xen;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.wire.Bytes;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.LongStream;

class WrittenStreamsTest {
    private static final DomainHeader HVM = new DomainHeader(DomainType.X86_HVM, 4, 17);

    @Test
    void a_protected_domains_stream_passes_the_verifier(@TempDir Path directory)
            throws IOException {
        Path file = directory.resolve("remus");
        try (Arena arena = Arena.ofConfined();
                FileChannel out =
                        FileChannel.open(
                                file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                XenStreamWriter writer = new XenStreamWriter(out)) {
            MemorySegment pages = arena.allocate(1024L * XenLimits.PAGE_BYTES, 4096);
            pages.fill((byte) 3);
            long[] pfns = LongStream.range(0, 1024).toArray();
            writer.libxlHeader();
            writer.record(new LibxlRecord.LibxcContext());
            writer.imageStart(HVM);
            writer.record(new LibxcRecord.StaticDataEnd());
            writer.pageData(pfns, 0, 1024, pages);
            for (int epoch = 0; epoch < 3; epoch++) {
                writer.pageData(pfns, epoch, 5, pages);
                writer.pageDelta(
                        new long[] {DeltaList.zeroPage(9), DeltaList.delta(10)},
                        new int[] {0, 12},
                        2,
                        MemorySegment.ofArray(Bytes.ofHex("00000100 0102030405060708").toArray()));
                writer.record(new LibxcRecord.Checkpoint());
                writer.emulatorContext(EmulatorKind.UPSTREAM_QEMU, 0, pages.asSlice(0, 5001));
                writer.emulatorContext(EmulatorKind.UPSTREAM_QEMU, 1, pages.asSlice(0, 77));
                writer.record(new LibxlRecord.CheckpointEnd());
                assertThat(Files.size(file)).isEqualTo(writer.bytesWritten());
            }
        }

        StreamVerdict verdict =
                StreamVerifier.verify(Files.newByteChannel(file), ReaderOptions.HOLDFAST);
        assertThat(verdict.deviation()).isEmpty();
        assertThat(verdict.checkpoints()).isEqualTo(3);
        assertThat(verdict.pages()).isEqualTo(1024 + 3 * 7);

        StreamVerdict plain =
                StreamVerifier.verify(Files.newByteChannel(file), ReaderOptions.PLAIN);
        assertThat(plain.deviation())
                .map(StreamDeviation::rule)
                .contains(StreamRule.UNKNOWN_MANDATORY_RECORD);
    }

    @Test
    void a_save_file_passes_the_verifier_as_anyones_would() throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (XenStreamWriter writer = new XenStreamWriter(Channels.newChannel(out))) {
            writer.xlFileHeader(XlFileHeader.ofConfig("{\"c_info\":{}}"));
            writer.libxlHeader();
            writer.record(new LibxlRecord.LibxcContext());
            writer.imageStart(HVM);
            writer.record(new LibxcRecord.StaticDataEnd());
            writer.pageData(new long[] {4, 5}, 0, 2, MemorySegment.ofArray(new byte[8192]));
            writer.record(new LibxcRecord.End());
            writer.emulatorContext(
                    EmulatorKind.UPSTREAM_QEMU, 0, MemorySegment.ofArray(new byte[9]));
            writer.record(new LibxlRecord.End());
        }

        StreamVerdict verdict =
                StreamVerifier.verify(
                        new ByteArrayInputStream(out.toByteArray()), ReaderOptions.PLAIN);
        assertThat(verdict.deviation()).isEmpty();
        assertThat(verdict.bytes()).isEqualTo(out.size());
    }

    @Test
    void a_record_larger_than_the_staging_buffer_is_written_whole() throws IOException {
        long[] pfns = LongStream.range(0, 100_000).toArray();
        LibxcRecord.Whole record = new LibxcRecord.CheckpointDirtyPfnList(PfnList.of(pfns));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (XenStreamWriter writer = new XenStreamWriter(Channels.newChannel(out))) {
            writer.record(new LibxcRecord.Verify());
            writer.record(record);
            writer.record(new LibxcRecord.Verify());
            writer.flush();
        }
        List<StreamEvent> events = new ArrayList<>();
        try (XenStreamReader reader =
                XenStreamReader.of(
                        Channels.newChannel(new ByteArrayInputStream(out.toByteArray())),
                        StreamStart.LIBXC_RECORDS,
                        ReaderOptions.PLAIN)) {
            for (int i = 0; i < 3; i++) {
                events.add(reader.next());
            }
        }
        assertThat(events)
                .containsExactly(
                        new StreamEvent.Libxc(new LibxcRecord.Verify()),
                        new StreamEvent.Libxc(record),
                        new StreamEvent.Libxc(new LibxcRecord.Verify()));
    }

    @Test
    void a_refused_record_leaves_the_stream_as_it_was() throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (XenStreamWriter writer = new XenStreamWriter(Channels.newChannel(out))) {
            MemorySegment pages = MemorySegment.ofArray(new byte[4096]);
            assertThatThrownBy(() -> writer.pageData(new long[1025], 0, 1025, pages))
                    .isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> writer.pageData(new long[] {-1}, 0, 1, pages))
                    .isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> writer.pageData(new long[2], 0, 2, pages))
                    .isInstanceOf(IndexOutOfBoundsException.class);
            assertThatThrownBy(
                            () ->
                                    writer.pageDelta(
                                            new long[] {DeltaList.delta(1)},
                                            new int[] {9},
                                            1,
                                            MemorySegment.NULL))
                    .isInstanceOf(IndexOutOfBoundsException.class);
            writer.flush();
            assertThat(writer.bytesWritten()).isZero();
        }
        assertThat(out.size()).isZero();
    }
}
