package holdfast.wire.xen;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.GatheringByteChannel;
import java.nio.channels.IllegalBlockingModeException;
import java.nio.channels.SelectableChannel;
import java.nio.channels.WritableByteChannel;

/**
 * Writes libxc and libxl records, little-endian. Small records collect in a staging buffer; bulk
 * (pages, deltas, device state) goes from the caller's segment straight to the channel, together
 * with what is staged, in one gathering write where the channel can. The staging buffer is sent
 * with every bulk record, at END, CHECKPOINT_END and CHECKPOINT_STATE, and by {@link #flush()}.
 *
 * <p>The order of records is the caller's. Segments are borrowed for the call. One thread at a
 * time. A record that is refused with an unchecked exception leaves the stream as it was. After an
 * {@link IOException} part of a record may have been sent: the stream is lost.
 */
public final class XenStreamWriter implements AutoCloseable {
    private static final int STAGING_BYTES = 64 << 10;

    /** Pages a {@link PageGather} copies before they are sent. */
    private static final int GATHER_PAGES = 64;

    private final WritableByteChannel out;
    private final ByteOrder order;
    private final ByteBuffer padding = ByteBuffer.allocateDirect(8);
    private final ByteBuffer[] parts = new ByteBuffer[3];
    private Arena arena = Arena.ofShared();
    private MemorySegment staging = arena.allocate(STAGING_BYTES, 64);
    private ByteBuffer stagingView = staging.asByteBuffer();
    private MemorySegment gathered = MemorySegment.NULL;
    private long staged;
    private long sentBytes;

    /**
     * @param out in blocking mode; stays the caller's to close
     * @throws IllegalBlockingModeException if the channel does not block
     */
    public XenStreamWriter(WritableByteChannel out) {
        this(out, BodyOrder.LITTLE_ENDIAN);
    }

    XenStreamWriter(WritableByteChannel out, BodyOrder order) {
        if (out instanceof SelectableChannel selectable && !selectable.isBlocking()) {
            throw new IllegalBlockingModeException();
        }
        this.out = out;
        this.order = order.byteOrder();
    }

    /** Bytes written so far, including those still staged: the offset of the next record. */
    public long bytesWritten() {
        return sentBytes + staged;
    }

    /** xl's file header with the domain's configuration; always in little-endian. */
    public void xlFileHeader(XlFileHeader header) throws IOException {
        if (header.order().byteOrder() != order) {
            throw new IllegalArgumentException("xl header in " + header.order());
        }
        OctetWriter writer =
                stage(HeaderCodec.XL_HEADER_BYTES + (long) header.optionalData().size(), order);
        HeaderCodec.encodeXl(header, writer);
        staged = writer.position();
    }

    /** The header every libxl stream begins with. */
    public void libxlHeader() throws IOException {
        OctetWriter writer = stage(HeaderCodec.LIBXL_HEADER_BYTES, ByteOrder.BIG_ENDIAN);
        HeaderCodec.encodeLibxl(new LibxlHeader(bodyOrder(), LibxlHeader.Origin.NATIVE), writer);
        staged = writer.position();
    }

    /** Image header and domain header: what every libxc image begins with. */
    public void imageStart(DomainHeader domain) throws IOException {
        imageStart(new ImageHeader(ImageHeader.WRITTEN.version(), bodyOrder()), domain);
    }

    void imageStart(ImageHeader image, DomainHeader domain) throws IOException {
        OctetWriter header = stage(HeaderCodec.IMAGE_HEADER_BYTES, ByteOrder.BIG_ENDIAN);
        HeaderCodec.encodeImage(image, header);
        staged = header.position();
        OctetWriter body = stage(HeaderCodec.DOMAIN_HEADER_BYTES, order);
        HeaderCodec.encodeDomain(domain, body);
        staged = body.position();
    }

    /** Any libxc record without bulk. */
    public void record(LibxcRecord.Whole record) throws IOException {
        long bodyBytes = LibxcCodec.bodyBytes(record);
        OctetWriter writer = stageRecord(LibxcType.of(record).code(), bodyBytes, bodyBytes);
        LibxcCodec.encode(record, writer);
        writer.zeros(RecordFraming.paddingBytes(bodyBytes));
        staged = writer.position();
        if (record instanceof LibxcRecord.End) {
            flush();
        }
    }

