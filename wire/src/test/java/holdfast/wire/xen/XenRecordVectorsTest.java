package holdfast.wire.xen;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.wire.Bytes;
import holdfast.wire.ProtocolException;
import holdfast.wire.TruncatedStreamException;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.channels.Channels;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/** The octets of every record and header of the Xen formats. */
class XenRecordVectorsTest {
    /**
     * @param hex the whole header or record with padding
     * @param message what it decodes to: a header or a record
     * @param bulk what streams past the message
     */
    record Vector(String name, StreamStart start, Bytes hex, Object message, Bytes bulk) {
        @Override
        public String toString() {
            return name;
        }
    }

    private static final Bytes ONE_PAGE = Bytes.ofHex("a5".repeat(4096));

    static List<Vector> vectors() {
        return List.of(
                xl(
                        "xl header without configuration",
                        "01020304 00000003 00000000 00000000",
                        new XlFileHeader(BodyOrder.BIG_ENDIAN, 0, Bytes.EMPTY)),
                xl(
                        "xl header with a configuration",
                        "04030201 03000000 00000000 07000000 03000000 7b7d00",
                        XlFileHeader.ofConfig("{}")),
                new Vector(
                        "libxl header",
                        StreamStart.LIBXL_STREAM,
                        Bytes.ofHex("4c6962786c466d74 00000002 00000000"),
                        LibxlHeader.WRITTEN,
                        Bytes.EMPTY),
                new Vector(
                        "image header",
                        StreamStart.LIBXC_IMAGE,
                        Bytes.ofHex(
                                "ffffffffffffffff 58454e46 00000003 0000 000000000000"
                                        + "02000000 0c00 0000 04000000 11000000"),
                        new StreamEvent.ImageStart(
                                ImageHeader.WRITTEN, new DomainHeader(DomainType.X86_HVM, 4, 17)),
                        Bytes.EMPTY),
                libxc("END", "00000000 00000000", new LibxcRecord.End()),
                libxc(
                        "PAGE_DATA, no data",
                        "01000000 18000000 02000000 00000000 05000000000000f0 06000000000000d0",
                        new LibxcRecord.PageData(
                                PageList.ofEntries(
                                        PageList.entry(PageType.XTAB, 5),
                                        PageList.entry(PageType.BROKEN, 6)))),
                new Vector(
                        "PAGE_DATA",
                        StreamStart.LIBXC_RECORDS,
                        Bytes.ofHex(
                                "01000000 18100000 02000000 00000000"
                                        + "07000000000000f0 3412000000000090"
                                        + ONE_PAGE.toHex()),
                        new LibxcRecord.PageData(
                                PageList.ofEntries(
                                        PageList.entry(PageType.XTAB, 7),
                                        PageList.entry(PageType.L1TAB_PINNED, 0x1234))),
                        ONE_PAGE),
                libxc(
                        "X86_PV_INFO",
                        "02000000 08000000 08 04 000000000000",
                        new LibxcRecord.X86PvInfo(8, 4)),
                libxc(
                        "X86_PV_P2M_FRAMES",
                        "03000000 18000000 00000000 ff030000 c901000000000000 ca01000000000000",
                        new LibxcRecord.X86PvP2mFrames(0, 1023, PfnList.of(0x1c9, 0x1ca))),
                libxc(
                        "X86_PV_VCPU_BASIC",
                        "04000000 0b000000 01000000 00000000 aabbcc 0000000000",
                        new LibxcRecord.X86PvVcpuBasic(1, Bytes.ofHex("aabbcc"))),
                libxc(
                        "X86_PV_VCPU_EXTENDED",
                        "05000000 09000000 02000000 00000000 aa 00000000000000",
                        new LibxcRecord.X86PvVcpuExtended(2, Bytes.ofHex("aa"))),
                libxc(
                        "X86_PV_VCPU_XSAVE",
                        "06000000 08000000 ffffffff 00000000",
                        new LibxcRecord.X86PvVcpuXsave(0xffffffffL, Bytes.EMPTY)),
                libxc(
                        "SHARED_INFO",
                        "07000000 00100000" + ONE_PAGE.toHex(),
                        new LibxcRecord.SharedInfo(ONE_PAGE)),
                libxc(
                        "X86_TSC_INFO",
                        "08000000 18000000 00000000 249d2700 67c8334201000000 01000000 00000000",
                        new LibxcRecord.X86TscInfo(0, 2_596_132, 0x14233c867L, 1)),
                libxc(
                        "HVM_CONTEXT",
                        "09000000 05000000 0102030405 000000",
                        new LibxcRecord.HvmContext(Bytes.ofHex("0102030405"))),
                libxc(
                        "HVM_PARAMS",
                        "0a000000 18000000 01000000 00000000 0300000000000000 feffffffffffffff",
                        new LibxcRecord.HvmParams(List.of(new LibxcRecord.HvmParams.Param(3, -2)))),
                libxc(
                        "TOOLSTACK",
                        "0b000000 01000000 7f 00000000000000",
                        new LibxcRecord.Toolstack(Bytes.ofHex("7f"))),
                libxc(
                        "X86_PV_VCPU_MSRS",
                        "0c000000 10000000 00000000 00000000 1122334455667788",
                        new LibxcRecord.X86PvVcpuMsrs(0, Bytes.ofHex("1122334455667788"))),
                libxc("VERIFY", "0d000000 00000000", new LibxcRecord.Verify()),
                libxc("CHECKPOINT", "0e000000 00000000", new LibxcRecord.Checkpoint()),
                libxc(
                        "CHECKPOINT_DIRTY_PFN_LIST",
                        "0f000000 10000000 0900000000000000 0100000000000000",
                        new LibxcRecord.CheckpointDirtyPfnList(PfnList.of(9, 1))),
                libxc("STATIC_DATA_END", "10000000 00000000", new LibxcRecord.StaticDataEnd()),
                libxc(
                        "X86_CPUID_POLICY",
                        "11000000 18000000 07000000 00000000 01000000 02000000 03000000 ffffffff",
                        new LibxcRecord.X86CpuidPolicy(
                                List.of(new LibxcRecord.X86CpuidPolicy.Leaf(7, 0, 1, 2, 3, -1)))),
                libxc(
                        "X86_MSR_POLICY",
                        "12000000 10000000 ce000000 00000000 0000008000000000",
                        new LibxcRecord.X86MsrPolicy(
                                List.of(new LibxcRecord.X86MsrPolicy.Entry(0xce, 0, 0x80000000L)))),
                new Vector(
                        "PAGE_DELTA",
                        StreamStart.LIBXC_RECORDS,
                        Bytes.ofHex(
                                "01004648 3d000000 03000000 00000000"
                                        + "0100000000000000 0200000000000010 0300000000000010"
                                        + "00000000 0c000000 01000000 00000000"
                                        + "0000 0100 8877665544332211 ee 000000"),
                        new LibxcRecord.PageDelta(
                                DeltaList.of(
                                        new long[] {
                                            DeltaList.zeroPage(1),
                                            DeltaList.delta(2),
                                            DeltaList.delta(3)
                                        },
                                        new int[] {0, 12, 1})),
                        Bytes.ofHex("00000100 8877665544332211 ee")),
                libxl("libxl END", "00000000 00000000", new LibxlRecord.End()),
                libxl("LIBXC_CONTEXT", "01000000 00000000", new LibxlRecord.LibxcContext()),
                libxl(
                        "EMULATOR_XENSTORE_DATA",
                        "02000000 0d000000 02000000 00000000 6b00 76e900 000000",
                        new LibxlRecord.EmulatorXenstoreData(
                                EmulatorKind.UPSTREAM_QEMU,
                                0,
                                List.of(
                                        new LibxlRecord.EmulatorXenstoreData.Entry(
                                                "k", "v\u00e9")))),
                new Vector(
                        "EMULATOR_CONTEXT",
                        StreamStart.LIBXL_RECORDS,
                        Bytes.ofHex("03000000 0c000000 02000000 01000000 5145564d 00000000"),
                        new LibxlRecord.EmulatorContext(EmulatorKind.UPSTREAM_QEMU, 1, 4),
                        Bytes.ofHex("5145564d")),
                libxl("CHECKPOINT_END", "04000000 00000000", new LibxlRecord.CheckpointEnd()),
                libxl(
                        "CHECKPOINT_STATE",
                        "05000000 08000000 03000000 00000000",
                        new LibxlRecord.CheckpointState(
                                LibxlRecord.CheckpointState.Control.SECONDARY_RESUMED)));
    }

