package holdfast.node.nbd;

import holdfast.node.nbd.Negotiation.Metadata;
import holdfast.wire.nbd.NbdError;
import holdfast.wire.nbd.NbdMessage;
import holdfast.wire.nbd.NbdReply;
import holdfast.wire.nbd.NbdReply.Position;
import holdfast.wire.nbd.NbdRequest;
import holdfast.wire.nbd.TransmissionCodec;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/** Carries out one connection's requests, one after the other. */
final class Transmission {
    private static final Logger LOG = LoggerFactory.getLogger(Transmission.class);

    private static final int SKIP_BYTES = 64 * 1024;

    private final NbdStream stream;
    private final ServedExport served;
    private final NbdExport export;
    private final Replies replies;
    private final Metadata metadata;
    private final long sizeBytes;
    private final BlockSizes sizes;
    private final int writeBytesMax;
    private boolean failureLogged;

    Transmission(NbdStream stream, Negotiation.Outcome.Transmit chosen) {
        this.stream = stream;
        this.served = chosen.served();
        this.export = served.export;
        this.replies = chosen.replies();
        this.metadata = chosen.metadata();
        this.sizeBytes = export.sizeBytes();
        this.sizes = export.blockSizes();
        this.writeBytesMax = export.writeBytesMax();
    }

    /**
     * Returns when the client disconnects.
     *
     * @throws holdfast.wire.ProtocolException if it says what is no request
     * @throws EOFException if it goes away without a word
     */
    void run() throws IOException {
        while (stream.awaitNext()) {
            stream.need(TransmissionCodec.REQUEST_BYTES, "request");
            NbdRequest request = TransmissionCodec.decodeRequest(stream.in(), stream.offset());
            if (request instanceof NbdRequest.Disconnect) {
                stream.flush();
                return;
            }
            perform(request);
            stream.flushBatch();
        }
        throw new EOFException("the client went away without disconnecting");
    }

    private void perform(NbdRequest request) throws IOException {
        switch (request) {
            case NbdRequest.Read read -> {
                served.reads.increment();
                read(read);
            }
            case NbdRequest.Write write -> {
                served.writes.increment();
                write(write);
            }
            case NbdRequest.Flush flush -> {
                served.flushes.increment();
                answer(flush, export::flush);
            }
            case NbdRequest.WriteZeroes zeroes -> {
                served.zeroes.increment();
                writeZeroes(zeroes);
            }
            case NbdRequest.Trim trim -> {
                served.others.increment();
                trim(trim);
            }
            case NbdRequest.BlockStatus status -> {
                served.others.increment();
                blockStatus(status);
            }
            case NbdRequest.Cache cache -> {
                served.others.increment();
                fail(cache, new NbdException(NbdError.EINVAL, "CACHE was not offered"));
            }
            case NbdRequest.Illegal illegal -> {
                served.others.increment();
                skip(illegal.payloadBytes());
                fail(illegal, new NbdException(NbdError.EINVAL, illegal.reason()));
            }
            case NbdRequest.Disconnect _ ->
                    throw new IllegalStateException("a disconnect is no work");
        }
    }

    private static Durability durability(NbdRequest request) {
        return request.fua() ? Durability.ON_RETURN : Durability.FLUSHED_LATER;
    }

    // Reading.

    private void read(NbdRequest.Read read) throws IOException {
        try {
            checkRange(read.offset(), read.lengthBytes(), NbdError.EINVAL);
            checkLength(read.lengthBytes());
        } catch (NbdException e) {
            fail(read, e);
            return;
        }
        switch (replies) {
            case SIMPLE -> readSimple(read);
            case STRUCTURED -> {
                boolean whole = (read.flags() & NbdRequest.DF) != 0;
                if (whole && read.lengthBytes() > NbdServer.PIECE_BYTES) {
                    readUnfragmented(read);
                } else {
                    readChunks(read);
                }
            }
        }
    }