    /** Any libxl record without bulk. */
    public void record(LibxlRecord.Whole record) throws IOException {
        long bodyBytes = LibxlCodec.bodyBytes(record);
        OctetWriter writer = stageRecord(LibxlType.of(record).code(), bodyBytes, bodyBytes);
        LibxlCodec.encode(record, writer);
        writer.zeros(RecordFraming.paddingBytes(bodyBytes));
        staged = writer.position();
        switch (record) {
            case LibxlRecord.End _, LibxlRecord.CheckpointEnd _, LibxlRecord.CheckpointState _ ->
                    flush();
            case LibxlRecord.LibxcContext _, LibxlRecord.EmulatorXenstoreData _ -> {}
        }
    }

    /**
     * PAGE_DATA of ordinary pages.
     *
     * @param pfns the PFNs are {@code pfns[from]} and the following
     * @param count 1 to {@link XenLimits#WRITTEN_PAGES_MAX}
     * @param pages their bytes, back to back, in the same order: {@code count * 4096} bytes
     */
    public void pageData(long[] pfns, int from, int count, MemorySegment pages) throws IOException {
        checkWritten(count);
        MemorySegment bulk = pages.asSlice(0, (long) count * XenLimits.PAGE_BYTES);
        stagePageList(pfns, from, count);
        sendBulk(bulk);
    }

    /**
     * PAGE_DATA of ordinary pages that do not lie back to back; each is copied once. If the
     * callback throws, part of the record may have been sent: the stream is lost.
     */
    public void pageData(long[] pfns, int from, int count, PageGather pages) throws IOException {
        stagePageList(pfns, from, count);
        if (gathered.byteSize() == 0) {
            gathered = arena.allocate(GATHER_PAGES * (long) XenLimits.PAGE_BYTES, 4096);
        }
        for (int done = 0; done < count; done += GATHER_PAGES) {
            int part = Math.min(GATHER_PAGES, count - done);
            for (int i = 0; i < part; i++) {
                pages.copyPage(pfns[from + done + i], gathered, (long) i * XenLimits.PAGE_BYTES);
            }
            sendBulk(gathered.asSlice(0, (long) part * XenLimits.PAGE_BYTES));
        }
    }

    /**
     * PAGE_DATA of pages of any types.
     *
     * @param pages the bytes of those that carry data, back to back, in order: {@link
     *     PageList#dataBytes()} bytes
     */
    public void pageData(PageList list, MemorySegment pages) throws IOException {
        checkWritten(list.count());
        MemorySegment bulk = pages.asSlice(0, list.dataBytes());
        long listBytes = 8 + 8L * list.count();
        OctetWriter writer =
                stageRecord(LibxcType.PAGE_DATA.code(), listBytes + list.dataBytes(), listBytes);
        LibxcCodec.encodePageList(list.entries(), 0, list.count(), writer);
        staged = writer.position();
        sendBulk(bulk);
    }

    /**
     * PAGE_DELTA, Holdfast's own record.
     *
     * @param entries words from {@link DeltaList#zeroPage} and {@link DeltaList#delta}
     * @param lengths for each entry the bytes of its delta, 0 for a zero page
     * @param count how many of both to send, 1 to {@link XenLimits#WRITTEN_PAGES_MAX}
     * @param deltas the deltas back to back, in order; at least as long as the lengths' sum
     */
    public void pageDelta(long[] entries, int[] lengths, int count, MemorySegment deltas)
            throws IOException {
        checkWritten(count);
        long deltaBytes = DeltaList.check(entries, lengths, count);
        MemorySegment bulk = deltas.asSlice(0, deltaBytes);
        long listBytes = LibxcCodec.deltaListBytes(count);
        OctetWriter writer =
                stageRecord(LibxcType.PAGE_DELTA.code(), listBytes + deltaBytes, listBytes);
        LibxcCodec.encodeDeltaList(entries, lengths, count, writer);
        staged = writer.position();
        sendBulk(bulk);
    }

    /** PAGE_DELTA of a list that was received or prepared elsewhere. */
    public void pageDelta(DeltaList list, MemorySegment deltas) throws IOException {
        pageDelta(list.entries(), list.lengths(), list.count(), deltas);
    }