    private static Vector xl(String name, String numbers, XlFileHeader header) {
        String magic = "58656e20736176656420646f6d61696e2c20786c20666f726d61740a2000200d";
        return new Vector(
                name, StreamStart.XL_FILE, Bytes.ofHex(magic + numbers), header, Bytes.EMPTY);
    }

    private static Vector libxc(String name, String hex, LibxcRecord record) {
        return new Vector(name, StreamStart.LIBXC_RECORDS, Bytes.ofHex(hex), record, Bytes.EMPTY);
    }

    private static Vector libxl(String name, String hex, LibxlRecord record) {
        return new Vector(name, StreamStart.LIBXL_RECORDS, Bytes.ofHex(hex), record, Bytes.EMPTY);
    }

    @ParameterizedTest
    @MethodSource("vectors")
    void decodes(Vector vector) throws IOException {
        try (XenStreamReader reader = reader(vector.start(), vector.hex().toArray())) {
            StreamEvent event = reader.next();

            assertThat(message(event)).isEqualTo(vector.message());
            assertThat(bulk(event)).isEqualTo(vector.bulk());
            assertThat(reader.eventOffset()).isZero();
            assertThat(reader.eventBytes()).isEqualTo(vector.hex().size());
            assertThat(Bytes.copyOf(reader.eventRaw())).isEqualTo(vector.hex());
        }
    }

