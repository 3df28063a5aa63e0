package holdfast.engine.disk;

import holdfast.wire.disk.DiskWrite;
import holdfast.wire.disk.JournalCodec;
import holdfast.wire.disk.JournalRecord;

import java.nio.ByteBuffer;
import java.util.Optional;
import java.util.zip.CRC32C;

/**
 * Some writes of one epoch, in the form in which the journal keeps them. One thread fills it; once
 * it is full its bytes do not change. {@link EpochBuffer} says who may look at its memory.
 */
public final class EpochBatch {
    /** Below this a write is rather begun in the next batch than torn in two. */
    private static final int FRAGMENT_BYTES_MIN = 4096;

    private final long epoch;
    private final long number;
    private final CRC32C crc = new CRC32C();
    private Optional<ByteBuffer> memory;
    private int bytes = JournalCodec.RECORD_BYTES;
    Optional<JournalPlace> place = Optional.empty();
    boolean lent;

    EpochBatch(long epoch, long number, ByteBuffer memory) {
        this.epoch = epoch;
        this.number = number;
        this.memory = Optional.of(memory.clear().position(JournalCodec.RECORD_BYTES));
    }

    public long epoch() {
        return epoch;
    }

    /** Bytes in the journal. */
    public int bytes() {
        return bytes;
    }

    /** Whether it holds no write. */
    public boolean isEmpty() {
        return bytes == JournalCodec.RECORD_BYTES;
    }

    /** Its place in the journal, once it was written there. */
    public Optional<JournalPlace> place() {
        return place;
    }

    Optional<ByteBuffer> memory() {
        return memory;
    }

    ByteBuffer giveUpMemory() {
        ByteBuffer given = memory.orElseThrow();
        memory = Optional.empty();
        return given;
    }

    /**
     * Takes in as much of a write as there is room for.
     *
     * @param data taken from index {@code at} to its limit; its position stays
     * @return bytes taken; 0 when this batch is full
     */
    public int put(int disk, long offsetBytes, ByteBuffer data, int at) {
        ByteBuffer out = memory.orElseThrow();
        int room = Math.max(0, out.remaining() - JournalCodec.WRITE_BYTES) & ~7;
        int wanted = data.limit() - at;
        int count = Math.min(room, wanted);
        if (count == 0 || count < wanted && count < FRAGMENT_BYTES_MIN && !isEmpty()) {
            return 0;
        }
        int start = out.position();
        JournalCodec.encode(new DiskWrite.Data(disk, offsetBytes, count), out);
        out.put(out.position(), data, at, count).position(out.position() + count);
        while (out.position() % 8 != 0) {
            out.put((byte) 0);
        }
        added(out, start);
        return count;
    }

    /**
     * @return whether there was room
     */
    public boolean putZeroes(int disk, long offsetBytes, long lengthBytes) {
        ByteBuffer out = memory.orElseThrow();
        if (out.remaining() < JournalCodec.WRITE_BYTES) {
            return false;
        }
        int start = out.position();
        JournalCodec.encode(new DiskWrite.Zeroes(disk, offsetBytes, lengthBytes), out);
        added(out, start);
        return true;
    }

    private void added(ByteBuffer out, int start) {
        int end = out.position();
        out.limit(end).position(start);
        crc.update(out);
        out.limit(out.capacity());
        bytes = end;
    }

    /**
     * The record as it is written to {@code segment}, from position to limit. The buffer belongs to
     * this batch: it is used before anybody else asks for it.
     */
    public ByteBuffer encoded(long segment) {
        ByteBuffer out = memory.orElseThrow();
        JournalCodec.encode(
                new JournalRecord.Batch(
                        segment,
                        epoch,
                        number,
                        bytes - JournalCodec.RECORD_BYTES,
                        (int) crc.getValue()),
                out,
                0);
        return out.limit(bytes).position(0);
    }

    /** The writes in it, from position to limit; only while the memory was lent to the caller. */
    public ByteBuffer body() {
        return memory.orElseThrow().limit(bytes).position(JournalCodec.RECORD_BYTES);
    }
}
