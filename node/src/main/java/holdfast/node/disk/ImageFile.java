package holdfast.node.disk;

import holdfast.engine.DiskException;
import holdfast.engine.disk.DiskSizes;
import holdfast.wire.disk.DiskWrite;
import holdfast.wire.disk.JournalCodec;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;

/** One image that is open for writing. Its callers see to it that they take turns. */
record ImageFile(Path path, DiskFiles files, DiskFiles.OpenFile file) {
    /** Takes the buffer to its limit. */
    void write(ByteBuffer data, long offsetBytes) {
        int bytes = data.remaining();
        try {
            file.write(data, offsetBytes);
        } catch (IOException e) {
            throw failure("writing " + bytes + " bytes at offset " + offsetBytes, e);
        }
    }

    void zero(long offsetBytes, long lengthBytes) {
        try {
            file.zero(offsetBytes, lengthBytes);
        } catch (IOException e) {
            throw failure("zeroing " + lengthBytes + " bytes at offset " + offsetBytes, e);
        }
    }

    void force() {
        try {
            file.force();
        } catch (IOException e) {
            throw failure("fdatasync", e);
        }
    }

    void close() {
        try {
            file.close();
        } catch (IOException e) {
            throw failure("closing", e);
        }
    }

    private DiskException failure(String step, IOException e) {
        return files.failure("image", path, step, e);
    }

    /**
     * Performs the writes of one batch.
     *
     * @param body from its position to its limit, whose checksum was right
     * @return bytes written, without zeroes
     */
    static long apply(ByteBuffer body, DiskSizes sizes, List<ImageFile> images) {
        int end = body.limit();
        long sum = 0;
        while (body.position() < end) {
            DiskWrite write = JournalCodec.decodeWrite(body, body.position());
            sizes.require(write.disk(), write.offsetBytes(), write.lengthBytes());
            ImageFile image = images.get(write.disk());
            switch (write) {
                case DiskWrite.Data(int _, long offset, int bytes) -> {
                    int after = body.position() + JournalCodec.paddedBytes(bytes);
                    image.write(body.limit(body.position() + bytes), offset);
                    body.limit(end).position(after);
                    sum += bytes;
                }
                case DiskWrite.Zeroes(int _, long offset, long bytes) -> image.zero(offset, bytes);
            }
        }
        return sum;
    }
}