    @ParameterizedTest
    @MethodSource("vectors")
    void encodes_back(Vector vector) throws IOException {
        try (XenStreamReader reader = reader(vector.start(), vector.hex().toArray())) {
            StreamEvent event = reader.next();
            if (event instanceof StreamEvent.XlFile(XlFileHeader header)
                    && header.order() == BodyOrder.BIG_ENDIAN) {
                assertThat(encoded(event, BodyOrder.BIG_ENDIAN)).isEqualTo(vector.hex());
            } else {
                assertThat(encoded(event, BodyOrder.LITTLE_ENDIAN)).isEqualTo(vector.hex());
            }
        }
    }

    @ParameterizedTest
    @MethodSource("vectors")
    void refuses_every_proper_prefix(Vector vector) {
        byte[] whole = vector.hex().toArray();
        for (int length = 1; length < whole.length; length++) {
            byte[] prefix = Arrays.copyOf(whole, length);
            assertThatThrownBy(
                            () -> {
                                try (XenStreamReader reader = reader(vector.start(), prefix)) {
                                    reader.next();
                                }
                            })
                    .as("the first %d bytes", length)
                    .isInstanceOf(TruncatedStreamException.class);
        }
    }

    @ParameterizedTest
    @MethodSource("vectors")
    void takes_or_refuses_every_flipped_bit(Vector vector) throws IOException {
        byte[] octets = vector.hex().toArray();
        int refused = 0;
        for (int bit = 0; bit < octets.length * 8; bit++) {
            octets[bit / 8] ^= (byte) (1 << bit % 8);
            try (XenStreamReader reader = reader(vector.start(), octets)) {
                StreamEvent event = reader.next();
                if (!(event instanceof StreamEvent.XlFile)
                        && !(event instanceof StreamEvent.Skipped)) {
                    encoded(event, BodyOrder.LITTLE_ENDIAN);
                }
            } catch (ProtocolException e) {
                assertThat(e.offset()).isBetween(0L, (long) octets.length);
                refused++;
            }
            octets[bit / 8] ^= (byte) (1 << bit % 8);
        }
        assertThat(refused).isPositive();
    }

    @Test
    void every_record_has_a_vector() {
        Set<Class<?>> tested = new HashSet<>();
        vectors().forEach(v -> tested.add(v.message().getClass()));

        assertThat(tested)
                .containsAll(leaves(LibxcRecord.class).toList())
                .containsAll(leaves(LibxlRecord.class).toList())
                .contains(XlFileHeader.class, LibxlHeader.class, StreamEvent.ImageStart.class);
    }

    private static Stream<Class<?>> leaves(Class<?> sealed) {
        return sealed.isSealed()
                ? Arrays.stream(sealed.getPermittedSubclasses())
                        .flatMap(XenRecordVectorsTest::leaves)
                : Stream.of(sealed);
    }

    static XenStreamReader reader(StreamStart start, byte[] octets) {
        return XenStreamReader.of(MemorySegment.ofArray(octets), start, ReaderOptions.HOLDFAST);
    }

    static Object message(StreamEvent event) {
        return switch (event) {
            case StreamEvent.XlFile(XlFileHeader header) -> header;
            case StreamEvent.LibxlStart(LibxlHeader header) -> header;
            case StreamEvent.ImageStart image -> image;
            case StreamEvent.Libxc(LibxcRecord.Whole record) -> record;
            case StreamEvent.Pages pages -> pages.record();
            case StreamEvent.Deltas deltas -> deltas.record();
            case StreamEvent.Libxl(LibxlRecord.Whole record) -> record;
            case StreamEvent.EmulatorState state -> state.record();
            case StreamEvent.Skipped _, StreamEvent.Finished _, StreamEvent.SourceEnded _ -> event;
        };
    }

    static Bytes bulk(StreamEvent event) {
        return switch (event) {
            case StreamEvent.Pages pages -> Bytes.copyOf(pages.bytes());
            case StreamEvent.Deltas deltas -> Bytes.copyOf(deltas.bytes());
            case StreamEvent.EmulatorState state -> Bytes.copyOf(state.bytes());
            case StreamEvent.XlFile _,
                    StreamEvent.LibxlStart _,
                    StreamEvent.ImageStart _,
                    StreamEvent.Libxc _,
                    StreamEvent.Libxl _,
                    StreamEvent.Skipped _,
                    StreamEvent.Finished _,
                    StreamEvent.SourceEnded _ ->
                    Bytes.EMPTY;
        };
    }

    static Bytes encoded(StreamEvent event, BodyOrder order) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (XenStreamWriter writer = new XenStreamWriter(Channels.newChannel(out), order)) {
            StreamCopy.write(event, writer);
            writer.flush();
            assertThat(writer.bytesWritten()).isEqualTo(out.size());
        }
        return Bytes.copyOf(out.toByteArray());
    }
}
