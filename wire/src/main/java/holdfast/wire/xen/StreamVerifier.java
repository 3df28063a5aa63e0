package holdfast.wire.xen;

import static holdfast.wire.xen.VerifierInput.hex;
import static holdfast.wire.xen.VerifierInput.u32;

import holdfast.wire.xen.VerifierInput.DeviationFound;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.channels.ReadableByteChannel;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;

/**
 * Holds a recorded stream to every rule of its format and names the first deviation. It shares no
 * decoding with {@link XenStreamReader}, so that an error there does not hide itself here, and it
 * is stricter: reserved fields, padding, order and completeness count.
 *
 * <p>The stream begins at xl's, libxl's or libxc's header. It may end after its last END, after
 * that with the 44 bytes by which xl hands a domain over, or exactly between two checkpoints.
 */
public final class StreamVerifier {
    private static final byte[] XL_MAGIC =
            "Xen saved domain, xl format\n \0 \r".getBytes(StandardCharsets.US_ASCII);
    private static final byte[] GO =
            "domain is yours, you are cleared to unpause\0".getBytes(StandardCharsets.US_ASCII);
    private static final long LIBXL_IDENT = 0x4C69_6278_6C46_6D74L;
    private static final int CONFIGURATION_BYTES_MAX = 1 << 20;
    private static final int STATE_BYTES_MAX = 128 << 20;
    private static final String[] NAMES = {
        "libxl END",
        "LIBXC_CONTEXT",
        "EMULATOR_XENSTORE_DATA",
        "EMULATOR_CONTEXT",
        "CHECKPOINT_END",
        "CHECKPOINT_STATE"
    };

    /** How far a libxl stream has come. */
    private enum Place {
        BEFORE_IMAGE,
        AFTER_IMAGE,
        IN_CHECKPOINT,
        BETWEEN_CHECKPOINTS
    }

    /** How much of its source a verifier takes. */
    private enum Extent {
        /** All of it, which may begin at any of the headers. */
        WHOLE_SOURCE("a header of xl, libxl or libxc"),
        /** From xl's header to the last END, and not a byte that would have to be waited for. */
        XL_STREAM("xl's magic");

        private final String beginning;

        Extent(String beginning) {
            this.beginning = beginning;
        }
    }

    /** A recorded stream has nobody who waits. */
    private static final StreamWatcher NOBODY =
            new StreamWatcher() {
                @Override
                public void configuration(byte[] text) {}

                @Override
                public void checkpointComplete(long checkpoints, long endOffset) {}

                @Override
                public void streamComplete(long endOffset) {}
            };

    private final VerifierInput in;
    private final ReaderOptions options;
    private final Extent extent;
    private final StreamWatcher watcher;
    private final Set<String> emulators = new HashSet<>();
    private LibxcVerifier libxc;
    private long libxlRecords;
    private long checkpoints;

    private StreamVerifier(
            InputStream in, ReaderOptions options, Extent extent, StreamWatcher watcher) {
        this.in = new VerifierInput(in);
        this.options = options;
        this.extent = extent;
        this.watcher = watcher;
    }

    /**
     * Reads to the end or to the first deviation. The source stays the caller's to close.
     *
     * @param options {@link ReaderOptions.Extensions#ALLOWED} to take Holdfast's own records
     */
    public static StreamVerdict verify(ReadableByteChannel source, ReaderOptions options)
            throws IOException {
        return verify(Channels.newInputStream(source), options);
    }

    /** As {@link #verify(ReadableByteChannel, ReaderOptions)}. */
    public static StreamVerdict verify(InputStream source, ReaderOptions options)
            throws IOException {
        return new StreamVerifier(source, options, Extent.WHOLE_SOURCE, NOBODY).run();
    }

    /**
     * Reads a stream as xl's migration channel brings it: from xl's header to the last END, where
     * it returns without waiting for what may follow. It may have read a little further ahead; the
     * verdict's {@code bytes} says where the stream ends. A source that ends exactly between two
     * checkpoints is no deviation, and {@code watcher} then has not heard of a complete stream.
     */
    public static StreamVerdict verifyArriving(
            InputStream source, ReaderOptions options, StreamWatcher watcher) throws IOException {
        return new StreamVerifier(source, options, Extent.XL_STREAM, watcher).run();
    }

    private StreamVerdict run() throws IOException {
        libxc = new LibxcVerifier(in, options.extensions());
        Optional<StreamDeviation> deviation = Optional.empty();
        try {
            stream();
        } catch (DeviationFound e) {
            deviation = Optional.of(e.deviation());
        }
        return new StreamVerdict(
                in.offset(), libxlRecords + libxc.records(), libxc.pages(), checkpoints, deviation);
    }

    private void stream() throws IOException, DeviationFound {
        in.enter("first header");
        ByteBuffer first = in.take(8, ByteOrder.BIG_ENDIAN);
        switch (extent) {
            case WHOLE_SOURCE -> {
                long word = first.getLong(0);
                if (word == -1L) {
                    bareImage();
                } else if (word == LIBXL_IDENT) {
                    libxlStream();
                } else {
                    xlStream(first.array());
                }
            }
            case XL_STREAM -> xlStream(first.array());
        }
    }

