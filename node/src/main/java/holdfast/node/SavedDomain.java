package holdfast.node;

import holdfast.engine.memory.CheckpointEncoder;
import holdfast.engine.port.DeviceState;
import holdfast.engine.port.GuestMemory;
import holdfast.node.api.Progress;
import holdfast.node.api.ProgressListener;
import holdfast.wire.ProtocolException;
import holdfast.wire.xen.DomainHeader;
import holdfast.wire.xen.DomainType;
import holdfast.wire.xen.EmulatorKind;
import holdfast.wire.xen.LibxcRecord;
import holdfast.wire.xen.LibxlRecord;
import holdfast.wire.xen.PageList;
import holdfast.wire.xen.ReaderOptions;
import holdfast.wire.xen.StreamEvent;
import holdfast.wire.xen.StreamStart;
import holdfast.wire.xen.XenStreamReader;
import holdfast.wire.xen.XenStreamWriter;
import holdfast.wire.xen.XlFileHeader;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Optional;

/**
 * A domain in a file: xl's header with the description as JSON, a libxl stream with every page, the
 * device state, END.
 */
final class SavedDomain {
    private static final int CHUNK_PAGES = 1024;
    private static final long PROGRESS_BYTES = 16L << 20;

    private SavedDomain() {}

    /**
     * Writes a suspended domain. The file appears under its name only when it is whole and on the
     * disk.
     *
     * @return its length
     */
    static long write(
            Path file,
            String specJson,
            GuestMemory memory,
            DeviceState state,
            ProgressListener progress)
            throws IOException {
        Path beside = file.resolveSibling(file.getFileName() + ".tmp");
        try {
            long bytes;
            try (FileChannel out =
                            FileChannel.open(
                                    beside,
                                    StandardOpenOption.CREATE,
                                    StandardOpenOption.TRUNCATE_EXISTING,
                                    StandardOpenOption.WRITE);
                    XenStreamWriter writer = new XenStreamWriter(out)) {
                writer.xlFileHeader(XlFileHeader.ofConfig(specJson));
                writer.libxlHeader();
                writer.record(new LibxlRecord.LibxcContext());
                writer.imageStart(new DomainHeader(DomainType.X86_HVM, 4, 17));
                writer.record(new LibxcRecord.StaticDataEnd());
                pages(writer, memory, progress);
                writer.record(new LibxcRecord.End());
                writer.emulatorContext(
                        EmulatorKind.UPSTREAM_QEMU,
                        CheckpointEncoder.BASE_INDEX,
                        state.base().bytes());
                writer.emulatorContext(
                        EmulatorKind.UPSTREAM_QEMU,
                        CheckpointEncoder.SECTIONS_INDEX,
                        state.sections());
                writer.record(new LibxlRecord.End());
                writer.flush();
                bytes = writer.bytesWritten();
                out.force(true);
            }
            Files.move(
                    beside,
                    file,
                    StandardCopyOption.ATOMIC_MOVE,
                    StandardCopyOption.REPLACE_EXISTING);
            return bytes;
        } catch (IOException | RuntimeException e) {
            Files.deleteIfExists(beside);
            throw e;
        }
    }

    private static void pages(XenStreamWriter writer, GuestMemory memory, ProgressListener progress)
            throws IOException {
        long[] pfns = new long[CHUNK_PAGES];
        long total = memory.pages() * GuestMemory.PAGE_BYTES;
        long told = 0;
        for (long first = 0; first < memory.pages(); first += CHUNK_PAGES) {
            int count = (int) Math.min(CHUNK_PAGES, memory.pages() - first);
            for (int i = 0; i < count; i++) {
                pfns[i] = first + i;
            }
            long at = first * GuestMemory.PAGE_BYTES;
            writer.pageData(
                    pfns,
                    0,
                    count,
                    memory.bytes().asSlice(at, (long) count * GuestMemory.PAGE_BYTES));
            if (at - told >= PROGRESS_BYTES) {
                told = at;
                progress.progress(new Progress("saving", 0, at, total, "writing memory"));
            }
        }
        progress.progress(new Progress("saving", 0, total, total, "writing device state"));
    }

    /** A saved domain that is being read. Borrowed segments live until it is closed. */
    static final class Reading implements AutoCloseable {
        private final Path file;
        private final FileChannel in;
        private final XenStreamReader reader;
        private final String specJson;
        private final Arena arena = Arena.ofConfined();
        private Optional<MemorySegment> base = Optional.empty();
        private Optional<MemorySegment> sections = Optional.empty();

