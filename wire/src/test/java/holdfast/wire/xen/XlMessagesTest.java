package holdfast.wire.xen;

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
import org.junit.jupiter.params.provider.ValueSource;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

class XlMessagesTest {
    private static final long OFFSET = 1000;

    private static final String PERMISSION =
            "646f6d61696e20697320796f7572732c20796f752061726520636c656172656420746f20756e7061757365"
                    + "00";
    private static final String REPORT =
            "6d7920636f707920756e706175736520726573756c74732061726520617320666f6c6c6f777300";

    record Vector(String name, String hex, int bytes, XlMessage message) {
        @Override
        public String toString() {
            return name;
        }
    }

    /** In the order of one migration; the lengths are those that xl 4.17.5 was seen to send. */
    static List<Vector> vectors() {
        return List.of(
                new Vector(
                        "banner",
                        "786c206d6967726174696f6e2072656365697665722072656164792c2073656e642062696e"
                                + "61727920646f6d61696e20646174612e0a",
                        54,
                        new XlToSender.Banner()),
                new Vector(
                        "domain received",
                        "646f6d61696e2072656365697665642c20726561647920746f20756e706175736500",
                        34,
                        new XlToSender.DomainReceived()),
                new Vector("domain is yours", PERMISSION, 44, new XlToReceiver.DomainIsYours()),
                new Vector("it runs", REPORT + "00", 40, new XlToSender.UnpauseResult(0)),
                new Vector("it does not", REPORT + "ff", 40, new XlToSender.UnpauseResult(255)),
                new Vector("yours again", PERMISSION, 44, new XlToSender.DomainIsYoursAgain()));
    }

    @ParameterizedTest
    @MethodSource("vectors")
    void decodes_and_encodes_back(Vector vector) {
        ByteBuffer source = ByteBuffer.wrap(Bytes.ofHex(vector.hex()).toArray());
        assertThat(source.remaining()).isEqualTo(vector.bytes());
        assertThat(decodeAs(vector.message(), source)).isEqualTo(vector.message());
        assertThat(source.hasRemaining()).isFalse();
        assertThat(encoded(vector.message())).isEqualTo(Bytes.ofHex(vector.hex()));
    }

    @ParameterizedTest
    @MethodSource("vectors")
    void takes_no_byte_too_many(Vector vector) {
        ByteBuffer source = ByteBuffer.wrap(Bytes.ofHex(vector.hex() + "aa").toArray());
        decodeAs(vector.message(), source);
        assertThat(source.remaining()).isEqualTo(1);
    }

    @ParameterizedTest
    @MethodSource("vectors")
    void refuses_every_proper_prefix(Vector vector) {
        byte[] whole = Bytes.ofHex(vector.hex()).toArray();
        for (int length = 0; length < whole.length; length++) {
            ByteBuffer prefix = ByteBuffer.wrap(whole, 0, length);
            assertThatThrownBy(() -> decodeAs(vector.message(), prefix))
                    .isInstanceOf(TruncatedStreamException.class)
                    .hasMessageContaining("after " + length + " bytes");
            assertThat(prefix.position()).isZero();
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
                Bytes again = encoded(decodeAs(vector.message(), ByteBuffer.wrap(flipped)));
                assertThat(again).isEqualTo(Bytes.copyOf(Arrays.copyOf(flipped, again.size())));
            } catch (ProtocolException e) {
                assertThat(e.stream()).isEqualTo("xl migration handshake");
                assertThat(e.offset()).isEqualTo(OFFSET + bit / 8);
            }
        }
    }

    @Test
    void every_message_has_a_vector() {
        Set<Class<?>> tested = new HashSet<>();
        vectors().forEach(v -> tested.add(v.message().getClass()));
        Set<Class<?>> messages = new HashSet<>();
        messages.addAll(List.of(XlToReceiver.class.getPermittedSubclasses()));
        messages.addAll(List.of(XlToSender.class.getPermittedSubclasses()));

        assertThat(tested).isEqualTo(messages);
    }

    @Test
    void the_longest_message_fits_its_limit() {
        assertThat(vectors().stream().mapToInt(Vector::bytes).max())
                .hasValue(XlMessageCodec.MESSAGE_BYTES_MAX);
        assertThat(XlMessageCodec.toReceiverBytes()).isEqualTo(44);
    }

    @ParameterizedTest
    @ValueSource(ints = {-1, 256})
    void a_status_is_one_byte(int status) {
        assertThatThrownBy(() -> new XlToSender.UnpauseResult(status))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("0..255");
    }

    @Test
    void an_error_names_place_expected_and_found() {
        assertThatThrownBy(
                        () ->
                                XlMessageCodec.decodeToReceiver(
                                        ByteBuffer.wrap("domain is mine".getBytes()), 77))
                .isInstanceOf(ProtocolException.class)
                .hasMessage(
                        "xl migration handshake at offset 87: byte 10 of the message: expected"
                                + " 0x79 of \"domain is yours, you are cleared to unpause\", found"
                                + " 0x6d");
    }

    @Property
    void random_bytes_cause_nothing_but_protocol_exceptions(@ForAll @Size(max = 60) byte[] octets) {
        try {
            XlMessageCodec.decodeToReceiver(ByteBuffer.wrap(octets), OFFSET);
        } catch (ProtocolException e) {
            assertThat(e.offset()).isGreaterThanOrEqualTo(OFFSET);
        }
        try {
            XlMessageCodec.decodeToSender(ByteBuffer.wrap(octets), OFFSET);
        } catch (ProtocolException e) {
            assertThat(e.offset()).isGreaterThanOrEqualTo(OFFSET);
        }
    }

    private static XlMessage decodeAs(XlMessage like, ByteBuffer source) {
        return switch (like) {
            case XlToReceiver _ -> XlMessageCodec.decodeToReceiver(source, OFFSET);
            case XlToSender _ -> XlMessageCodec.decodeToSender(source, OFFSET);
        };
    }

    private static Bytes encoded(XlMessage message) {
        ByteBuffer target = ByteBuffer.allocate(XlMessageCodec.MESSAGE_BYTES_MAX);
        XlMessageCodec.encode(message, target);
        return Bytes.copyOf(Arrays.copyOf(target.array(), target.position()));
    }
}