    /**
     * EMULATOR_CONTEXT.
     *
     * @param state the whole segment is the device model's state
     */
    public void emulatorContext(EmulatorKind emulator, long index, MemorySegment state)
            throws IOException {
        LibxlRecord.EmulatorContext record =
                new LibxlRecord.EmulatorContext(emulator, index, state.byteSize());
        OctetWriter writer =
                stageRecord(
                        LibxlType.EMULATOR_CONTEXT.code(),
                        LibxlCodec.bodyBytes(record) + state.byteSize(),
                        LibxlCodec.bodyBytes(record));
        LibxlCodec.encode(record, writer);
        staged = writer.position();
        sendBulk(state);
    }

    /** Bytes that are a header or a record already, as {@link XenStreamReader#eventRaw()}. */
    public void raw(MemorySegment encoded) throws IOException {
        padding.position(0).limit(0);
        send(stagedBytes(), encoded.asByteBuffer(), padding);
    }

    /** Sends what is staged. */
    public void flush() throws IOException {
        if (staged > 0) {
            send(stagedBytes(), null, null);
        }
    }

    /** Frees the buffers; what is staged and not flushed is lost. The channel stays open. */
    @Override
    public void close() {
        if (arena.scope().isAlive()) {
            arena.close();
        }
    }

    private void stagePageList(long[] pfns, int from, int count) throws IOException {
        checkWritten(count);
        for (int i = 0; i < count; i++) {
            PageList.checkPfn(pfns[from + i]);
        }
        long listBytes = 8 + 8L * count;
        OctetWriter writer =
                stageRecord(
                        LibxcType.PAGE_DATA.code(),
                        listBytes + (long) count * XenLimits.PAGE_BYTES,
                        listBytes);
        LibxcCodec.encodePageList(pfns, from, count, writer);
        staged = writer.position();
    }

    private static void checkWritten(int count) {
        if (count < 1 || count > XenLimits.WRITTEN_PAGES_MAX) {
            throw new IllegalArgumentException(
                    count + " pages in a record, expected 1.." + XenLimits.WRITTEN_PAGES_MAX);
        }
    }

    private OctetWriter stageRecord(int type, long bodyBytes, long stagedBodyBytes)
            throws IOException {
        if (bodyBytes > XenLimits.RECORD_BYTES_MAX) {
            throw new IllegalArgumentException(
                    "a body of " + bodyBytes + " bytes, most " + XenLimits.RECORD_BYTES_MAX);
        }
        OctetWriter writer =
                stage(
                        RecordFraming.HEADER_BYTES
                                + stagedBodyBytes
                                + RecordFraming.paddingBytes(stagedBodyBytes),
                        order);
        writer.u32(type);
        writer.u32(bodyBytes);
        return writer;
    }

    /** A writer at the end of the staging buffer, with room for {@code bytes}. */
    private OctetWriter stage(long bytes, ByteOrder order) throws IOException {
        if (bytes > staging.byteSize() - staged) {
            flush();
            if (bytes > staging.byteSize()) {
                growStaging(bytes);
            }
        }
        return new OctetWriter(staging, staged, order);
    }

    /** Nothing is staged when this is called. */
    private void growStaging(long bytes) {
        arena.close();
        arena = Arena.ofShared();
        gathered = MemorySegment.NULL;
        staging = arena.allocate(bytes + bytes / 4, 64);
        stagingView = staging.asByteBuffer();
    }

    private void sendBulk(MemorySegment bulk) throws IOException {
        padding.position(0).limit(RecordFraming.paddingBytes(bulk.byteSize()));
        send(stagedBytes(), bulk.asByteBuffer(), padding);
    }

    private ByteBuffer stagedBytes() {
        return stagingView.limit((int) staged).position(0);
    }

    private void send(ByteBuffer first, ByteBuffer second, ByteBuffer third) throws IOException {
        int count = second == null ? 1 : 3;
        parts[0] = first;
        parts[1] = second;
        parts[2] = third;
        long left = first.remaining();
        if (second != null) {
            left += second.remaining() + third.remaining();
        }
        sentBytes += left;
        staged = 0;
        if (out instanceof GatheringByteChannel gathering) {
            while (left > 0) {
                left -= gathering.write(parts, 0, count);
            }
        } else {
            for (int i = 0; i < count; i++) {
                while (parts[i].hasRemaining()) {
                    out.write(parts[i]);
                }
            }
        }
        parts[1] = null;
    }

    private BodyOrder bodyOrder() {
        return order == ByteOrder.LITTLE_ENDIAN ? BodyOrder.LITTLE_ENDIAN : BodyOrder.BIG_ENDIAN;
    }
}