    private void readSimple(NbdRequest.Read read) throws IOException {
        int length = read.lengthBytes();
        int first = Math.min(length, NbdServer.PIECE_BYTES);
        stream.room(TransmissionCodec.SIMPLE_REPLY_BYTES + first);
        try {
            fill(read.offset(), TransmissionCodec.SIMPLE_REPLY_BYTES, first);
        } catch (IOException | RuntimeException e) {
            fail(read, e);
            return;
        }
        TransmissionCodec.encode(new NbdReply.SimpleSuccess(read.cookie()), stream.out());
        advance(first);
        for (int done = first; done < length; ) {
            int piece = Math.min(length - done, NbdServer.PIECE_BYTES);
            stream.room(piece);
            // A failure here ends the connection: the reply has begun as a success.
            fill(read.offset() + done, 0, piece);
            advance(piece);
            done += piece;
        }
        served.bytesRead.add(length);
    }

    private void readChunks(NbdRequest.Read read) throws IOException {
        int length = read.lengthBytes();
        if (length == 0) {
            stream.room(TransmissionCodec.CHUNK_HEADER_BYTES);
            TransmissionCodec.encode(new NbdReply.Done(read.cookie()), stream.out());
            return;
        }
        for (int done = 0; done < length; ) {
            int piece = Math.min(length - done, NbdServer.PIECE_BYTES);
            long offset = read.offset() + done;
            stream.room(TransmissionCodec.OFFSET_DATA_BYTES + piece);
            try {
                fill(offset, TransmissionCodec.OFFSET_DATA_BYTES, piece);
            } catch (IOException | RuntimeException e) {
                fail(read, e);
                return;
            }
            done += piece;
            Position position = done == length ? Position.LAST : Position.MORE;
            TransmissionCodec.encode(
                    new NbdReply.OffsetData(read.cookie(), position, offset, piece), stream.out());
            advance(piece);
        }
        served.bytesRead.add(length);
    }

    /** One chunk longer than a piece: its header promises all before anything was read. */
    private void readUnfragmented(NbdRequest.Read read) throws IOException {
        int length = read.lengthBytes();
        stream.room(TransmissionCodec.OFFSET_DATA_BYTES);
        TransmissionCodec.encode(
                new NbdReply.OffsetData(read.cookie(), Position.MORE, read.offset(), length),
                stream.out());
        Exception failure = null;
        for (int done = 0; done < length; ) {
            int piece = Math.min(length - done, NbdServer.PIECE_BYTES);
            stream.room(piece);
            try {
                if (failure == null) {
                    fill(read.offset() + done, 0, piece);
                }
            } catch (IOException | RuntimeException e) {
                failure = e;
            }
            if (failure != null) {
                // The promised bytes are owed all the same, and nothing that was not read may leak.
                zero(stream.dataAhead(0, piece));
            }
            advance(piece);
            done += piece;
        }
        if (failure != null) {
            fail(read, failure);
            return;
        }
        stream.room(TransmissionCodec.CHUNK_HEADER_BYTES);
        TransmissionCodec.encode(new NbdReply.Done(read.cookie()), stream.out());
        served.bytesRead.add(length);
    }

    private void fill(long offset, int ahead, int bytes) throws IOException {
        if (bytes == 0) {
            return;
        }
        ByteBuffer into = stream.dataAhead(ahead, bytes);
        export.read(offset, into);
        if (into.hasRemaining()) {
            throw new IllegalStateException(
                    "export " + export.name() + " left " + into.remaining() + " bytes unread");
        }
    }

    private void advance(int bytes) {
        stream.out().position(stream.out().position() + bytes);
    }

    private static void zero(ByteBuffer buffer) {
        while (buffer.remaining() >= Long.BYTES) {
            buffer.putLong(0);
        }
        while (buffer.hasRemaining()) {
            buffer.put((byte) 0);
        }
    }

    // Writing.

