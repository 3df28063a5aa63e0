package holdfast.wire.xen;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.wire.Bytes;
import holdfast.wire.ProtocolException;

import org.junit.jupiter.api.Test;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.Channels;
import java.nio.channels.IllegalBlockingModeException;
import java.nio.channels.Pipe;
import java.util.List;

class XenStreamReaderTest {
    @Test
    void reads_a_checkpointed_stream_up_to_where_its_writer_died() throws IOException {
        byte[] stream =
                new StreamBytes()
                        .hvmStart()
                        .pages(1)
                        .record(0xE)
                        .emulator(3, 2, 0, "a")
                        .record(4)
                        .pages(1)
                        .toArray();
        try (XenStreamReader reader = memory(stream, ReaderOptions.PLAIN)) {
            List<StreamEvent> events = XenStreamPropertiesTest.readAll(reader);

            assertThat(events).hasSize(10);
            assertThat(events.get(8)).isInstanceOf(StreamEvent.Pages.class);
            assertThat(events.get(9)).isInstanceOf(StreamEvent.SourceEnded.class);
            assertThatThrownBy(reader::next).isInstanceOf(IllegalStateException.class);
        }
    }

    @Test
    void lends_page_bytes_of_a_stream_in_memory_without_copying() throws IOException {
        byte[] stream = new StreamBytes().hvmStart().pages(7).toArray();
        try (XenStreamReader reader = memory(stream, ReaderOptions.PLAIN)) {
            StreamEvent event;
            do {
                event = reader.next();
            } while (!(event instanceof StreamEvent.Pages));
            MemorySegment pages = ((StreamEvent.Pages) event).bytes();
            stream[stream.length - 1] = 99;

            assertThat(pages.get(ValueLayout.JAVA_BYTE, 4095)).isEqualTo((byte) 99);
            assertThat(pages.isReadOnly()).isTrue();
        }
    }

    @Test
    void passes_over_unknown_optional_records_and_counts_them() throws IOException {
        byte[] stream =
                new StreamBytes()
                        .record(0x8000_0001, new StreamBytes().fill(100_003, 7))
                        .record(0x10)
                        .toArray();
        try (XenStreamReader reader =
                XenStreamReader.of(
                        Channels.newChannel(new ByteArrayInputStream(stream)),
                        StreamStart.LIBXC_RECORDS,
                        ReaderOptions.PLAIN)) {
            assertThat(reader.next())
                    .isEqualTo(new StreamEvent.Skipped(StreamLayer.LIBXC, 0x8000_0001, 100_003));
            assertThatThrownBy(reader::eventRaw).isInstanceOf(IllegalStateException.class);
            assertThat(reader.next())
                    .isEqualTo(new StreamEvent.Libxc(new LibxcRecord.StaticDataEnd()));
            assertThat(reader.skippedRecords()).isEqualTo(1);
        }
    }

    @Test
    void refuses_unknown_mandatory_records_and_says_which_and_where() {
        byte[] stream = new StreamBytes().record(0x10).record(0x13).toArray();
        try (XenStreamReader reader = libxcRecords(stream, ReaderOptions.PLAIN)) {
            assertThatThrownBy(() -> XenStreamPropertiesTest.readAll(reader))
                    .isInstanceOfSatisfying(
                            ProtocolException.class,
                            e -> {
                                assertThat(e.stream()).isEqualTo("libxc image");
                                assertThat(e.offset()).isEqualTo(8);
                                assertThat(e.found()).contains("0x13");
                            });
        }
    }

    @Test
    void refuses_deltas_in_a_plain_stream() {
        byte[] stream =
                new StreamBytes()
                        .record(0x48460001, new StreamBytes().u32(1).u32(0).u64(1).u32(0).u32(0))
                        .toArray();
        try (XenStreamReader reader = libxcRecords(stream, ReaderOptions.PLAIN)) {
            assertThatThrownBy(reader::next)
                    .isInstanceOf(ProtocolException.class)
                    .hasMessageContaining("unknown mandatory record 0x48460001");
        }
    }

    @Test
    void refuses_a_length_beyond_the_limit_before_it_reads_on() {
        byte[] stream = new StreamBytes().u32(9).u32(XenLimits.RECORD_BYTES_MAX + 1L).toArray();
        try (XenStreamReader reader =
                XenStreamReader.of(
                        Channels.newChannel(new ByteArrayInputStream(stream)),
                        StreamStart.LIBXC_RECORDS,
                        ReaderOptions.PLAIN)) {
            assertThatThrownBy(reader::next)
                    .isInstanceOf(ProtocolException.class)
                    .hasMessageContaining("HVM_CONTEXT length")
                    .hasMessageContaining("134217729");
        }
    }

    @Test
    void takes_the_header_xen_has_in_memory_only_when_told() throws IOException {
        byte[] stream =
                new StreamBytes().u32(0xF).u32(16).u64(0x7fff_1234_5678L).u64(5).u64(6).toArray();
        ReaderOptions quirk =
                new ReaderOptions(
                        ReaderOptions.Extensions.REFUSED,
                        ReaderOptions.Checkpoints.COLO,
                        ReaderOptions.DirtyListHeader.XEN_IN_MEMORY);
        try (XenStreamReader reader = libxcRecords(stream, quirk)) {
            assertThat(reader.next())
                    .isEqualTo(
                            new StreamEvent.Libxc(
                                    new LibxcRecord.CheckpointDirtyPfnList(PfnList.of(5, 6))));
            assertThat(reader.next()).isInstanceOf(StreamEvent.SourceEnded.class);
        }
    }

