package holdfast.wire.xen;

import holdfast.wire.ProtocolException;
import holdfast.wire.TruncatedStreamException;
import holdfast.wire.xen.LibxlRecord.CheckpointState;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.IllegalBlockingModeException;
import java.nio.channels.ReadableByteChannel;
import java.nio.channels.SelectableChannel;

/**
 * Reads a whole nested xl, libxl, libxc stream, one event after the other. It knows which layer it
 * is in and refuses what cannot be decoded; whether records make sense in their order is for its
 * user and, strictly, for {@link StreamVerifier}.
 *
 * <p>One thread at a time. Reading from a channel it blocks as the channel does and reads ahead;
 * {@link #rest()} gives back what it read too much. After an exception it must not be used further.
 */
public final class XenStreamReader implements AutoCloseable {
    private enum State {
        DETECTING,
        XL_HEADER,
        LIBXL_HEADER,
        LIBXL_RECORDS,
        IMAGE_HEADER,
        LIBXC_RECORDS,
        AFTER_LAST_END,
        ENDED
    }

    /** What stands around the libxc layer. */
    private enum Nesting {
        IN_LIBXL,
        ALONE
    }

    private static final int DETECT_BYTES = 8;

    /** The pointer at the end of Xen's in-memory record header. */
    private static final int IN_MEMORY_POINTER_BYTES = 8;

    private final StreamWindow window;
    private final ReaderOptions options;
    private Nesting nesting;
    private State state;
    private BodyOrder libxlOrder = BodyOrder.LITTLE_ENDIAN;
    private BodyOrder libxcOrder = BodyOrder.LITTLE_ENDIAN;
    private long consumedAtNext;
    private long unitOffset;
    private long unitBytes;
    private long skippedRecords;

    private XenStreamReader(StreamWindow window, StreamStart start, ReaderOptions options) {
        this.window = window;
        this.options = options;
        this.state =
                switch (start) {
                    case DETECT -> State.DETECTING;
                    case XL_FILE -> State.XL_HEADER;
                    case LIBXL_STREAM -> State.LIBXL_HEADER;
                    case LIBXC_IMAGE -> State.IMAGE_HEADER;
                    case LIBXL_RECORDS -> State.LIBXL_RECORDS;
                    case LIBXC_RECORDS -> State.LIBXC_RECORDS;
                };
        this.nesting =
                switch (start) {
                    case DETECT, XL_FILE, LIBXL_STREAM, LIBXL_RECORDS -> Nesting.IN_LIBXL;
                    case LIBXC_IMAGE, LIBXC_RECORDS -> Nesting.ALONE;
                };
    }

    /**
     * Reads from a channel in blocking mode, which stays the caller's to close.
     *
     * @throws IllegalBlockingModeException if the channel does not block
     */
    public static XenStreamReader of(
            ReadableByteChannel source, StreamStart start, ReaderOptions options) {
        if (source instanceof SelectableChannel selectable && !selectable.isBlocking()) {
            throw new IllegalBlockingModeException();
        }
        return new XenStreamReader(new StreamWindow.OfChannel(source), start, options);
    }

    /** Reads a stream that lies in memory; events lend slices of this very segment. */
    public static XenStreamReader of(
            MemorySegment source, StreamStart start, ReaderOptions options) {
        return new XenStreamReader(new StreamWindow.OfSegment(source), start, options);
    }

    /**
     * The next event. After {@link StreamEvent.Finished} or {@link StreamEvent.SourceEnded} there
     * is none.
     *
     * @throws TruncatedStreamException when the source ends inside a header or record
     * @throws ProtocolException when bytes cannot be decoded
     * @throws IllegalStateException when the stream has already ended
     */
    public StreamEvent next() throws IOException {
        window.advance(consumedAtNext);
        consumedAtNext = 0;
        unitOffset = window.offset();
        unitBytes = 0;
        return switch (state) {
            case DETECTING -> detect();
            case XL_HEADER -> readXlHeader();
            case LIBXL_HEADER -> readLibxlHeader();
            case LIBXL_RECORDS -> readLibxlRecord();
            case IMAGE_HEADER -> readImageHeader();
            case LIBXC_RECORDS -> readLibxcRecord();
            case AFTER_LAST_END -> {
                state = State.ENDED;
                yield new StreamEvent.Finished();
            }
            case ENDED -> throw new IllegalStateException("the stream has ended");
        };
    }