    private void xlStream(byte[] first) throws IOException, DeviationFound {
        xlHeader(first);
        in.enter("libxl header");
        long ident = in.take(8, ByteOrder.BIG_ENDIAN).getLong(0);
        in.check(ident == LIBXL_IDENT, StreamRule.LIBXL_HEADER, 0, "LibxlFmt", hex(ident));
        libxlStream();
    }

    private void bareImage() throws IOException, DeviationFound {
        libxc.headersAfterMarker();
        while (true) {
            switch (libxc.untilEndOrCheckpoint()) {
                case END -> {
                    libxc.requireHypervisorState();
                    in.enter("after END");
                    in.pass(0);
                    in.check(in.atEnd(), StreamRule.TRAILING_BYTES, 0, "the end", "more bytes");
                    return;
                }
                case CHECKPOINT -> {
                    libxc.requireHypervisorState();
                    checkpoints++;
                    if (in.atEnd()) {
                        return;
                    }
                }
            }
        }
    }

    private void xlHeader(byte[] first) throws IOException, DeviationFound {
        in.enter("xl header");
        byte[] magic = Arrays.copyOf(first, XL_MAGIC.length);
        boolean begins = Arrays.equals(magic, 0, 8, XL_MAGIC, 0, 8);
        long word = ByteBuffer.wrap(first).getLong();
        in.check(begins, StreamRule.XL_HEADER, 0, extent.beginning, hex(word));
        in.take(XL_MAGIC.length - 8, ByteOrder.BIG_ENDIAN).get(magic, 8, XL_MAGIC.length - 8);
        in.check(Arrays.equals(magic, XL_MAGIC), StreamRule.XL_HEADER, 0, "xl's magic", "another");
        ByteBuffer words = in.take(16, ByteOrder.BIG_ENDIAN);
        int mark = words.getInt(0);
        in.check(
                mark == 0x0102_0304 || mark == 0x0403_0201,
                StreamRule.XL_HEADER,
                0,
                "byte order mark 01020304 either way round",
                hex(mark));
        ByteOrder order = mark == 0x0102_0304 ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN;
        words.order(order);
        long mandatory = u32(words, 4);
        in.check(
                mandatory == 3,
                StreamRule.XL_HEADER,
                4,
                "mandatory flags 3 (JSON configuration, libxl stream version 2)",
                hex(mandatory));
        long optional = u32(words, 8);
        in.check(optional == 0, StreamRule.XL_HEADER, 8, "optional flags 0", optional);
        long length = u32(words, 12);
        in.check(
                length >= 5 && length <= CONFIGURATION_BYTES_MAX,
                StreamRule.XL_CONFIGURATION,
                12,
                "optional data of 5.." + CONFIGURATION_BYTES_MAX + " bytes",
                length);
        in.enter("xl configuration");
        ByteBuffer data = in.take((int) length, order);
        long config = u32(data, 0);
        in.check(
                config == length - 4,
                StreamRule.XL_CONFIGURATION,
                0,
                "length " + (length - 4),
                config);
        int last = (int) length - 1;
        in.check(
                data.get(last) == 0,
                StreamRule.XL_CONFIGURATION,
                last,
                "a NUL at its end",
                data.get(last));
        byte[] text = new byte[last - 4];
        data.get(4, text);
        watcher.configuration(text);
    }

    private void libxlStream() throws IOException, DeviationFound {
        in.enter("libxl header");
        ByteBuffer header = in.take(8, ByteOrder.BIG_ENDIAN);
        long version = u32(header, 0);
        in.check(version == 2, StreamRule.LIBXL_HEADER, 0, "version 2", version);
        long flags = u32(header, 4);
        in.check((flags & ~3) == 0, StreamRule.RESERVED_BITS, 4, "options 0..3", hex(flags));
        ByteOrder order = (flags & 1) == 0 ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN;
        Place place = Place.BEFORE_IMAGE;
        while (true) {
            in.enter("libxl record header");
            if (place == Place.BETWEEN_CHECKPOINTS && in.atEnd()) {
                return;
            }
            ByteBuffer words = in.take(8, order);
            int type = words.getInt(0);
            long length = u32(words, 4);
            if (type < 0) {
                in.enter("optional libxl record " + hex(type & 0xFFFF_FFFFL));
                in.pass(length);
                in.padding(length);
                libxlRecords++;
                continue;
            }
            in.check(
                    type < NAMES.length,
                    StreamRule.UNKNOWN_MANDATORY_RECORD,
                    0,
                    "a known libxl record",
                    hex(type));
            in.enter(NAMES[type]);
            checkOrder(place, type);
            checkLength(type, length);
            libxlRecords++;
            switch (type) {
                case 0 -> {
                    libxc.requireSomeState(emulatorContexts());
                    watcher.streamComplete(in.offset());
                    switch (extent) {
                        case WHOLE_SOURCE -> afterEnd();
                        case XL_STREAM -> {}
                    }
                    return;
                }
                case 1 -> {
                    libxc.headers();
                    place = afterImage(libxc.untilEndOrCheckpoint());
                }
                case 2, 3 -> emulator(type, (int) length, order);
                case 4 -> {
                    libxc.requireSomeState(emulatorContexts());
                    emulators.clear();
                    checkpoints++;
                    watcher.checkpointComplete(checkpoints, in.offset());
                    place = Place.BETWEEN_CHECKPOINTS;
                    if (options.checkpoints() == ReaderOptions.Checkpoints.REMUS) {
                        in.enter("libxc record header");
                        if (in.atEnd()) {
                            return;
                        }
                        place = afterImage(libxc.untilEndOrCheckpoint());
                    }
                }
                default -> {
                    ByteBuffer body = in.take(8, order);
                    long control = u32(body, 0);
                    in.check(
                            control == 0,
                            StreamRule.FIELD_VALUE,
                            0,
                            "control_id 0, the only one a primary sends",
                            control);
                    in.check(
                            body.getInt(4) == 0,
                            StreamRule.RESERVED_BITS,
                            4,
                            "zero",
                            hex(u32(body, 4)));
                    place = afterImage(libxc.untilEndOrCheckpoint());
                }
            }
        }
    }

