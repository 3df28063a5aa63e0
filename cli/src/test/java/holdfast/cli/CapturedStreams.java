package holdfast.cli;

import com.github.luben.zstd.ZstdInputStream;

import holdfast.wire.xen.ReaderOptions;
import holdfast.wire.xen.StreamDescription;
import holdfast.wire.xen.StreamInspector;

import org.junit.jupiter.api.Assumptions;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Streams recorded from Xen 4.17.5, unpacked, and the messages around them. */
final class CapturedStreams {
    static final byte[] BANNER = octets("xl migration receiver ready, send binary domain data.\n");
    static final byte[] READY = octets("domain received, ready to unpause\0");
    static final byte[] GO = octets("domain is yours, you are cleared to unpause\0");
    static final byte[] REPORT = octets("my copy unpause results are as follows\0\1");

    private static final Path TINY =
            Path.of("../wire/src/test/resources/holdfast/wire/xen").toAbsolutePath();

    private CapturedStreams() {}

    /** A capture of a PV guest, from `xl save`, `xl migrate` or `xl remus`, as it was recorded. */
    static byte[] tiny(String name) throws IOException {
        return unpack(TINY.resolve(name + ".zst"));
    }

    /** The same without what xl says behind the stream. */
    static byte[] streamOf(String name) throws IOException {
        byte[] captured = tiny(name);
        int end = captured.length - GO.length;
        return Arrays.equals(captured, end, captured.length, GO, 0, GO.length)
                ? Arrays.copyOf(captured, end)
                : captured;
    }

    /** A capture that may not be copied into this project. */
    static byte[] external(String name) throws IOException {
        String directory = System.getenv("HOLDFAST_XEN_CAPTURES");
        if (directory == null) {
            String message =
                    "NOT RUN: "
                            + name
                            + ". Set HOLDFAST_XEN_CAPTURES to the directory that holds "
                            + name
                            + ".zst";
            System.err.println(message);
            Assumptions.abort(message);
        }
        return unpack(Path.of(directory, name + ".zst"));
    }

    private static byte[] unpack(Path file) throws IOException {
        try (InputStream packed = Files.newInputStream(file);
                ZstdInputStream unpacked = new ZstdInputStream(packed)) {
            return unpacked.setLongMax(27).readAllBytes();
        }
    }

    /** Where each header and record begins. */
    static List<Integer> boundaries(byte[] stream) throws IOException {
        List<Integer> offsets = new ArrayList<>();
        for (StreamDescription.Row row : describe(stream).rows()) {
            offsets.add((int) row.offset());
        }
        return offsets;
    }

    /** The first byte behind each checkpoint. */
    static List<Integer> checkpointEnds(byte[] stream) throws IOException {
        List<Integer> ends = new ArrayList<>();
        for (StreamDescription.Row row : describe(stream).rows()) {
            if (row.type().endsWith("CHECKPOINT_END")) {
                ends.add((int) (row.offset() + row.bytes()));
            }
        }
        return ends;
    }

    private static StreamDescription describe(byte[] stream) throws IOException {
        return StreamInspector.inspect(new ByteArrayInputStream(stream), ReaderOptions.PLAIN);
    }

    static byte[] concat(byte[]... parts) {
        int length = 0;
        for (byte[] part : parts) {
            length += part.length;
        }
        byte[] whole = new byte[length];
        int at = 0;
        for (byte[] part : parts) {
            System.arraycopy(part, 0, whole, at, part.length);
            at += part.length;
        }
        return whole;
    }

    private static byte[] octets(String text) {
        return text.getBytes(StandardCharsets.US_ASCII);
    }
}