    @Test
    void a_colo_stream_stays_in_the_libxl_layer_until_a_new_checkpoint() throws IOException {
        byte[] stream =
                new StreamBytes()
                        .hvmStart()
                        .record(0xE)
                        .record(4)
                        .record(5, new StreamBytes().u64(0))
                        .record(0xE)
                        .toArray();
        ReaderOptions colo =
                new ReaderOptions(
                        ReaderOptions.Extensions.REFUSED,
                        ReaderOptions.Checkpoints.COLO,
                        ReaderOptions.DirtyListHeader.AS_SPECIFIED);
        try (XenStreamReader reader = memory(stream, colo)) {
            List<StreamEvent> events = XenStreamPropertiesTest.readAll(reader);

            assertThat(events.get(6))
                    .isEqualTo(
                            new StreamEvent.Libxl(
                                    new LibxlRecord.CheckpointState(
                                            LibxlRecord.CheckpointState.Control.NEW_CHECKPOINT)));
            assertThat(events.get(7))
                    .isEqualTo(new StreamEvent.Libxc(new LibxcRecord.Checkpoint()));
        }
    }

    @Test
    void accepts_reserved_bits_that_the_verifier_reports() throws IOException {
        byte[] stream =
                new StreamBytes()
                        .record(1, new StreamBytes().u32(1).u32(7).u64(0xF0L << 56 | 3L << 52 | 4))
                        .u32(9)
                        .u32(1)
                        .fill(8, 5)
                        .toArray();
        try (XenStreamReader reader = libxcRecords(stream, ReaderOptions.PLAIN)) {
            StreamEvent.Pages pages = (StreamEvent.Pages) reader.next();
            assertThat(pages.record().pages())
                    .isEqualTo(PageList.ofEntries(PageList.entry(PageType.XTAB, 4)));
            assertThat(reader.next())
                    .isEqualTo(
                            new StreamEvent.Libxc(new LibxcRecord.HvmContext(Bytes.ofHex("05"))));
            assertThat(Bytes.copyOf(reader.eventRaw()).toHex()).endsWith("0505050505050505");
        }
    }

    @Test
    void a_channel_that_does_not_block_is_a_mistake() throws IOException {
        Pipe pipe = Pipe.open();
        try (Pipe.SourceChannel source = pipe.source();
                Pipe.SinkChannel sink = pipe.sink()) {
            source.configureBlocking(false);
            sink.configureBlocking(false);
            assertThatThrownBy(
                            () ->
                                    XenStreamReader.of(
                                            source, StreamStart.DETECT, ReaderOptions.PLAIN))
                    .isInstanceOf(IllegalBlockingModeException.class);
            assertThatThrownBy(() -> new XenStreamWriter(sink))
                    .isInstanceOf(IllegalBlockingModeException.class);
        }
    }

    @Test
    void records_refuse_illegal_values_as_decoders_do() {
        assertThatThrownBy(() -> PageList.ofPfns(new long[0], 0, 0))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> PageList.ofPfns(new long[] {1L << 52}, 0, 1))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> DeltaList.of(new long[] {DeltaList.delta(1)}, new int[] {4096}))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("4096");
        assertThatThrownBy(() -> DeltaList.of(new long[] {DeltaList.zeroPage(1)}, new int[] {1}))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new LibxcRecord.X86PvInfo(8, 3))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new ImageHeader(1, BodyOrder.LITTLE_ENDIAN))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void an_inspection_lists_every_record_with_sums() throws IOException {
        StreamDescription description =
                StreamInspector.inspect(
                        new ByteArrayInputStream(XenCaptures.tiny("tiny-pv.remus")),
                        ReaderOptions.PLAIN);

        assertThat(description.problem()).isEmpty();
        assertThat(description.totals().checkpoints()).isEqualTo(23);
        assertThat(description.totals().recordsByType()).containsEntry("SHARED_INFO", 23L);
        assertThat(description.totals().bytes())
                .isEqualTo(XenCaptures.tiny("tiny-pv.remus").length);
        assertThat(description.rows().get(0).type()).isEqualTo("xl header");
        assertThat(description.rows().get(2).type()).isEqualTo("LIBXC_CONTEXT");
        long expected = 0;
        for (StreamDescription.Row row : description.rows()) {
            assertThat(row.offset()).isEqualTo(expected);
            expected += row.bytes();
        }
    }

    @Test
    void an_inspection_says_where_it_had_to_stop() throws IOException {
        StreamDescription description =
                StreamInspector.inspect(
                        new ByteArrayInputStream(
                                new StreamBytes().hvmStart().record(0x13).toArray()),
                        ReaderOptions.PLAIN);

        assertThat(description.rows()).hasSize(4);
        assertThat(description.problem().orElseThrow()).contains("offset 72").contains("0x13");
    }

    private static XenStreamReader memory(byte[] stream, ReaderOptions options) {
        return XenStreamReader.of(MemorySegment.ofArray(stream), StreamStart.DETECT, options);
    }

    private static XenStreamReader libxcRecords(byte[] stream, ReaderOptions options) {
        return XenStreamReader.of(
                MemorySegment.ofArray(stream), StreamStart.LIBXC_RECORDS, options);
    }
}
