package holdfast.qemu.state;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.HypervisorException;

import org.junit.jupiter.api.Test;

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;

class StateStreamTest {
    private static final byte[] DEVICES = {4, 0, 0, 0, 9, 1, 'x', 0x7e, 0, 0, 0, 9, 0};

    @Test
    void the_cut_is_where_the_first_full_section_begins() throws IOException {
        byte[] base = base();
        byte[] whole = concat(base, DEVICES);
        StateStream expected =
                new StateStream(
                        100,
                        8348,
                        base.length,
                        List.of(
                                new StateStream.Block("/objects/ram", 0x100000),
                                new StateStream.Block("vga.vram", 0x2000)),
                        2,
                        1);
        assertThat(StateStream.parse(MemorySegment.ofArray(whole))).isEqualTo(expected);
        assertThat(StateStream.parse(MemorySegment.ofArray(base))).isEqualTo(expected);
    }

    @Test
    void every_truncated_base_is_refused() throws IOException {
        byte[] base = base();
        for (int length = 0; length < base.length; length++) {
            MemorySegment cut = MemorySegment.ofArray(Arrays.copyOf(base, length));
            assertThatThrownBy(() -> StateStream.parse(cut))
                    .as("cut after %d bytes", length)
                    .isInstanceOf(HypervisorException.class)
                    .hasMessageMatching(".*offset \\d+: .*: found .*, expected .*");
        }
    }

    @Test
    void a_flipped_bit_is_refused_or_harmless_but_never_runs_away() throws IOException {
        byte[] whole = concat(base(), DEVICES);
        int refused = 0;
        for (int bit = 0; bit < whole.length * 8; bit++) {
            byte[] flipped = whole.clone();
            flipped[bit / 8] ^= (byte) (1 << bit % 8);
            try {
                StateStream read = StateStream.parse(MemorySegment.ofArray(flipped));
                assertThat(read.cutOffset()).isBetween(8L, (long) whole.length);
            } catch (HypervisorException expected) {
                refused++;
            }
        }
        assertThat(refused).isPositive();
    }

    @Test
    void a_configuration_section_is_refused_with_the_option_that_avoids_it() throws IOException {
        byte[] stream = base();
        stream[8] = 7;
        assertThatThrownBy(() -> StateStream.parse(MemorySegment.ofArray(stream)))
                .hasMessageContaining("migration.send-configuration=off");
    }

    @Test
    void a_splice_takes_the_base_and_the_devices_without_their_header() throws IOException {
        byte[] base = base();
        byte[] sections = concat(header(), DEVICES);
        StateSplice splice =
                new StateSplice(MemorySegment.ofArray(base), MemorySegment.ofArray(sections));
        byte[] into = new byte[(int) splice.bytes()];
        splice.copyTo(MemorySegment.ofArray(into));
        assertThat(into).isEqualTo(concat(base, DEVICES));
    }

    @Test
    void a_splice_of_anything_else_is_refused() throws IOException {
        MemorySegment base = MemorySegment.ofArray(base());
        MemorySegment sections = MemorySegment.ofArray(concat(header(), DEVICES));
        MemorySegment uncut = MemorySegment.ofArray(concat(base(), DEVICES));
        assertThatThrownBy(() -> new StateSplice(uncut, sections))
                .isInstanceOf(HypervisorException.class);
        byte[] configured = concat(header(), DEVICES);
        configured[8] = 7;
        byte[] unended = Arrays.copyOf(concat(header(), DEVICES), 8 + DEVICES.length - 1);
        for (byte[] bad : List.of(new byte[0], header(), DEVICES, configured, unended)) {
            assertThatThrownBy(() -> new StateSplice(base, MemorySegment.ofArray(bad)))
                    .isInstanceOf(HypervisorException.class);
        }
    }

    private static byte[] header() {
        return new byte[] {'Q', 'E', 'V', 'M', 0, 0, 0, 3};
    }

    private static byte[] base() throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        DataOutputStream out = new DataOutputStream(bytes);
        out.write(header());
        out.writeByte(1);
        out.writeInt(2);
        name(out, "ram");
        out.writeInt(0);
        out.writeInt(4);
        out.writeLong(0x102000 | 4);
        name(out, "/objects/ram");
        out.writeLong(0x100000);
        out.writeLong(0);
        name(out, "vga.vram");
        out.writeLong(0x2000);
        out.writeLong(0xfd000000L);
        out.writeLong(0x10);
        footer(out);
        out.writeByte(2);
        out.writeInt(2);
        out.writeLong(8);
        name(out, "vga.vram");
        out.write(new byte[4096]);
        out.writeLong(0x1000 | 0x28);
        out.write(new byte[4096]);
        out.writeLong(0x200);
        out.writeLong(0x10);
        footer(out);
        out.writeByte(8);
        out.writeShort(11);
        out.writeShort(0);
        out.writeByte(3);
        out.writeInt(2);
        out.writeLong(0x1000 | 0x22);
        out.writeByte(0);
        out.writeLong(0x10);
        footer(out);
        return bytes.toByteArray();
    }

    private static void name(DataOutputStream out, String name) throws IOException {
        out.writeByte(name.length());
        out.write(name.getBytes(StandardCharsets.ISO_8859_1));
    }

    private static void footer(DataOutputStream out) throws IOException {
        out.writeByte(0x7e);
        out.writeInt(2);
    }

    private static byte[] concat(byte[] first, byte[] second) {
        byte[] all = Arrays.copyOf(first, first.length + second.length);
        System.arraycopy(second, 0, all, first.length, second.length);
        return all;
    }
}
