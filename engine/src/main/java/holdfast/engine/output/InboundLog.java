package holdfast.engine.output;

import holdfast.engine.port.InboundFrames;
import holdfast.wire.netfilter.FrameFormat;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * The frames the network sent toward a guest since the last commit, as the secondary keeps them for
 * a fail-over: the survivor hears again what the checkpoint it resumes from has not seen. Bounded:
 * the oldest frames give way, for a lost frame only costs a retransmission.
 *
 * <p>Nothing is allocated per frame until the log is read. Not thread-safe.
 */
public final class InboundLog {
    /** The longest frame that is kept. */
    public static final int FRAME_BYTES_MAX = FrameFormat.FRAME_BYTES_MAX;

    /** Bytes the log spends on each frame beside the frame itself. */
    public static final int RECORD_HEADER_BYTES = Long.BYTES + 3 * Integer.BYTES;

    private static final int FIRST_CAPACITY_BYTES = 64 << 10;

    /** Receives frames, oldest first. */
    @FunctionalInterface
    public interface Visitor {
        /**
         * @param epoch epoch in which the frame came in
         * @param nic index of the domain's NIC, from 0
         * @param vnetHeaderBytes length of the virtio-net header at the front
         * @param frame header and frame; valid until this call returns
         */
        void frame(long epoch, int nic, int vnetHeaderBytes, ByteBuffer frame);
    }

    /**
     * @param frames frames kept now
     * @param bytes bytes they take, {@link #RECORD_HEADER_BYTES} each included
     * @param bytesMax the bound of {@code bytes}
     * @param framesDropped frames that gave way for want of room
     */
    public record Kept(long frames, long bytes, long bytesMax, long framesDropped) {}

    private final int bytesMax;
    private final ByteBuffer header = ByteBuffer.allocate(RECORD_HEADER_BYTES);
    private final ByteBuffer scratch = ByteBuffer.allocate(FRAME_BYTES_MAX);

    /** A circle of records (header, frame); {@code head} and {@code tail} only grow. */
    private byte[] ring;

    private long head;
    private long tail;
    private long frames;
    private long framesDropped;
    private long newestEpoch = Long.MIN_VALUE;
    private long committedEpoch = Long.MIN_VALUE;

    /**
     * @param bytesMax most bytes kept, at least one frame of {@link #FRAME_BYTES_MAX} and its
     *     record header
     */
    public InboundLog(int bytesMax) {
        if (bytesMax < FRAME_BYTES_MAX + RECORD_HEADER_BYTES) {
            throw new IllegalArgumentException(
                    "bytesMax " + bytesMax + " does not hold one frame and its record header");
        }
        this.bytesMax = bytesMax;
        this.ring = new byte[Math.min(bytesMax, FIRST_CAPACITY_BYTES)];
    }

    /**
     * Adds a frame that came in during {@code epoch}; drops the oldest ones where room is needed. A
     * frame of a committed epoch is ignored: the committed state has seen it.
     *
     * @param frame consumed; at most {@link #FRAME_BYTES_MAX}
     * @throws IllegalArgumentException if a frame of a newer epoch was added before, or a number is
     *     out of range
     */
    public void append(long epoch, int nic, int vnetHeaderBytes, ByteBuffer frame) {
        int frameBytes = frame.remaining();
        if (epoch < newestEpoch) {
            throw new IllegalArgumentException(
                    "frame of epoch " + epoch + " after one of epoch " + newestEpoch);
        }
        if (nic < 0 || frameBytes > FRAME_BYTES_MAX) {
            throw new IllegalArgumentException("frame of " + frameBytes + " bytes, nic " + nic);
        }
        if (vnetHeaderBytes < 0 || vnetHeaderBytes > frameBytes) {
            throw new IllegalArgumentException(
                    "virtio-net header of " + vnetHeaderBytes + " in " + frameBytes + " bytes");
        }
        newestEpoch = epoch;
        if (epoch <= committedEpoch) {
            frame.position(frame.limit());
            return;
        }
        int recordBytes = RECORD_HEADER_BYTES + frameBytes;
        makeRoom(recordBytes);
        header.clear().putLong(epoch).putInt(nic).putInt(vnetHeaderBytes).putInt(frameBytes).flip();
        put(header);
        put(frame);
        frames++;
    }

    /**
     * The state at the end of {@code epoch} is committed: what came in until then is not needed any
     * more.
     */
    public void commit(long epoch) {
        committedEpoch = Math.max(committedEpoch, epoch);
        while (frames > 0 && readHeader().getLong() <= committedEpoch) {
            passOldest();
        }
    }

    /** Takes everything out, oldest first, without keeping it. */
    public void drain(Visitor visitor) {
        while (frames > 0) {
            readHeader();
            long epoch = header.getLong();
            int nic = header.getInt();
            int vnetHeaderBytes = header.getInt();
            int frameBytes = header.getInt();
            scratch.clear().limit(frameBytes);
            get(head + RECORD_HEADER_BYTES, scratch);
            passOldest();
            visitor.frame(epoch, nic, vnetHeaderBytes, scratch.flip());
        }
    }

    /** Takes everything out as copies that stay valid. */
    public InboundFrames drain() {
        List<InboundFrames.Frame> taken = new ArrayList<>(Math.toIntExact(frames));
        ByteBuffer copies = ByteBuffer.allocate((int) (tail - head - frames * RECORD_HEADER_BYTES));
        drain(
                (_, nic, vnetHeaderBytes, frame) -> {
                    int start = copies.position();
                    int frameBytes = frame.remaining();
                    copies.put(frame);
                    taken.add(
                            new InboundFrames.Frame(
                                    nic,
                                    vnetHeaderBytes,
                                    copies.slice(start, frameBytes).asReadOnlyBuffer()));
                });
        return new InboundFrames(taken);
    }

    public Kept kept() {
        return new Kept(frames, tail - head, bytesMax, framesDropped);
    }

    private void makeRoom(int recordBytes) {
        while (tail - head + recordBytes > bytesMax) {
            passOldest();
            framesDropped++;
        }
        long needed = tail - head + recordBytes;
        if (needed > ring.length) {
            byte[] larger = new byte[(int) Math.min(bytesMax, Math.max(needed, 2L * ring.length))];
            ByteBuffer kept = ByteBuffer.wrap(larger, 0, (int) (tail - head));
            get(head, kept);
            tail -= head;
            head = 0;
            ring = larger;
        }
    }

    private ByteBuffer readHeader() {
        get(head, header.clear());
        return header.flip();
    }

    private void passOldest() {
        get(head, header.clear());
        head += RECORD_HEADER_BYTES + header.getInt(RECORD_HEADER_BYTES - Integer.BYTES);
        frames--;
    }

    private void put(ByteBuffer bytes) {
        while (bytes.hasRemaining()) {
            int at = (int) (tail % ring.length);
            int run = Math.min(bytes.remaining(), ring.length - at);
            bytes.get(ring, at, run);
            tail += run;
        }
    }

    private void get(long from, ByteBuffer bytes) {
        long position = from;
        while (bytes.hasRemaining()) {
            int at = (int) (position % ring.length);
            int run = Math.min(bytes.remaining(), ring.length - at);
            bytes.put(ring, at, run);
            position += run;
        }
    }
}
