package holdfast.wire.netfilter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.wire.Bytes;
import holdfast.wire.ProtocolException;
import holdfast.wire.TruncatedStreamException;

import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.Size;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;

class FramesTest {
    record Frame(int vnetHeaderBytes, Bytes bytes) {}

    record Vector(String name, FrameFormat format, String hex, Frame frame) {
        @Override
        public String toString() {
            return name;
        }
    }

    static List<Vector> vectors() {
        return List.of(
                new Vector(
                        "length only",
                        FrameFormat.LENGTH_ONLY,
                        "00000003 aabbcc",
                        new Frame(0, Bytes.ofHex("aabbcc"))),
                new Vector(
                        "with a virtio-net header",
                        FrameFormat.WITH_VNET_HEADER,
                        "0000000e 0000000c 000000000000000000000100 ddee",
                        new Frame(12, Bytes.ofHex("000000000000000000000100 ddee"))),
                new Vector(
                        "with support and no header",
                        FrameFormat.WITH_VNET_HEADER,
                        "00000001 00000000 99",
                        new Frame(0, Bytes.ofHex("99"))));
    }

    @ParameterizedTest
    @MethodSource("vectors")
    void decodes_and_encodes_back(Vector vector) {
        byte[] octets = Bytes.ofHex(vector.hex()).toArray();
        assertThat(decoded(vector.format(), List.of(octets))).containsExactly(vector.frame());
        assertThat(encoded(vector.format(), vector.frame())).isEqualTo(Bytes.copyOf(octets));
    }

    @ParameterizedTest
    @MethodSource("vectors")
    void refuses_every_proper_prefix_at_the_end(Vector vector) {
        byte[] octets = Bytes.ofHex(vector.hex()).toArray();
        for (int length = 1; length < octets.length; length++) {
            byte[] prefix = Arrays.copyOf(octets, length);
            assertThatThrownBy(() -> decoded(vector.format(), List.of(prefix)))
                    .isInstanceOf(TruncatedStreamException.class);
        }
    }

    @ParameterizedTest
    @MethodSource("vectors")
    void takes_or_refuses_every_flipped_bit(Vector vector) {
        byte[] octets = Bytes.ofHex(vector.hex()).toArray();
        for (int bit = 0; bit < octets.length * 8; bit++) {
            byte[] flipped = octets.clone();
            flipped[bit / 8] ^= (byte) (1 << bit % 8);
            try {
                List<Frame> frames = decoded(vector.format(), List.of(flipped));
                assertThat(
                                frames.stream()
                                        .map(f -> encoded(vector.format(), f).toHex())
                                        .collect(Collectors.joining()))
                        .isEqualTo(Bytes.copyOf(flipped).toHex());
            } catch (ProtocolException e) {
                assertThat(e.offset()).isBetween(0L, (long) octets.length);
            }
        }
    }

    @Test
    void every_format_has_a_vector() {
        assertThat(vectors()).extracting(Vector::format).contains(FrameFormat.values());
    }

    @Test
    void the_longest_frame_passes_and_a_longer_one_does_not() {
        Frame longest = new Frame(0, Bytes.copyOf(new byte[FrameFormat.FRAME_BYTES_MAX]));
        byte[] octets = encoded(FrameFormat.LENGTH_ONLY, longest).toArray();
        byte[] head = Arrays.copyOf(octets, 1000);
        byte[] tail = Arrays.copyOfRange(octets, 1000, octets.length);
        assertThat(decoded(FrameFormat.LENGTH_ONLY, List.of(head, tail))).containsExactly(longest);

        byte[] longer = ByteBuffer.allocate(4).putInt(FrameFormat.FRAME_BYTES_MAX + 1).array();
        assertThatThrownBy(() -> decoded(FrameFormat.LENGTH_ONLY, List.of(longer)))
                .isInstanceOf(ProtocolException.class)
                .hasMessageContaining("frame length")
                .hasMessageContaining("69633");
    }

    @Test
    void a_header_longer_than_its_frame_is_refused() {
        byte[] octets = Bytes.ofHex("00000004 00000005 01020304").toArray();
        assertThatThrownBy(() -> decoded(FrameFormat.WITH_VNET_HEADER, List.of(octets)))
                .isInstanceOf(ProtocolException.class)
                .hasMessageContaining("vnet_hdr_len");
        MemorySegment target = MemorySegment.ofArray(new byte[16]);
        assertThatThrownBy(
                        () -> FrameEncoder.encodeHeader(FrameFormat.LENGTH_ONLY, 12, 20, target, 0))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void whole_frames_are_lent_and_not_copied() {
        byte[] octets = Bytes.ofHex("00000003 aabbcc").toArray();
        List<Long> addresses = new ArrayList<>();
        MemorySegment fed = MemorySegment.ofArray(octets);
        new FrameDecoder(
                        FrameFormat.LENGTH_ONLY,
                        (_, frame) -> {
                            assertThat(frame.isReadOnly()).isTrue();
                            addresses.add(frame.address());
                        })
                .feed(fed);
        assertThat(addresses).containsExactly(fed.address() + 4);
    }

    @Property(tries = 300)
    void frames_survive_however_the_socket_cuts_them(
            @ForAll long seed, @ForAll FrameFormat format, @ForAll @Size(max = 8) byte[] cuts) {
        Random random = new Random(seed);
        List<Frame> frames = new ArrayList<>();
        StringBuilder hex = new StringBuilder();
        for (int i = 0; i < 6; i++) {
            byte[] bytes = new byte[1 + random.nextInt(60)];
            random.nextBytes(bytes);
            int vnet =
                    switch (format) {
                        case LENGTH_ONLY -> 0;
                        case WITH_VNET_HEADER -> random.nextInt(bytes.length + 1);
                    };
            Frame frame = new Frame(vnet, Bytes.copyOf(bytes));
            frames.add(frame);
            hex.append(encoded(format, frame).toHex());
        }
        byte[] stream = Bytes.ofHex(hex.toString()).toArray();
        List<byte[]> parts = new ArrayList<>();
        int at = 0;
        for (byte cut : cuts) {
            int end = Math.min(stream.length, at + (cut & 0x7F));
            parts.add(Arrays.copyOfRange(stream, at, end));
            at = end;
        }
        parts.add(Arrays.copyOfRange(stream, at, stream.length));

        assertThat(decoded(format, parts)).isEqualTo(frames);
    }

    private static List<Frame> decoded(FrameFormat format, List<byte[]> parts) {
        List<Frame> frames = new ArrayList<>();
        FrameDecoder decoder =
                new FrameDecoder(
                        format, (vnet, bytes) -> frames.add(new Frame(vnet, Bytes.copyOf(bytes))));
        for (byte[] part : parts) {
            decoder.feed(ByteBuffer.wrap(part));
        }
        decoder.end();
        return frames;
    }

    private static Bytes encoded(FrameFormat format, Frame frame) {
        byte[] target = new byte[format.headerBytes() + frame.bytes().size()];
        int written =
                FrameEncoder.encode(
                        format,
                        frame.vnetHeaderBytes(),
                        frame.bytes().asSegment(),
                        MemorySegment.ofArray(target),
                        0);
        assertThat(written).isEqualTo(target.length);
        return Bytes.copyOf(target);
    }
}