        /**
         * Opens the file and reads the description.
         *
         * @throws ProtocolException with offset and rule, where it is no saved domain
         */
        Reading(Path file) throws IOException {
            this.file = file;
            this.in = FileChannel.open(file, StandardOpenOption.READ);
            try {
                this.reader = XenStreamReader.of(in, StreamStart.XL_FILE, ReaderOptions.PLAIN);
                if (!(reader.next() instanceof StreamEvent.XlFile(XlFileHeader header))) {
                    throw broken("first header", "xl's file header", "another");
                }
                this.specJson =
                        header.configJson()
                                .orElseThrow(
                                        () ->
                                                broken(
                                                        "xl header",
                                                        "the domain's description",
                                                        "none"));
            } catch (IOException | RuntimeException e) {
                in.close();
                throw e;
            }
        }

        String specJson() {
            return specJson;
        }

        /** Reads everything else: pages go to {@code memory}, which is zero-filled. */
        void readInto(GuestMemory memory, ProgressListener progress) throws IOException {
            long pages = 0;
            long total = memory.pages() * GuestMemory.PAGE_BYTES;
            long told = 0;
            while (true) {
                switch (reader.next()) {
                    case StreamEvent.Pages(
                                    LibxcRecord.PageData(PageList list),
                                    MemorySegment bytes) -> {
                        pages(list, bytes, memory);
                        pages += list.count();
                        long done = pages * GuestMemory.PAGE_BYTES;
                        if (done - told >= PROGRESS_BYTES) {
                            told = done;
                            progress.progress(
                                    new Progress("loading", 0, done, total, "reading memory"));
                        }
                    }
                    case StreamEvent.EmulatorState(
                                    LibxlRecord.EmulatorContext context,
                                    MemorySegment bytes) ->
                            state(context, bytes);
                    case StreamEvent.Finished _ -> {
                        if (base.isEmpty() || sections.isEmpty()) {
                            throw broken("stream", "device state 0 and 1", "an end without");
                        }
                        return;
                    }
                    case StreamEvent.SourceEnded _ ->
                            throw broken("stream", "an END", "the end of the file");
                    case StreamEvent.LibxlStart _,
                            StreamEvent.ImageStart _,
                            StreamEvent.Libxc(LibxcRecord.StaticDataEnd _),
                            StreamEvent.Libxc(LibxcRecord.End _),
                            StreamEvent.Libxl(LibxlRecord.LibxcContext _),
                            StreamEvent.Libxl(LibxlRecord.End _),
                            StreamEvent.Skipped _ -> {}
                    case StreamEvent.XlFile _,
                            StreamEvent.Libxc _,
                            StreamEvent.Libxl _,
                            StreamEvent.Deltas _ ->
                            throw broken("record", "one that `holdfast save` writes", "another");
                }
            }
        }

        private void pages(PageList list, MemorySegment bytes, GuestMemory memory) {
            if (list.dataPages() != list.count()) {
                throw broken("PAGE_DATA", "pages that all have data", list.toString());
            }
            for (int i = 0; i < list.count(); i++) {
                long pfn = list.pfn(i);
                if (pfn >= memory.pages()) {
                    throw broken(
                            "PFN",
                            "less than the domain's " + memory.pages() + " pages",
                            Long.toString(pfn));
                }
                MemorySegment.copy(
                        bytes,
                        (long) i * GuestMemory.PAGE_BYTES,
                        memory.bytes(),
                        pfn * GuestMemory.PAGE_BYTES,
                        GuestMemory.PAGE_BYTES);
            }
        }

        private void state(LibxlRecord.EmulatorContext context, MemorySegment bytes) {
            MemorySegment copy = arena.allocate(bytes.byteSize(), 8).copyFrom(bytes);
            if (context.index() == CheckpointEncoder.BASE_INDEX) {
                base = Optional.of(copy);
            } else if (context.index() == CheckpointEncoder.SECTIONS_INDEX) {
                sections = Optional.of(copy);
            } else {
                throw broken("EMULATOR_CONTEXT", "index 0 or 1", context.toString());
            }
        }

        MemorySegment base() {
            return base.orElseThrow();
        }

        MemorySegment sections() {
            return sections.orElseThrow();
        }

        private ProtocolException broken(String field, String expected, String found) {
            return new ProtocolException(
                    file.toString(), reader.eventOffset(), field, expected, found);
        }

        @Override
        public void close() throws IOException {
            try (in;
                    reader) {
                arena.close();
            }
        }
    }
}
