package holdfast.engine.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.memory.CheckpointEncoder.Encoding;
import holdfast.engine.port.DeviceState;
import holdfast.engine.port.GuestMemory;
import holdfast.wire.ProtocolException;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ReadableByteChannel;
import java.util.Arrays;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;

class CheckpointStreamTest {
    private static final long PAGES = 3000;

    private record HeapMemory(long pages, MemorySegment bytes) implements GuestMemory {
        static HeapMemory ofPages(long pages) {
            return new HeapMemory(
                    pages, MemorySegment.ofArray(new byte[(int) (pages * PAGE_BYTES)]));
        }
    }

    /**
     * A stream of which only the bytes before {@code end} have been sent: a primary sends nothing
     * beyond a checkpoint that is not committed.
     */
    private static final class Arriving implements ReadableByteChannel {
        private final byte[] bytes;
        private int position;
        private int end;

        Arriving(byte[] bytes) {
            this.bytes = bytes;
        }

        @Override
        public int read(ByteBuffer target) {
            int part = Math.min(target.remaining(), end - position);
            target.put(bytes, position, part);
            position += part;
            return part == 0 ? -1 : part;
        }

        @Override
        public boolean isOpen() {
            return true;
        }

        @Override
        public void close() {}
    }

    private final RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(42);
    private final HeapMemory guest = HeapMemory.ofPages(PAGES);
    private final HeapMemory replica = HeapMemory.ofPages(PAGES);
    private final ByteArrayOutputStream stream = new ByteArrayOutputStream();

    /** Writes as guests do: a few words, whole pages, zeroes, and the same content again. */
    private PfnSet dirtySome(int pages) {
        PfnSet dirty = new PfnSet(PAGES);
        for (int i = 0; i < pages; i++) {
            long pfn = random.nextLong(PAGES);
            dirty.add(pfn);
            MemorySegment page = guest.page(pfn);
            switch (random.nextInt(4)) {
                case 0 ->
                        page.set(
                                ValueLayout.JAVA_LONG_UNALIGNED,
                                8L * random.nextInt(512),
                                random.nextLong());
                case 1 -> {
                    byte[] content = new byte[GuestMemory.PAGE_BYTES];
                    random.nextBytes(content);
                    page.copyFrom(MemorySegment.ofArray(content));
                }
                case 2 -> page.fill((byte) 0);
                default -> {}
            }
        }
        return dirty;
    }

    private static MemorySegment blob(String text) {
        return MemorySegment.ofArray(text.getBytes());
    }

    private static String text(MemorySegment segment) {
        return new String(segment.toArray(ValueLayout.JAVA_BYTE));
    }

    private CheckpointDigest write(
            CheckpointEncoder encoder,
            CheckpointCapture capture,
            PfnSet dirty,
            int epoch,
            long base)
            throws IOException {
        capture.clear();
        capture.copyPages(dirty, guest);
        capture.copySections(blob("sections " + epoch));
        encoder.checkpoint(epoch, capture, new DeviceState.DeviceBase(base, blob("base " + base)));
        return encoder.takeDigest();
    }

    @ParameterizedTest
    @EnumSource(Encoding.class)
    void theReplicaIsTheGuestAfterEachCheckpointAndUntouchedBeforeItIsApplied(Encoding encoding)
            throws IOException {
        try (CheckpointEncoder encoder =
                        new CheckpointEncoder(encoding, PAGES, Channels.newChannel(stream));
                CheckpointCapture capture = new CheckpointCapture(PAGES, 0)) {
            dirtySome(2000);
            PfnSet all = new PfnSet(PAGES);
            all.fill();
            encoder.round(all, guest);
            byte[][] contents = new byte[6][];
            CheckpointDigest[] digests = new CheckpointDigest[6];
            int[] ends = new int[6];
            for (int epoch = 0; epoch < contents.length; epoch++) {
                digests[epoch] = write(encoder, capture, dirtySome(300), epoch, epoch / 3);
                contents[epoch] = guest.bytes().toArray(ValueLayout.JAVA_BYTE);
                ends[epoch] = stream.size();
            }

            Arriving arriving = new Arriving(stream.toByteArray());
            try (CheckpointReader reader = new CheckpointReader(replica, arriving)) {
                for (int epoch = 0; epoch < contents.length; epoch++) {
                    arriving.end = ends[epoch];
                    assertThat(reader.readCheckpoint())
                            .isEqualTo(
                                    new CheckpointReader.Read.Whole(
                                            "sections 0".length(), digests[epoch]));
                    if (epoch > 0) {
                        assertThat(
                                        replica.bytes()
                                                .mismatch(
                                                        MemorySegment.ofArray(contents[epoch - 1])))
                                .isEqualTo(-1);
                        assertThat(text(reader.sections())).isEqualTo("sections " + (epoch - 1));
                    }
                    reader.apply();
                    assertThat(replica.bytes().mismatch(MemorySegment.ofArray(contents[epoch])))
                            .isEqualTo(-1);
                    assertThat(text(reader.sections())).isEqualTo("sections " + epoch);
                    assertThat(text(reader.base())).isEqualTo("base " + epoch / 3);
                }
                assertThat(reader.readCheckpoint()).isInstanceOf(CheckpointReader.Read.Ended.class);
            }
        }
    }

