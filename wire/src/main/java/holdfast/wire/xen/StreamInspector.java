package holdfast.wire.xen;

import holdfast.wire.ProtocolException;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ReadableByteChannel;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;

/** Describes a recorded stream with the ordinary reader, as far as that can read it. */
public final class StreamInspector {
    private final XenStreamReader reader;
    private final Consumer<StreamDescription.Row> rows;
    private final Map<String, Long> recordsByType = new LinkedHashMap<>();
    private long bytes;
    private long records;
    private long pages;
    private long pagesWithData;
    private long deltaPages;
    private long checkpoints;
    private long trailingBytes;

    private StreamInspector(XenStreamReader reader, Consumer<StreamDescription.Row> rows) {
        this.reader = reader;
        this.rows = rows;
    }

    /** As {@link #inspect(ReadableByteChannel, ReaderOptions)}. */
    public static StreamDescription inspect(InputStream source, ReaderOptions options)
            throws IOException {
        return inspect(Channels.newChannel(source), options);
    }

    /** Describes a stream that begins at xl's, libxl's or libxc's header. */
    public static StreamDescription inspect(ReadableByteChannel source, ReaderOptions options)
            throws IOException {
        List<StreamDescription.Row> rows = new ArrayList<>();
        StreamDescription sums = inspect(source, options, rows::add);
        return new StreamDescription(List.copyOf(rows), sums.totals(), sums.problem());
    }

    /**
     * Hands over each row as it is read, for streams too long to collect them; the result has none.
     */
    public static StreamDescription inspect(
            ReadableByteChannel source, ReaderOptions options, Consumer<StreamDescription.Row> rows)
            throws IOException {
        try (XenStreamReader reader = XenStreamReader.of(source, StreamStart.DETECT, options)) {
            return new StreamInspector(reader, rows).run();
        }
    }

    private StreamDescription run() throws IOException {
        Optional<String> problem = Optional.empty();
        try {
            while (describe(reader.next())) {}
        } catch (ProtocolException e) {
            problem = Optional.of(e.getMessage());
        }
        return new StreamDescription(
                List.of(),
                new StreamDescription.Totals(
                        bytes,
                        records,
                        reader.skippedRecords(),
                        pages,
                        pagesWithData,
                        deltaPages,
                        checkpoints,
                        trailingBytes,
                        Collections.unmodifiableMap(recordsByType)),
                problem);
    }

    /** Returns whether another event follows. */
    private boolean describe(StreamEvent event) throws IOException {
        switch (event) {
            case StreamEvent.XlFile(XlFileHeader header) ->
                    row(
                            StreamLayer.XL,
                            "xl header",
                            "configuration of " + header.optionalData().size() + " bytes");
            case StreamEvent.LibxlStart(LibxlHeader header) ->
                    row(
                            StreamLayer.LIBXL,
                            "libxl header",
                            "version 2, " + header.order() + ", " + header.origin());
            case StreamEvent.ImageStart(ImageHeader image, DomainHeader domain) ->
                    row(
                            StreamLayer.LIBXC,
                            "image header",
                            "version "
                                    + image.version()
                                    + ", "
                                    + image.order()
                                    + ", "
                                    + domain.type()
                                    + ", Xen "
                                    + domain.xenMajor()
                                    + "."
                                    + domain.xenMinor());
            case StreamEvent.Pages(LibxcRecord.PageData record, _) -> {
                PageList list = record.pages();
                pages += list.count();
                pagesWithData += list.dataPages();
                record(StreamLayer.LIBXC, LibxcType.PAGE_DATA.name(), RecordSummary.of(list));
            }
            case StreamEvent.Deltas(LibxcRecord.PageDelta record, _) -> {
                deltaPages += record.pages().count();
                record(StreamLayer.LIBXC, LibxcType.PAGE_DELTA.name(), record.pages().toString());
            }
            case StreamEvent.Libxc(LibxcRecord.Whole record) -> {
                checkpoints += record instanceof LibxcRecord.Checkpoint ? 1 : 0;
                record(StreamLayer.LIBXC, LibxcType.of(record).name(), RecordSummary.of(record));
            }
            case StreamEvent.Libxl(LibxlRecord.Whole record) ->
                    record(
                            StreamLayer.LIBXL,
                            LibxlType.of(record).name(),
                            RecordSummary.of(record));
            case StreamEvent.EmulatorState(LibxlRecord.EmulatorContext record, _) ->
                    record(
                            StreamLayer.LIBXL,
                            LibxlType.EMULATOR_CONTEXT.name(),
                            record.emulator()
                                    + " "
                                    + record.index()
                                    + ", "
                                    + record.stateBytes()
                                    + " bytes");
            case StreamEvent.Skipped(StreamLayer layer, int type, long bodyBytes) ->
                    record(
                            layer,
                            "optional 0x" + Integer.toHexString(type),
                            bodyBytes + " bytes, skipped");
            case StreamEvent.Finished _ -> {
                countTrailing();
                return false;
            }
            case StreamEvent.SourceEnded _ -> {
                return false;
            }
        }
        return true;
    }

    private void record(StreamLayer layer, String type, String summary) {
        records++;
        row(layer, type, summary);
    }

    private void row(StreamLayer layer, String type, String summary) {
        bytes += reader.eventBytes();
        recordsByType.merge(type, 1L, Long::sum);
        rows.accept(
                new StreamDescription.Row(
                        reader.eventOffset(), layer, type, reader.eventBytes(), summary));
    }

    private void countTrailing() throws IOException {
        ReadableByteChannel rest = reader.rest();
        ByteBuffer buffer = ByteBuffer.allocate(1 << 12);
        for (int read = rest.read(buffer); read >= 0; read = rest.read(buffer.clear())) {
            trailingBytes += read;
        }
    }
}
