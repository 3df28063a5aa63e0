package holdfast.cli.receive;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/**
 * An image that has its name only when it is whole and on the disk. Until then it lies beside it
 * under a name of its own, ending in {@code .partial}; only the user may read either, for guest
 * memory is in them.
 */
final class ImageFile implements AutoCloseable {
    /** The file could not be written, forced to the disk or named; says which, and why. */
    static final class ImageException extends IOException {
        private ImageException(String message, IOException cause) {
            super(message + ": " + reason(cause), cause);
        }

        /** Java's own text for a missing right is the file's name alone. */
        private static String reason(IOException cause) {
            return cause.getMessage() == null || cause.getClass() != IOException.class
                    ? cause.toString()
                    : cause.getMessage();
        }
    }

    private final Path target;
    private final Path partial;
    private final FileChannel channel;
    private long bytes;

    private ImageFile(Path target, Path partial, FileChannel channel) {
        this.target = target;
        this.partial = partial;
        this.channel = channel;
    }

    /** Makes an empty file beside {@code target}, whose directory exists. */
    static ImageFile create(Path target) throws ImageException {
        try {
            // Each receiver has its own: two for one target do not write into each other's file.
            Path partial =
                    Files.createTempFile(
                            target.getParent(), target.getFileName() + ".", ".partial");
            FileChannel channel =
                    FileChannel.open(partial, StandardOpenOption.READ, StandardOpenOption.WRITE);
            return new ImageFile(target, partial, channel);
        } catch (IOException e) {
            throw new ImageException("cannot create a file in " + target.getParent(), e);
        }
    }

    Path target() {
        return target;
    }

    Path partial() {
        return partial;
    }

    /** Bytes written so far. */
    long bytes() {
        return bytes;
    }

    void append(byte[] source, int offset, int length) throws ImageException {
        ByteBuffer left = ByteBuffer.wrap(source, offset, length);
        try {
            while (left.hasRemaining()) {
                bytes += channel.write(left, bytes);
            }
        } catch (IOException e) {
            throw new ImageException("cannot write byte " + bytes + " of " + partial, e);
        }
    }

    /** What was written from this byte on; a few KiB. */
    byte[] tail(long from) throws ImageException {
        ByteBuffer tail = ByteBuffer.allocate(Math.toIntExact(bytes - from));
        try {
            while (tail.hasRemaining()) {
                if (channel.read(tail, from + tail.position()) < 0) {
                    throw new IOException("it is shorter than the " + bytes + " bytes written");
                }
            }
        } catch (IOException e) {
            throw new ImageException("cannot read byte " + from + " of " + partial, e);
        }
        return tail.array();
    }

    /** Cuts the file to its first bytes and forces them to the disk. */
    void secure(long length) throws ImageException {
        try {
            channel.truncate(length);
            channel.force(true);
            bytes = length;
        } catch (IOException e) {
            throw new ImageException("cannot force " + partial + " to the disk", e);
        }
    }

    /** Gives the file its name, replacing another one at once, and forces that to the disk. */
    void publish() throws ImageException {
        try {
            Files.move(
                    partial,
                    target,
                    StandardCopyOption.ATOMIC_MOVE,
                    StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            throw new ImageException("cannot rename " + partial + " to " + target, e);
        }
        try (FileChannel directory =
                FileChannel.open(target.getParent(), StandardOpenOption.READ)) {
            directory.force(true);
        } catch (IOException e) {
            throw new ImageException(
                    target + " is in its place, but may not outlive a loss of power", e);
        }
    }

    /** Deletes the file while it has not got its name. */
    void discard() throws ImageException {
        try {
            Files.deleteIfExists(partial);
        } catch (IOException e) {
            throw new ImageException("cannot delete " + partial, e);
        }
    }

    @Override
    public void close() throws ImageException {
        try {
            channel.close();
        } catch (IOException e) {
            throw new ImageException("cannot close the file of " + target, e);
        }
    }
}
