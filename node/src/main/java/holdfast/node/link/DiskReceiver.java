package holdfast.node.link;

import holdfast.engine.port.ReplicaDisks;
import holdfast.wire.ProtocolException;
import holdfast.wire.link.LinkCodec;
import holdfast.wire.link.LinkMessage;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.util.Optional;
import java.util.function.LongConsumer;
import java.util.zip.CRC32C;

/** Reads a DISK connection on the secondary and gives what it brings to the replica's disks. */
final class DiskReceiver {
    /** What one read asks for at least: several small writes. */
    private static final int READ_AHEAD_BYTES = 64 << 10;

    /** Whole frames are looked at in it: the longest write with its frame, and room to read on. */
    private static final int BUFFER_BYTES = 2 * LinkMessage.DISK_WRITE_BYTES_MAX;

    private final SocketChannel channel;
    private final ReplicaDisks disks;
    private final LongConsumer boundary;
    private final ByteBuffer in = ByteBuffer.allocateDirect(BUFFER_BYTES).flip();
    private long received;
    private long records;
    private long bytes;

    /**
     * @param channel in blocking mode, past its handshake
     * @param boundary hears of each epoch whose writes are all with {@code disks}
     */
    DiskReceiver(SocketChannel channel, ReplicaDisks disks, LongConsumer boundary) {
        this.channel = channel;
        this.disks = disks;
        this.boundary = boundary;
    }

    /**
     * Reads until the connection ends.
     *
     * @throws EOFException when it ended between two frames
     * @throws ProtocolException if it carries what it must not
     * @throws holdfast.engine.ReplicationException if the disks do not take it
     */
    void run() throws IOException {
        while (true) {
            Optional<LinkMessage> message = next();
            switch (message.orElseThrow(() -> new EOFException("no more frames"))) {
                case LinkMessage.DiskWrite write -> write(write);
                case LinkMessage.DiskZeroes(int disk, long offset, long count) -> {
                    disks.writeZeroes(disk, offset, count);
                    records++;
                    bytes += count;
                }
                case LinkMessage.DiskBoundary end -> boundary(end);
                case LinkMessage other ->
                        throw broken("frame", "what the guest wrote", Handshake.name(other));
            }
        }
    }

    private Optional<LinkMessage> next() throws IOException {
        if (!fill(LinkCodec.HEADER_BYTES, End.BETWEEN_FRAMES)) {
            return Optional.empty();
        }
        LinkCodec.Header header =
                LinkCodec.decodeHeader(in.slice(in.position(), LinkCodec.HEADER_BYTES), received);
        int frameBytes = LinkCodec.HEADER_BYTES + header.bodyBytes();
        fill(frameBytes, End.WITHIN);
        LinkMessage message =
                LinkCodec.decodeBody(
                        header,
                        in.slice(in.position() + LinkCodec.HEADER_BYTES, header.bodyBytes()));
        take(frameBytes);
        return Optional.of(message);
    }

    private void write(LinkMessage.DiskWrite write) throws IOException {
        fill(write.bytes(), End.WITHIN);
        ByteBuffer data = in.slice(in.position(), write.bytes());
        CRC32C crc = new CRC32C();
        crc.update(data.duplicate());
        if ((int) crc.getValue() != write.crc32c()) {
            throw broken(
                    "checksum of a write to disk " + write.disk() + " at " + write.offset(),
                    "0x%08x".formatted(write.crc32c()),
                    "0x%08x".formatted((int) crc.getValue()));
        }
        disks.write(write.disk(), write.offset(), data);
        take(write.bytes());
        records++;
        bytes += write.bytes();
    }

    private void boundary(LinkMessage.DiskBoundary end) {
        if (end.records() != records || end.bytes() != bytes) {
            throw broken(
                    "count of the writes of epoch " + end.epoch(),
                    end.records() + " with " + end.bytes() + " bytes",
                    records + " with " + bytes + " bytes");
        }
        records = 0;
        bytes = 0;
        disks.boundary(end.epoch());
        boundary.accept(end.epoch());
    }

    /** Where the connection may end. */
    private enum End {
        BETWEEN_FRAMES,
        WITHIN
    }

    /** Makes {@code count} bytes ready to be looked at; false where it ended before the first. */
    private boolean fill(int count, End allowed) throws IOException {
        if (in.remaining() >= count) {
            return true;
        }
        in.compact();
        // No more than needed of a long write: the next frame then starts in an empty buffer, and
        // little is ever moved.
        in.limit(Math.max(count, Math.min(in.capacity(), in.position() + READ_AHEAD_BYTES)));
        try {
            while (in.position() < count) {
                if (channel.read(in) < 0) {
                    if (in.position() == 0 && allowed == End.BETWEEN_FRAMES) {
                        return false;
                    }
                    throw new EOFException(
                            "the disk connection ended within a frame, at byte "
                                    + (received + in.position()));
                }
            }
            return true;
        } finally {
            in.flip();
        }
    }

    private void take(int count) {
        in.position(in.position() + count);
        received += count;
    }

    private ProtocolException broken(String field, String expected, String found) {
        return new ProtocolException("DISK", received, field, expected, found);
    }
}