    /** Where the header or record of the last event begins, bytes from the start. */
    public long eventOffset() {
        return unitOffset;
    }

    /** Bytes of the header or record of the last event, with its padding; 0 at the end. */
    public long eventBytes() {
        return unitBytes;
    }

    /**
     * The last event's header or record as it was received, with header and padding; valid as long
     * as the event. Not for {@link StreamEvent.Skipped}, whose bytes are not kept.
     */
    public MemorySegment eventRaw() {
        if (consumedAtNext != unitBytes) {
            throw new IllegalStateException("the bytes of a skipped record are not kept");
        }
        return window.segment().asSlice(window.position(), unitBytes);
    }

    /** Optional records of unknown type so far. */
    public long skippedRecords() {
        return skippedRecords;
    }

    /**
     * What the source holds after the last event, including what was read ahead. Takes the place of
     * the source once the stream is {@link StreamEvent.Finished}; closing it does nothing.
     */
    public ReadableByteChannel rest() {
        window.advance(consumedAtNext);
        consumedAtNext = 0;
        state = State.ENDED;
        return new ReadableByteChannel() {
            private boolean open = true;

            @Override
            public int read(ByteBuffer target) throws IOException {
                return window.readRest(target);
            }

            @Override
            public boolean isOpen() {
                return open;
            }

            @Override
            public void close() {
                open = false;
            }
        };
    }

    /** Frees the buffer. The source stays open. */
    @Override
    public void close() {
        state = State.ENDED;
        window.close();
    }

    private StreamEvent detect() throws IOException {
        if (!window.require("xen stream", "first header", DETECT_BYTES)) {
            return sourceEnded();
        }
        OctetReader first = bytes("xen stream", DETECT_BYTES, ByteOrder.BIG_ENDIAN);
        long word = first.u64("first header");
        if (word == HeaderCodec.LIBXL_IDENT) {
            state = State.LIBXL_HEADER;
        } else if (word == HeaderCodec.IMAGE_MARKER) {
            nesting = Nesting.ALONE;
            state = State.IMAGE_HEADER;
        } else {
            state = State.XL_HEADER;
        }
        return next();
    }

    private StreamEvent readXlHeader() throws IOException {
        String stream = "xl file";
        if (!window.require(stream, "xl header", HeaderCodec.XL_HEADER_BYTES)) {
            return sourceEnded();
        }
        BodyOrder order =
                HeaderCodec.xlOrder(
                        bytes(stream, HeaderCodec.XL_HEADER_BYTES, ByteOrder.BIG_ENDIAN));
        int optionalBytes =
                HeaderCodec.xlOptionalDataBytes(
                        bytes(stream, HeaderCodec.XL_HEADER_BYTES, order.byteOrder()));
        int allBytes = HeaderCodec.XL_HEADER_BYTES + optionalBytes;
        window.require(stream, "xl header with optional data", allBytes);
        XlFileHeader header =
                HeaderCodec.decodeXl(bytes(stream, allBytes, order.byteOrder()), order);
        state = State.LIBXL_HEADER;
        return event(allBytes, new StreamEvent.XlFile(header));
    }

    private StreamEvent readLibxlHeader() throws IOException {
        String stream = "libxl stream";
        if (!window.require(stream, "libxl header", HeaderCodec.LIBXL_HEADER_BYTES)) {
            return sourceEnded();
        }
        LibxlHeader header =
                HeaderCodec.decodeLibxl(
                        bytes(stream, HeaderCodec.LIBXL_HEADER_BYTES, ByteOrder.BIG_ENDIAN));
        libxlOrder = header.order();
        state = State.LIBXL_RECORDS;
        return event(HeaderCodec.LIBXL_HEADER_BYTES, new StreamEvent.LibxlStart(header));
    }

