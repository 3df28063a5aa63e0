package holdfast.node.disk;

import holdfast.engine.DiskException;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.FileSystemException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** What images and journals need of a file system; a test lets each of these steps fail. */
interface DiskFiles {
    /** What the images are opened for. */
    ImageUse use();

    /** An open file. Positional, so that any thread may call; bytes count only after force. */
    interface OpenFile extends AutoCloseable {
        /** Writes from the buffer's position to its limit. */
        void write(ByteBuffer from, long position) throws IOException;

        /**
         * Fills the buffer, as far as the file goes.
         *
         * @return bytes read; 0 at the end
         */
        int read(ByteBuffer into, long position) throws IOException;

        /** Makes a range read as zeroes, without storage where that is possible. */
        void zero(long position, long bytes) throws IOException;

        long size() throws IOException;

        /** Cuts the file, or makes it longer with zeroes. */
        void resize(long bytes) throws IOException;

        /** Returns when all that was written is on stable storage. */
        void force() throws IOException;

        @Override
        void close() throws IOException;
    }

    /**
     * An image for writing, kept from other Holdfast processes until it is closed.
     *
     * @throws DiskException if another process uses it
     */
    OpenFile openImage(Path path) throws IOException;

    /** A file that exists, for reading and writing. */
    OpenFile open(Path path) throws IOException;

    /** An empty file; one that exists is emptied. */
    OpenFile create(Path path) throws IOException;

    /** Names in a directory; none where there is no such directory. */
    List<Path> list(Path directory) throws IOException;

    /** With its parents. */
    void createDirectory(Path directory) throws IOException;

    /** Replaces {@code to} at once. */
    void rename(Path from, Path to) throws IOException;

    /** Removes a file or an empty directory, where it is. */
    void delete(Path path) throws IOException;

    /** Forces names to stable storage. */
    void forceDirectory(Path directory) throws IOException;

    /** Room on the file system that has the file, or would have it, for this process's user. */
    long usableBytes(Path path) throws IOException;

    /** A file on whose file system a step failed while hardly any room was left there. */
    default Optional<Path> foundFull() {
        return Optional.empty();
    }

    /** What to tell an operator about a step that failed. */
    default DiskException failure(String file, Path path, String step, IOException e) {
        String reason =
                e instanceof FileSystemException named && named.getReason() != null
                        ? named.getReason()
                        : e.getClass() == IOException.class
                                ? String.valueOf(e.getMessage())
                                : e.toString();
        return new DiskException(
                file
                        + " "
                        + path
                        + ": "
                        + step
                        + " failed: "
                        + reason
                        + " ("
                        + free(path)
                        + "); make room or repair the disk, then "
                        + use().again(),
                e);
    }

    private String free(Path path) {
        try {
            return usableBytes(path) + " bytes are free on its file system";
        } catch (IOException e) {
            return "how much is free there is not known: " + e.getMessage();
        }
    }
}