    private static Place afterImage(LibxcVerifier.Stop stop) {
        return switch (stop) {
            case END -> Place.AFTER_IMAGE;
            case CHECKPOINT -> Place.IN_CHECKPOINT;
        };
    }

    private void checkOrder(Place place, int type) throws DeviationFound {
        String allowed =
                switch (place) {
                    case BEFORE_IMAGE -> "1";
                    case AFTER_IMAGE -> "023";
                    case IN_CHECKPOINT -> "234";
                    case BETWEEN_CHECKPOINTS -> "5";
                };
        in.check(
                allowed.indexOf('0' + type) >= 0,
                StreamRule.RECORD_ORDER,
                0,
                "libxl record " + String.join(" or ", allowed.split("")) + " (" + place + ")",
                NAMES[type]);
    }

    private void checkLength(int type, long length) throws DeviationFound {
        long min =
                switch (type) {
                    case 2, 3, 5 -> 8;
                    default -> 0;
                };
        long max =
                switch (type) {
                    case 2, 3 -> STATE_BYTES_MAX;
                    default -> min;
                };
        in.check(
                length >= min && length <= max,
                StreamRule.RECORD_LENGTH,
                4,
                min == max ? Long.toString(min) : min + ".." + max,
                length);
    }

    private void emulator(int type, int length, ByteOrder order)
            throws IOException, DeviationFound {
        ByteBuffer ids = in.take(8, order);
        long kind = u32(ids, 0);
        in.check(kind <= 2, StreamRule.FIELD_VALUE, 0, "emulator_id 0..2", kind);
        String emulator = kind + "/" + u32(ids, 4);
        in.check(
                emulators.add(type + ":" + emulator),
                StreamRule.DUPLICATE_RECORD,
                0,
                "one for each emulator_id and index",
                "a second for " + emulator);
        if (type == 3) {
            in.pass(length - 8L);
        } else {
            in.check(
                    !emulators.contains("3:" + emulator),
                    StreamRule.RECORD_ORDER,
                    0,
                    "EMULATOR_XENSTORE_DATA before EMULATOR_CONTEXT",
                    "it after");
            xenstoreStrings(in.take(length - 8, order));
        }
        in.padding(length);
    }

    private void xenstoreStrings(ByteBuffer text) throws DeviationFound {
        int length = text.limit();
        int strings = 0;
        for (int i = 0; i < length; i++) {
            strings += text.get(i) == 0 ? 1 : 0;
        }
        in.check(
                strings % 2 == 0 && (length == 0 || text.get(length - 1) == 0),
                StreamRule.FIELD_VALUE,
                0,
                "pairs of NUL-terminated strings",
                strings + " NULs in " + length + " bytes");
    }

    private boolean emulatorContexts() {
        return emulators.stream().anyMatch(e -> e.startsWith("3:"));
    }

    private void afterEnd() throws IOException, DeviationFound {
        in.enter("after the libxl END");
        if (in.atEnd()) {
            return;
        }
        byte[] go = new byte[GO.length];
        in.take(1, ByteOrder.BIG_ENDIAN).get(go, 0, 1);
        in.check(
                go[0] == GO[0],
                StreamRule.TRAILING_BYTES,
                0,
                "the end or xl's message that hands the domain over",
                "other bytes");
        in.take(GO.length - 1, ByteOrder.BIG_ENDIAN).get(go, 1, GO.length - 1);
        in.check(
                Arrays.equals(go, GO),
                StreamRule.TRAILING_BYTES,
                0,
                "the end or xl's message that hands the domain over",
                "other bytes");
        in.pass(0);
        in.check(in.atEnd(), StreamRule.TRAILING_BYTES, 0, "the end", "more bytes");
    }
}
