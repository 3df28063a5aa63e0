package holdfast.wire.colo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.wire.Bytes;
import holdfast.wire.ProtocolException;
import holdfast.wire.TruncatedStreamException;

import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.LongRange;
import net.jqwik.api.constraints.Size;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

class ColoMessagesTest {
    record Vector(String name, String hex, ColoMessage message) {
        @Override
        public String toString() {
            return name;
        }
    }

    /** In the order of one checkpoint. */
    static List<Vector> vectors() {
        return List.of(
                new Vector("CHECKPOINT_READY", "00000000", new ToPrimary.CheckpointReady()),
                new Vector("CHECKPOINT_REQUEST", "00000001", new ToSecondary.CheckpointRequest()),
                new Vector("CHECKPOINT_REPLY", "00000002", new ToPrimary.CheckpointReply()),
                new Vector("VMSTATE_SEND", "00000003", new ToSecondary.VmstateSend()),
                new Vector(
                        "VMSTATE_SIZE",
                        "00000004 0000000000012345",
                        new ToSecondary.VmstateSize(0x12345)),
                new Vector("VMSTATE_RECEIVED", "00000005", new ToPrimary.VmstateReceived()),
                new Vector("VMSTATE_LOADED", "00000006", new ToPrimary.VmstateLoaded()));
    }

    @ParameterizedTest
    @MethodSource("vectors")
    void decodes_and_encodes_back(Vector vector) {
        ByteBuffer source = ByteBuffer.wrap(Bytes.ofHex(vector.hex()).toArray());
        assertThat(ColoCodec.messageBytes(source)).isEqualTo(source.remaining());
        assertThat(decodeAs(vector.message(), source)).isEqualTo(vector.message());
        assertThat(source.hasRemaining()).isFalse();
        for (ByteOrder order : List.of(ByteOrder.BIG_ENDIAN, ByteOrder.LITTLE_ENDIAN)) {
            assertThat(encoded(vector.message(), order)).isEqualTo(Bytes.ofHex(vector.hex()));
        }
    }

    @ParameterizedTest
    @MethodSource("vectors")
    void refuses_every_proper_prefix(Vector vector) {
        byte[] whole = Bytes.ofHex(vector.hex()).toArray();
        for (int length = 0; length < whole.length; length++) {
            ByteBuffer prefix = ByteBuffer.wrap(whole, 0, length);
            assertThatThrownBy(() -> decodeAs(vector.message(), prefix))
                    .isInstanceOf(TruncatedStreamException.class);
            assertThat(prefix.position()).isZero();
            assertThat(ColoCodec.messageBytes(prefix)).isGreaterThan(length);
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
                ColoMessage decoded = decodeAs(vector.message(), ByteBuffer.wrap(flipped));
                Bytes again = encoded(decoded, ByteOrder.BIG_ENDIAN);
                assertThat(again).isEqualTo(Bytes.copyOf(Arrays.copyOf(flipped, again.size())));
            } catch (ProtocolException e) {
                assertThat(e.stream()).isEqualTo("colo messages");
            }
        }
    }

    @Test
    void every_message_has_a_vector() {
        Set<Class<?>> tested = new HashSet<>();
        vectors().forEach(v -> tested.add(v.message().getClass()));
        Set<Class<?>> messages = new HashSet<>();
        messages.addAll(List.of(ToSecondary.class.getPermittedSubclasses()));
        messages.addAll(List.of(ToPrimary.class.getPermittedSubclasses()));

        assertThat(tested).isEqualTo(messages);
    }

    @Test
    void the_sizes_limit_is_the_same_for_both_sides() {
        long most = ColoCodec.VMSTATE_BYTES_MAX;
        assertThat(new ToSecondary.VmstateSize(most).stateBytes()).isEqualTo(most);
        assertThatThrownBy(() -> new ToSecondary.VmstateSize(most + 1))
                .isInstanceOf(IllegalArgumentException.class);
        ByteBuffer source = ByteBuffer.allocate(12).putInt(4).putLong(most + 1).flip();
        assertThatThrownBy(() -> ColoCodec.decodeToSecondary(source))
                .isInstanceOf(ProtocolException.class)
                .hasMessageContaining("VMSTATE_SIZE");
    }

    @Property
    void sizes_survive(@ForAll @LongRange(min = 0, max = ColoCodec.VMSTATE_BYTES_MAX) long bytes) {
        ToSecondary.VmstateSize message = new ToSecondary.VmstateSize(bytes);
        assertThat(
                        ColoCodec.decodeToSecondary(
                                ByteBuffer.wrap(encoded(message, ByteOrder.BIG_ENDIAN).toArray())))
                .isEqualTo(message);
    }

    @Property
    void random_bytes_cause_nothing_but_protocol_exceptions(@ForAll @Size(max = 16) byte[] octets) {
        try {
            ColoCodec.decodeToSecondary(ByteBuffer.wrap(octets));
        } catch (ProtocolException e) {
            assertThat(e.offset()).isEqualTo(ProtocolException.OFFSET_UNKNOWN);
        }
    }

    @Test
    void checkpoints_go_round_and_are_counted() {
        ColoOrder order = ColoOrder.start();
        order = order.next(new ToPrimary.CheckpointReady());
        for (int i = 0; i < 3; i++) {
            for (Vector vector : vectors().subList(1, 7)) {
                order = order.next(vector.message());
            }
        }
        assertThat(order).isEqualTo(new ColoOrder(ColoOrder.Due.CHECKPOINT_REQUEST, 3));
    }

    @Test
    void every_message_but_the_due_one_is_refused_everywhere() {
        for (ColoOrder.Due due : ColoOrder.Due.values()) {
            ColoOrder order = new ColoOrder(due, 5);
            for (Vector vector : vectors()) {
                if (vector.name().equals(due.name())) {
                    assertThat(order.next(vector.message()).due()).isNotEqualTo(due);
                } else {
                    assertThatThrownBy(() -> order.next(vector.message()))
                            .isInstanceOf(ProtocolException.class)
                            .hasMessageContaining("expected " + due)
                            .hasMessageContaining("found " + vector.name());
                }
            }
        }
    }

    private static ColoMessage decodeAs(ColoMessage like, ByteBuffer source) {
        return switch (like) {
            case ToSecondary _ -> ColoCodec.decodeToSecondary(source);
            case ToPrimary _ -> ColoCodec.decodeToPrimary(source);
        };
    }

    private static Bytes encoded(ColoMessage message, ByteOrder order) {
        ByteBuffer target = ByteBuffer.allocate(ColoCodec.MESSAGE_BYTES_MAX).order(order);
        ColoCodec.encode(message, target);
        return Bytes.copyOf(Arrays.copyOf(target.array(), target.position()));
    }
}
