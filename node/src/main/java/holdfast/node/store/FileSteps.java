package holdfast.node.store;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/** The steps of replacing a file, one by one, so that a test can let each of them fail. */
public interface FileSteps {
    /** The file system itself. */
    FileSteps REAL =
            new FileSteps() {
                @Override
                public void write(Path file, byte[] content) throws IOException {
                    try (FileChannel channel =
                            FileChannel.open(
                                    file,
                                    StandardOpenOption.CREATE,
                                    StandardOpenOption.WRITE,
                                    StandardOpenOption.TRUNCATE_EXISTING)) {
                        ByteBuffer left = ByteBuffer.wrap(content);
                        while (left.hasRemaining()) {
                            channel.write(left);
                        }
                        channel.force(true);
                    }
                }

                @Override
                public void rename(Path from, Path to) throws IOException {
                    Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
                }

                @Override
                public void forceDirectory(Path directory) throws IOException {
                    try (FileChannel channel =
                            FileChannel.open(directory, StandardOpenOption.READ)) {
                        channel.force(true);
                    }
                }
            };

    /** Writes a file and forces it to the disk. */
    void write(Path file, byte[] content) throws IOException;

    /** Replaces {@code to} by {@code from} at once. */
    void rename(Path from, Path to) throws IOException;

    /** Forces the directory's entries to the disk. */
    void forceDirectory(Path directory) throws IOException;
}