    private StreamEvent readImageHeader() throws IOException {
        String stream = "libxc image";
        int bytes = HeaderCodec.IMAGE_HEADER_BYTES + HeaderCodec.DOMAIN_HEADER_BYTES;
        if (!window.require(stream, "image and domain header", bytes)) {
            return sourceEnded();
        }
        ImageHeader image =
                HeaderCodec.decodeImage(
                        bytes(stream, HeaderCodec.IMAGE_HEADER_BYTES, ByteOrder.BIG_ENDIAN));
        DomainHeader domain =
                HeaderCodec.decodeDomain(
                        new OctetReader(
                                stream,
                                unitOffset + HeaderCodec.IMAGE_HEADER_BYTES,
                                window.segment(),
                                window.position() + HeaderCodec.IMAGE_HEADER_BYTES,
                                HeaderCodec.DOMAIN_HEADER_BYTES,
                                image.order().byteOrder()));
        libxcOrder = image.order();
        state = State.LIBXC_RECORDS;
        return event(bytes, new StreamEvent.ImageStart(image, domain));
    }

    private StreamEvent readLibxlRecord() throws IOException {
        String stream = "libxl stream";
        if (!window.require(stream, "record header", RecordFraming.HEADER_BYTES)) {
            return sourceEnded();
        }
        OctetReader header = bytes(stream, RecordFraming.HEADER_BYTES, libxlOrder.byteOrder());
        int code = header.int32("record type");
        long bodyBytes = header.u32("record length");
        LibxlType type = LibxlType.ofCode(code);
        if (type == null) {
            return skipUnknown(stream, StreamLayer.LIBXL, code, bodyBytes);
        }
        OctetReader body =
                body(
                        stream,
                        type.name(),
                        RecordFraming.HEADER_BYTES,
                        bodyBytes,
                        type.minBytes(),
                        type.maxBytes(),
                        libxlOrder);
        return switch (LibxlCodec.decode(type, body)) {
            case LibxlRecord.EmulatorContext record ->
                    new StreamEvent.EmulatorState(record, bulk(body));
            case LibxlRecord.Whole record -> {
                state = afterLibxl(record);
                yield new StreamEvent.Libxl(record);
            }
        };
    }

    private State afterLibxl(LibxlRecord.Whole record) {
        return switch (record) {
            case LibxlRecord.End _ -> State.AFTER_LAST_END;
            case LibxlRecord.LibxcContext _ -> State.IMAGE_HEADER;
            case LibxlRecord.EmulatorXenstoreData _ -> State.LIBXL_RECORDS;
            case LibxlRecord.CheckpointEnd _ ->
                    switch (options.checkpoints()) {
                        case REMUS -> State.LIBXC_RECORDS;
                        case COLO -> State.LIBXL_RECORDS;
                    };
            case CheckpointState(CheckpointState.Control control) ->
                    switch (control) {
                        case NEW_CHECKPOINT -> State.LIBXC_RECORDS;
                        case SECONDARY_SUSPENDED, SECONDARY_READY, SECONDARY_RESUMED ->
                                State.LIBXL_RECORDS;
                    };
        };
    }

