package holdfast.bench;

import holdfast.wire.xen.DomainHeader;
import holdfast.wire.xen.DomainType;
import holdfast.wire.xen.LibxcRecord;
import holdfast.wire.xen.LibxlRecord;
import holdfast.wire.xen.ReaderOptions;
import holdfast.wire.xen.StreamEvent;
import holdfast.wire.xen.StreamStart;
import holdfast.wire.xen.XenStreamReader;
import holdfast.wire.xen.XenStreamWriter;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.GatheringByteChannel;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;

/**
 * PAGE_DATA through writer and reader, beside a plain copy of the same pages. Both end with the
 * pages in another place of memory: the writer copies them into the stream, the reader lends them
 * from there. The two take turns, because on a shared machine one minute is not like the next.
 */
final class CodecBenchmark {
    private static final int PAGES = 16 * 1024;
    private static final int PAGE_BYTES = 4096;
    private static final int BATCH = 1024;
    private static final int ROUNDS_WARM = 10;
    private static final int ROUNDS = 40;

    /**
     * @param copyGbPerSecond plain copy, median, 10^9 bytes of pages a second
     * @param codecGbPerSecond encoding plus decoding, median
     * @param codecVsCopy median of the ratio of neighbouring rounds
     */
    record Result(double copyGbPerSecond, double codecGbPerSecond, double codecVsCopy) {}

    /** A stream in memory. */
    private static final class MemoryChannel implements GatheringByteChannel {
        private final MemorySegment room;
        private long position;

        MemoryChannel(MemorySegment room) {
            this.room = room;
        }

        @Override
        public int write(ByteBuffer source) {
            int bytes = source.remaining();
            MemorySegment.copy(MemorySegment.ofBuffer(source), 0, room, position, bytes);
            source.position(source.limit());
            position += bytes;
            return bytes;
        }

        @Override
        public long write(ByteBuffer[] sources, int offset, int length) {
            long bytes = 0;
            for (int i = offset; i < offset + length; i++) {
                bytes += write(sources[i]);
            }
            return bytes;
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

    private CodecBenchmark() {}

    static Result run() throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            long bytes = (long) PAGES * PAGE_BYTES;
            MemorySegment pages = arena.allocate(bytes, PAGE_BYTES);
            MemorySegment target = arena.allocate(bytes + (1 << 20), PAGE_BYTES);
            RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(1);
            for (long at = 0; at < bytes; at += 8) {
                pages.set(java.lang.foreign.ValueLayout.JAVA_LONG, at, random.nextLong());
            }
            long[] pfns = new long[PAGES];
            for (int i = 0; i < PAGES; i++) {
                pfns[i] = i;
            }
            Samples copy = new Samples();
            Samples codec = new Samples();
            Samples ratio = new Samples();
            for (int round = 0; round < ROUNDS_WARM + ROUNDS; round++) {
                long start = System.nanoTime();
                for (long at = 0; at < bytes; at += (long) BATCH * PAGE_BYTES) {
                    MemorySegment.copy(pages, at, target, at, (long) BATCH * PAGE_BYTES);
                }
                long copied = System.nanoTime();
                long decodedPages = encodeAndDecode(pages, pfns, target);
                long coded = System.nanoTime();
                if (decodedPages != PAGES) {
                    throw new IllegalStateException(
                            decodedPages + " pages came out, " + PAGES + " went in");
                }
                if (round >= ROUNDS_WARM) {
                    copy.add(bytes / (double) (copied - start));
                    codec.add(bytes / (double) (coded - copied));
                    ratio.add((copied - start) / (double) (coded - copied));
                }
            }
            return new Result(copy.median(), codec.median(), ratio.median());
        }
    }

    private static long encodeAndDecode(MemorySegment pages, long[] pfns, MemorySegment target)
            throws IOException {
        MemoryChannel channel = new MemoryChannel(target);
        try (XenStreamWriter writer = new XenStreamWriter(channel)) {
            writer.libxlHeader();
            writer.record(new LibxlRecord.LibxcContext());
            writer.imageStart(new DomainHeader(DomainType.X86_HVM, 4, 17));
            writer.record(new LibxcRecord.StaticDataEnd());
            for (int first = 0; first < PAGES; first += BATCH) {
                writer.pageData(
                        pfns,
                        first,
                        BATCH,
                        pages.asSlice((long) first * PAGE_BYTES, (long) BATCH * PAGE_BYTES));
            }
            writer.flush();
        }
        long decoded = 0;
        long sum = 0;
        try (XenStreamReader reader =
                XenStreamReader.of(
                        target.asSlice(0, channel.position),
                        StreamStart.LIBXL_STREAM,
                        ReaderOptions.HOLDFAST)) {
            for (StreamEvent event = reader.next();
                    !(event instanceof StreamEvent.SourceEnded);
                    event = reader.next()) {
                if (event
                        instanceof
                        StreamEvent.Pages(LibxcRecord.PageData record, MemorySegment bytes)) {
                    decoded += record.pages().count();
                    sum += bytes.get(java.lang.foreign.ValueLayout.JAVA_BYTE, bytes.byteSize() - 1);
                }
            }
        }
        // The pages were looked at: nothing here can be left out by a clever compiler.
        return sum == Long.MIN_VALUE ? -1 : decoded;
    }
}
