package holdfast.node.link;

import static org.assertj.core.api.Assertions.assertThat;

import com.github.luben.zstd.Zstd;

import holdfast.wire.ProtocolException;
import holdfast.wire.link.BulkFrame;

import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.GatheringByteChannel;
import java.nio.channels.ReadableByteChannel;
import java.util.Arrays;
import java.util.Random;

/** Whatever is written comes out, and whatever is damaged is refused: random, with its seed. */
class PackedStreamProperties {
    /** Takes as little at a time as it likes. */
    private static final class Bytes implements GatheringByteChannel {
        final ByteArrayOutputStream all = new ByteArrayOutputStream();
        private final Random random;

        Bytes(Random random) {
            this.random = random;
        }

        @Override
        public int write(ByteBuffer source) {
            int count = Math.min(source.remaining(), 1 + random.nextInt(700_000));
            byte[] part = new byte[count];
            source.get(part);
            all.writeBytes(part);
            return count;
        }

        @Override
        public long write(ByteBuffer[] sources, int offset, int length) {
            for (int i = offset; i < offset + length; i++) {
                if (sources[i].hasRemaining()) {
                    return write(sources[i]);
                }
            }
            return 0;
        }

        @Override
        public long write(ByteBuffer[] sources) {
            return write(sources, 0, sources.length);
        }

        @Override
        public boolean isOpen() {
            return true;
        }

        @Override
        public void close() {}
    }

    private static byte[] content(Random random) {
        byte[] bytes = new byte[random.nextInt(4 << 20)];
        if (random.nextBoolean()) {
            random.nextBytes(bytes);
        }
        for (int i = 0; i < bytes.length; i += 1 + random.nextInt(5_000)) {
            bytes[i] = (byte) random.nextInt();
        }
        return bytes;
    }

    private static byte[] packed(Random random, byte[] content, BulkCompression wish)
            throws IOException {
        Bytes out = new Bytes(random);
        PackedOutput packing = new PackedOutput(out, wish);
        try {
            ByteBuffer source = ByteBuffer.allocateDirect(content.length).put(content).flip();
            while (source.hasRemaining()) {
                int piece = Math.min(source.remaining(), 1 + random.nextInt(3 << 20));
                packing.write(source.slice(source.position(), piece));
                source.position(source.position() + piece);
            }
            return out.all.toByteArray();
        } finally {
            packing.free();
        }
    }

    private static byte[] unpacked(Random random, byte[] packed) throws IOException {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        ReadableByteChannel from = Channels.newChannel(new ByteArrayInputStream(packed));
        PackedInput unpacking = new PackedInput(from);
        try {
            while (true) {
                ByteBuffer target = ByteBuffer.allocate(1 + random.nextInt(1 << 20));
                int read = unpacking.read(target);
                if (read < 0) {
                    return all.toByteArray();
                }
                all.write(target.array(), 0, read);
            }
        } finally {
            unpacking.free();
        }
    }

    @RepeatedTest(40)
    void what_is_written_comes_out_and_shrinks_where_it_can() throws Exception {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        byte[] content = content(random);
        for (BulkCompression wish : BulkCompression.values()) {
            byte[] packed = packed(random, content, wish);
            assertThat(unpacked(random, packed)).as("seed " + seed).isEqualTo(content);
        }
        byte[] same = new byte[3 << 20];
        Arrays.fill(same, (byte) 7);
        assertThat(packed(random, same, BulkCompression.ZSTD).length).isLessThan(same.length / 10);
    }

    @RepeatedTest(60)
    void damage_is_refused_or_decodes_to_something_within_its_bounds() throws Exception {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        byte[] content = Arrays.copyOf(content(random), 300_000);
        byte[] packed = packed(random, content, BulkCompression.ZSTD);
        byte[] damaged = packed.clone();
        int flips = 1 + random.nextInt(3);
        for (int i = 0; i < flips; i++) {
            damaged[random.nextInt(damaged.length)] ^= (byte) (1 << random.nextInt(8));
        }
        if (random.nextInt(4) == 0) {
            damaged = Arrays.copyOf(damaged, random.nextInt(damaged.length));
        }
        try {
            assertThat((long) unpacked(random, damaged).length)
                    .as("seed " + seed)
                    .isLessThanOrEqualTo(damaged.length / 13L * BulkFrame.RAW_BYTES_MAX);
        } catch (ProtocolException refused) {
            assertThat(refused.offset()).as("seed " + seed).isBetween(0L, (long) damaged.length);
        }
    }

    @Test
    void every_cut_is_an_end_between_two_frames_or_refused() throws Exception {
        Random random = new Random(5);
        byte[] packed = packed(random, new byte[10_000], BulkCompression.ZSTD);
        for (int length = 1; length < packed.length; length++) {
            byte[] cut = Arrays.copyOf(packed, length);
            try {
                unpacked(random, cut);
            } catch (ProtocolException refused) {
                continue;
            }
            throw new AssertionError("cut at " + length + " passed for whole");
        }
    }

    @Test
    void a_frame_that_becomes_another_size_than_it_says_is_refused() throws Exception {
        byte[] zstd = Zstd.compress(new byte[50_000]);
        for (int said : new int[] {49_999, 50_001, BulkFrame.RAW_BYTES_MAX}) {
            ByteBuffer frame = ByteBuffer.allocate(BulkFrame.HEADER_BYTES + zstd.length);
            new BulkFrame(BulkFrame.Packing.ZSTD, zstd.length, said).encode(frame);
            frame.put(zstd);
            try {
                unpacked(new Random(1), frame.array());
            } catch (ProtocolException refused) {
                assertThat(refused).hasMessageContaining("zstd frame");
                continue;
            }
            throw new AssertionError(said + " bytes passed");
        }
    }
}