    private StreamEvent readLibxcRecord() throws IOException {
        String stream = "libxc image";
        if (!window.require(stream, "record header", RecordFraming.HEADER_BYTES)) {
            return sourceEnded();
        }
        OctetReader header = bytes(stream, RecordFraming.HEADER_BYTES, libxcOrder.byteOrder());
        int code = header.int32("record type");
        long bodyBytes = header.u32("record length");
        LibxcType type = LibxcType.ofCode(code);
        if (type == null
                || type == LibxcType.PAGE_DELTA
                        && options.extensions() == ReaderOptions.Extensions.REFUSED) {
            return skipUnknown(stream, StreamLayer.LIBXC, code, bodyBytes);
        }
        int headerBytes = RecordFraming.HEADER_BYTES;
        if (type == LibxcType.CHECKPOINT_DIRTY_PFN_LIST
                && options.dirtyListHeader() == ReaderOptions.DirtyListHeader.XEN_IN_MEMORY) {
            headerBytes += IN_MEMORY_POINTER_BYTES;
        }
        OctetReader body =
                body(
                        stream,
                        type.name(),
                        headerBytes,
                        bodyBytes,
                        type.minBytes(),
                        type.maxBytes(),
                        libxcOrder);
        return switch (LibxcCodec.decode(type, body)) {
            case LibxcRecord.PageData record -> new StreamEvent.Pages(record, bulk(body));
            case LibxcRecord.PageDelta record -> new StreamEvent.Deltas(record, bulk(body));
            case LibxcRecord.Whole record -> {
                state = afterLibxc(record);
                yield new StreamEvent.Libxc(record);
            }
        };
    }

    private State afterLibxc(LibxcRecord.Whole record) {
        return switch (nesting) {
            case ALONE ->
                    record instanceof LibxcRecord.End ? State.AFTER_LAST_END : State.LIBXC_RECORDS;
            case IN_LIBXL ->
                    record instanceof LibxcRecord.End || record instanceof LibxcRecord.Checkpoint
                            ? State.LIBXL_RECORDS
                            : State.LIBXC_RECORDS;
        };
    }

    /** Checks the length before anything is made as large, then has the whole record in memory. */
    private OctetReader body(
            String stream,
            String name,
            int headerBytes,
            long bodyBytes,
            long minBytes,
            long maxBytes,
            BodyOrder order)
            throws IOException {
        if (bodyBytes < minBytes || bodyBytes > maxBytes) {
            throw new ProtocolException(
                    stream,
                    unitOffset + 4,
                    name + " length",
                    minBytes == maxBytes ? Long.toString(minBytes) : minBytes + ".." + maxBytes,
                    Long.toString(bodyBytes));
        }
        unitBytes = headerBytes + bodyBytes + RecordFraming.paddingBytes(bodyBytes);
        window.require(stream, name, unitBytes);
        consumedAtNext = unitBytes;
        return new OctetReader(
                stream,
                unitOffset + headerBytes,
                window.segment(),
                window.position() + headerBytes,
                bodyBytes,
                order.byteOrder());
    }

    private MemorySegment bulk(OctetReader body) {
        return window.segment().asSlice(body.position(), body.remaining());
    }

    private StreamEvent skipUnknown(String stream, StreamLayer layer, int code, long bodyBytes)
            throws IOException {
        if (!RecordFraming.isOptional(code)) {
            throw new ProtocolException(
                    stream,
                    unitOffset,
                    "record type",
                    "a known one, or an optional one to skip",
                    "unknown mandatory record 0x"
                            + Integer.toHexString(code)
                            + " of "
                            + bodyBytes
                            + " bytes");
        }
        unitBytes = RecordFraming.HEADER_BYTES + bodyBytes + RecordFraming.paddingBytes(bodyBytes);
        window.skip(stream, "record 0x" + Integer.toHexString(code), unitBytes);
        skippedRecords++;
        return new StreamEvent.Skipped(layer, code, bodyBytes);
    }

    private OctetReader bytes(String stream, long bytes, ByteOrder order) {
        return new OctetReader(
                stream, unitOffset, window.segment(), window.position(), bytes, order);
    }

    private StreamEvent event(long bytes, StreamEvent event) {
        unitBytes = bytes;
        consumedAtNext = bytes;
        return event;
    }

    private StreamEvent sourceEnded() {
        state = State.ENDED;
        return new StreamEvent.SourceEnded();
    }
}