    private void write(NbdRequest.Write write) throws IOException {
        try {
            checkWritable(write.offset(), write.lengthBytes(), NbdError.ENOSPC);
            checkLength(write.lengthBytes());
        } catch (NbdException e) {
            skip(write.lengthBytes());
            fail(write, e);
            return;
        }
        for (int done = 0; done < write.lengthBytes(); ) {
            int piece = Math.min(write.lengthBytes() - done, writeBytesMax);
            stream.need(piece, "payload of WRITE");
            ByteBuffer from = stream.takePayload(piece);
            long offset = write.offset() + done;
            done += piece;
            try {
                export.write(offset, from, durability(write));
            } catch (IOException | RuntimeException e) {
                skip(write.lengthBytes() - done);
                fail(write, e);
                return;
            }
        }
        served.bytesWritten.add(write.lengthBytes());
        success(write);
    }

    private void skip(int bytes) throws IOException {
        for (int left = bytes; left > 0; ) {
            int piece = Math.min(left, SKIP_BYTES);
            stream.need(piece, "payload of WRITE");
            stream.takePayload(piece);
            left -= piece;
        }
    }

    private void writeZeroes(NbdRequest.WriteZeroes zeroes) throws IOException {
        Set<ZeroFlag> flags = EnumSet.noneOf(ZeroFlag.class);
        if ((zeroes.flags() & NbdRequest.NO_HOLE) != 0) {
            flags.add(ZeroFlag.NO_HOLE);
        }
        if ((zeroes.flags() & NbdRequest.FAST_ZERO) != 0) {
            flags.add(ZeroFlag.FAST);
        }
        answer(
                zeroes,
                () -> {
                    long length = zeroes.lengthBytes();
                    checkWritable(zeroes.offset(), length, NbdError.ENOSPC);
                    if (flags.contains(ZeroFlag.FAST) && !export.zeroesFast()) {
                        throw new NbdException(NbdError.ENOTSUP, "there is no fast way to zero");
                    }
                    if (length > 0) {
                        export.writeZeroes(zeroes.offset(), length, flags, durability(zeroes));
                        served.bytesZeroed.add(length);
                    }
                });
    }

    private void trim(NbdRequest.Trim trim) throws IOException {
        answer(
                trim,
                () -> {
                    checkWritable(trim.offset(), trim.lengthBytes(), NbdError.EINVAL);
                    if (trim.lengthBytes() > 0) {
                        export.trim(trim.offset(), trim.lengthBytes(), durability(trim));
                    }
                });
    }

    // Block status.

    private void blockStatus(NbdRequest.BlockStatus status) throws IOException {
        Extents extents =
                new Extents(
                        status.lengthBytes(),
                        (status.flags() & NbdRequest.REQ_ONE) != 0 ? 1 : NbdMessage.EXTENTS_MAX);
        try {
            switch (metadata) {
                case NONE ->
                        throw new NbdException(
                                NbdError.EINVAL, "no metadata context was negotiated");
                case ALLOCATION -> {}
            }
            checkRange(status.offset(), status.lengthBytes(), NbdError.EINVAL);
            export.blockStatus(status.offset(), status.lengthBytes(), extents);
            if (extents.list.isEmpty()) {
                throw new IllegalStateException("export " + export.name() + " told of no extent");
            }
        } catch (IOException | RuntimeException e) {
            fail(status, e);
            return;
        }
        stream.room(TransmissionCodec.REPLY_BYTES_MAX);
        TransmissionCodec.encode(
                new NbdReply.BlockStatus(
                        status.cookie(), Position.LAST, Negotiation.ALLOCATION_ID, extents.list),
                stream.out());
    }

    /** Merges neighbours of one state and stops at the request's end. */
    private static final class Extents implements ExtentSink {
        final List<NbdReply.Extent> list = new ArrayList<>();
        private final int countMax;
        private long leftBytes;

        Extents(long lengthBytes, int countMax) {
            this.leftBytes = lengthBytes;
            this.countMax = countMax;
        }

