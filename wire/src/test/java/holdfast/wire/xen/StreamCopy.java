package holdfast.wire.xen;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.channels.Channels;
import java.util.ArrayList;
import java.util.List;

/** Reads a stream and writes every event again. */
final class StreamCopy {
    /** What was written, what came after the stream's end, and the events by name. */
    record Copy(byte[] bytes, byte[] rest, List<String> events, StreamEvent last) {}

    private StreamCopy() {}

    static Copy fromChannel(byte[] stream) throws IOException {
        try (XenStreamReader reader =
                XenStreamReader.of(
                        Channels.newChannel(new ByteArrayInputStream(stream)),
                        StreamStart.DETECT,
                        ReaderOptions.PLAIN)) {
            return copy(reader);
        }
    }

    static Copy fromMemory(byte[] stream) throws IOException {
        try (XenStreamReader reader =
                XenStreamReader.of(
                        MemorySegment.ofArray(stream), StreamStart.DETECT, ReaderOptions.PLAIN)) {
            return copy(reader);
        }
    }

    private static Copy copy(XenStreamReader reader) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        List<String> events = new ArrayList<>();
        StreamEvent last;
        try (XenStreamWriter writer = new XenStreamWriter(Channels.newChannel(out))) {
            do {
                last = reader.next();
                events.add(name(last));
                write(last, writer);
            } while (!(last instanceof StreamEvent.Finished
                    || last instanceof StreamEvent.SourceEnded));
            writer.flush();
        }
        byte[] rest = Channels.newInputStream(reader.rest()).readAllBytes();
        return new Copy(out.toByteArray(), rest, events, last);
    }

    static void write(StreamEvent event, XenStreamWriter writer) throws IOException {
        switch (event) {
            case StreamEvent.XlFile(XlFileHeader header) -> writer.xlFileHeader(header);
            case StreamEvent.LibxlStart _ -> writer.libxlHeader();
            case StreamEvent.ImageStart(ImageHeader image, DomainHeader domain) ->
                    writer.imageStart(image, domain);
            case StreamEvent.Libxc(LibxcRecord.Whole record) -> writer.record(record);
            case StreamEvent.Pages(LibxcRecord.PageData record, MemorySegment bytes) ->
                    writer.pageData(record.pages(), bytes);
            case StreamEvent.Deltas(LibxcRecord.PageDelta record, MemorySegment bytes) ->
                    writer.pageDelta(record.pages(), bytes);
            case StreamEvent.Libxl(LibxlRecord.Whole record) -> writer.record(record);
            case StreamEvent.EmulatorState(
                            LibxlRecord.EmulatorContext record,
                            MemorySegment bytes) ->
                    writer.emulatorContext(record.emulator(), record.index(), bytes);
            case StreamEvent.Skipped _, StreamEvent.Finished _, StreamEvent.SourceEnded _ -> {}
        }
    }

    private static String name(StreamEvent event) {
        return switch (event) {
            case StreamEvent.Libxc(LibxcRecord.Whole record) -> LibxcType.of(record).name();
            case StreamEvent.Libxl(LibxlRecord.Whole record) ->
                    "LIBXL_" + LibxlType.of(record).name();
            default -> event.getClass().getSimpleName();
        };
    }
}