    @Test
    void differencesAreMuchSmallerThanPages() throws IOException {
        try (CheckpointEncoder encoder =
                        new CheckpointEncoder(Encoding.DELTA, PAGES, Channels.newChannel(stream));
                CheckpointCapture capture = new CheckpointCapture(PAGES, 0)) {
            PfnSet all = new PfnSet(PAGES);
            all.fill();
            random.nextBytes(new byte[1]);
            Encoded first = encoder.round(all, guest);
            assertThat(first.samePages()).isEqualTo(PAGES);
            PfnSet dirty = new PfnSet(PAGES);
            for (long pfn = 0; pfn < 200; pfn++) {
                guest.page(pfn).set(ValueLayout.JAVA_LONG_UNALIGNED, 64, pfn + 1);
                dirty.add(pfn);
            }
            capture.copyPages(dirty, guest);
            capture.copySections(blob("sections"));
            Encoded checkpoint =
                    encoder.checkpoint(0, capture, new DeviceState.DeviceBase(0, blob("base")));
            assertThat(checkpoint.deltaPages()).isEqualTo(200);
            assertThat(checkpoint.streamBytes()).isLessThan(200 * 64);
        }
    }

    @Test
    void aStreamCutAnywhereLeavesTheReplicaAtTheLastAppliedCheckpoint() throws IOException {
        byte[] second;
        int firstEnd;
        try (CheckpointEncoder encoder =
                        new CheckpointEncoder(Encoding.DELTA, PAGES, Channels.newChannel(stream));
                CheckpointCapture capture = new CheckpointCapture(PAGES, 0)) {
            write(encoder, capture, dirtySome(20), 0, 0);
            firstEnd = stream.size();
            second = guest.bytes().toArray(ValueLayout.JAVA_BYTE);
            write(encoder, capture, dirtySome(10), 1, 0);
        }
        byte[] whole = stream.toByteArray();
        for (int cut = firstEnd; cut < whole.length; cut += 97) {
            replica.bytes().fill((byte) 0);
            try (CheckpointReader reader =
                    new CheckpointReader(
                            replica,
                            Channels.newChannel(
                                    new ByteArrayInputStream(Arrays.copyOf(whole, cut))))) {
                assertThat(reader.readCheckpoint()).isInstanceOf(CheckpointReader.Read.Whole.class);
                reader.apply();
                assertThat(reader.readCheckpoint()).isInstanceOf(CheckpointReader.Read.Ended.class);
                assertThat(replica.bytes().mismatch(MemorySegment.ofArray(second))).isEqualTo(-1);
            }
        }
    }

    @Test
    void pagesBeyondTheReplicaAreRefused() throws IOException {
        try (CheckpointEncoder encoder =
                        new CheckpointEncoder(Encoding.PLAIN, PAGES, Channels.newChannel(stream));
                CheckpointCapture capture = new CheckpointCapture(PAGES, 0)) {
            PfnSet last = new PfnSet(PAGES);
            last.add(PAGES - 1);
            write(encoder, capture, last, 0, 0);
        }
        try (CheckpointReader reader =
                new CheckpointReader(
                        HeapMemory.ofPages(PAGES - 1),
                        Channels.newChannel(new ByteArrayInputStream(stream.toByteArray())))) {
            assertThatThrownBy(reader::readCheckpoint)
                    .isInstanceOf(ProtocolException.class)
                    .hasMessageContaining("PFN")
                    .hasMessageContaining(Long.toString(PAGES - 1));
        }
    }
}