        @Override
        public boolean extent(long lengthBytes, State state) {
            long bytes = Math.min(lengthBytes, leftBytes);
            int flags =
                    switch (state) {
                        case DATA -> 0;
                        case ZERO -> NbdReply.Extent.ZERO;
                        case HOLE -> NbdReply.Extent.HOLE | NbdReply.Extent.ZERO;
                    };
            if (bytes == 0) {
                return false;
            }
            if (!list.isEmpty() && list.getLast().flags() == flags) {
                list.add(new NbdReply.Extent(list.removeLast().lengthBytes() + bytes, flags));
            } else if (list.size() < countMax) {
                list.add(new NbdReply.Extent(bytes, flags));
            } else {
                return false;
            }
            leftBytes -= bytes;
            return leftBytes > 0;
        }
    }

    // What the requests have in common.

    private void checkRange(long offset, long lengthBytes, NbdError beyond) throws NbdException {
        if (offset < 0 || lengthBytes > sizeBytes - offset) {
            throw new NbdException(
                    beyond,
                    lengthBytes
                            + " bytes at "
                            + Long.toUnsignedString(offset)
                            + " reach beyond the end of the export at "
                            + sizeBytes);
        }
        int mask = sizes.minimumBytes() - 1;
        if (((offset | lengthBytes) & mask) != 0) {
            throw new NbdException(
                    NbdError.EINVAL,
                    lengthBytes
                            + " bytes at "
                            + offset
                            + " are no multiple of the minimum block size "
                            + sizes.minimumBytes());
        }
    }

    private void checkLength(int lengthBytes) throws NbdException {
        if (lengthBytes > sizes.maximumBytes()) {
            throw new NbdException(
                    NbdError.EINVAL,
                    lengthBytes
                            + " bytes are more than the maximum block size "
                            + sizes.maximumBytes());
        }
    }

    private void checkWritable(long offset, long lengthBytes, NbdError beyond) throws NbdException {
        if (export.readOnly()) {
            throw new NbdException(NbdError.EPERM, "export " + export.name() + " is read-only");
        }
        checkRange(offset, lengthBytes, beyond);
    }

    /** Work of a request that is answered by success or an error alone. */
    private interface Work {
        void run() throws IOException;
    }

    private void answer(NbdRequest request, Work work) throws IOException {
        try {
            work.run();
        } catch (IOException | RuntimeException e) {
            fail(request, e);
            return;
        }
        success(request);
    }

    /** Allowed with structured replies too, for what is neither READ nor BLOCK_STATUS. */
    private void success(NbdRequest request) throws IOException {
        stream.room(TransmissionCodec.SIMPLE_REPLY_BYTES);
        TransmissionCodec.encode(new NbdReply.SimpleSuccess(request.cookie()), stream.out());
    }

    private void fail(NbdRequest request, Exception failure) throws IOException {
        served.errors.increment();
        NbdError error =
                switch (failure) {
                    case NbdException e -> e.error();
                    default -> NbdError.EIO;
                };
        log(request, failure, error);
        stream.room(TransmissionCodec.REPLY_BYTES_MAX);
        NbdReply reply =
                switch (replies) {
                    case SIMPLE -> new NbdReply.SimpleError(request.cookie(), error);
                    case STRUCTURED ->
                            new NbdReply.ErrorChunk(
                                    request.cookie(),
                                    Position.LAST,
                                    error,
                                    NbdMessage.clip(String.valueOf(failure.getMessage())));
                };
        TransmissionCodec.encode(reply, stream.out());
    }

    /** The first failure of a connection; a broken disk must not fill the log. */
    private void log(NbdRequest request, Exception failure, NbdError error) {
        String name = request.getClass().getSimpleName();
        if (failureLogged) {
            LOG.debug("event=nbd-request-failed request={} error={}", name, error, failure);
            return;
        }
        failureLogged = true;
        if (failure instanceof IOException) {
            LOG.warn(
                    "event=nbd-request-failed export={} request={} error={} reason=\"{}\""
                            + " further=debug",
                    export.name(),
                    name,
                    error,
                    failure.getMessage());
        } else {
            LOG.warn(
                    "event=nbd-request-failed export={} request={} error={} further=debug",
                    export.name(),
                    name,
                    error,
                    failure);
        }
    }
}
