package holdfast.wire.xen;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.wire.Bytes;
import holdfast.wire.ProtocolException;

import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ReadableByteChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

class XenStreamPropertiesTest {
    private static final PageType[] TYPES = PageType.values();

    @Property(tries = 100)
    void pages_survive_the_stream_in_either_byte_order(
            @ForAll long seed, @ForAll @IntRange(min = 1, max = 40) int count) throws IOException {
        Random random = new Random(seed);
        long[] entries = new long[count];
        for (int i = 0; i < count; i++) {
            entries[i] =
                    PageList.entry(TYPES[random.nextInt(TYPES.length)], random.nextLong() >>> 12);
        }
        PageList list = PageList.ofEntries(entries);
        byte[] pages = new byte[list.dataBytes()];
        random.nextBytes(pages);
        for (BodyOrder order : BodyOrder.values()) {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            try (XenStreamWriter writer = new XenStreamWriter(Channels.newChannel(out), order)) {
                writer.imageStart(new DomainHeader(DomainType.X86_PV, 4, 17));
                writer.pageData(list, MemorySegment.ofArray(pages));
                writer.record(new LibxcRecord.End());
            }
            try (XenStreamReader reader =
                    XenStreamReader.of(
                            new TricklingChannel(out.toByteArray(), random),
                            StreamStart.DETECT,
                            ReaderOptions.PLAIN)) {
                assertThat(reader.next()).isInstanceOf(StreamEvent.ImageStart.class);
                StreamEvent.Pages event = (StreamEvent.Pages) reader.next();
                assertThat(event.record().pages()).isEqualTo(list);
                assertThat(Bytes.copyOf(event.bytes())).isEqualTo(Bytes.copyOf(pages));
                assertThat(reader.next()).isEqualTo(new StreamEvent.Libxc(new LibxcRecord.End()));
                assertThat(reader.next()).isInstanceOf(StreamEvent.Finished.class);
            }
        }
    }

    @Property(tries = 2000)
    void random_bytes_cause_nothing_but_protocol_exceptions(
            @ForAll @Size(max = 200) byte[] octets, @ForAll StreamStart start) throws IOException {
        try (XenStreamReader reader =
                XenStreamReader.of(MemorySegment.ofArray(octets), start, ReaderOptions.HOLDFAST)) {
            readAll(reader);
        } catch (ProtocolException e) {
            assertThat(e.offset()).isBetween(0L, (long) octets.length);
        }
        StreamVerifier.verify(new ByteArrayInputStream(octets), ReaderOptions.HOLDFAST);
        StreamInspector.inspect(new ByteArrayInputStream(octets), ReaderOptions.HOLDFAST);
    }

    @Property(tries = 300)
    void damage_to_a_stream_causes_nothing_but_protocol_exceptions(
            @ForAll long seed, @ForAll @IntRange(min = 1, max = 5) int damages) throws IOException {
        byte[] stream =
                new StreamBytes()
                        .xlHeader("{}\0")
                        .hvmStart()
                        .pages(1)
                        .hvmState()
                        .record(0xE)
                        .emulator(3, 2, 0, "state")
                        .record(4)
                        .toArray();
        Random random = new Random(seed);
        for (int i = 0; i < damages; i++) {
            stream[random.nextInt(stream.length)] = (byte) random.nextInt();
        }
        try (XenStreamReader reader =
                XenStreamReader.of(
                        MemorySegment.ofArray(stream),
                        StreamStart.DETECT,
                        ReaderOptions.HOLDFAST)) {
            readAll(reader);
        } catch (ProtocolException e) {
            assertThat(e.getMessage()).contains("expected").contains("found");
        }
        StreamVerifier.verify(new ByteArrayInputStream(stream), ReaderOptions.HOLDFAST);
    }

    @Property(tries = 100)
    void a_scattered_batch_equals_a_contiguous_one(
            @ForAll long seed, @ForAll @IntRange(min = 1, max = 200) int count) throws IOException {
        Random random = new Random(seed);
        long[] pfns = random.longs(count + 3L, 0, 1000).toArray();
        byte[] memory = new byte[1000 * XenLimits.PAGE_BYTES / 8];
        random.nextBytes(memory);
        PageGather gather =
                (pfn, target, offset) ->
                        MemorySegment.copy(
                                MemorySegment.ofArray(memory),
                                pfn % 100 * XenLimits.PAGE_BYTES,
                                target,
                                offset,
                                XenLimits.PAGE_BYTES);
        MemorySegment contiguous = MemorySegment.ofArray(new byte[count * XenLimits.PAGE_BYTES]);
        for (int i = 0; i < count; i++) {
            gather.copyPage(pfns[3 + i], contiguous, (long) i * XenLimits.PAGE_BYTES);
        }
        ByteArrayOutputStream first = new ByteArrayOutputStream();
        ByteArrayOutputStream second = new ByteArrayOutputStream();
        try (XenStreamWriter a = new XenStreamWriter(Channels.newChannel(first));
                XenStreamWriter b = new XenStreamWriter(Channels.newChannel(second))) {
            a.pageData(pfns, 3, count, contiguous);
            b.pageData(pfns, 3, count, gather);
        }
        assertThat(first.toByteArray()).isEqualTo(second.toByteArray());
    }

    static List<StreamEvent> readAll(XenStreamReader reader) throws IOException {
        List<StreamEvent> events = new ArrayList<>();
        StreamEvent event;
        do {
            event = reader.next();
            events.add(event);
        } while (!(event instanceof StreamEvent.Finished
                || event instanceof StreamEvent.SourceEnded));
        return events;
    }

    /** Gives as few bytes at a time as a slow network would. */
    private static final class TricklingChannel implements ReadableByteChannel {
        private final ByteBuffer bytes;
        private final Random random;

        TricklingChannel(byte[] bytes, Random random) {
            this.bytes = ByteBuffer.wrap(bytes);
            this.random = random;
        }

        @Override
        public int read(ByteBuffer target) {
            if (!bytes.hasRemaining()) {
                return -1;
            }
            int most = Math.min(target.remaining(), bytes.remaining());
            int count = 1 + random.nextInt(Math.min(most, 1500));
            target.put(bytes.slice(bytes.position(), count));
            bytes.position(bytes.position() + count);
            return count;
        }

        @Override
        public boolean isOpen() {
            return true;
        }

        @Override
        public void close() {}
    }
}
