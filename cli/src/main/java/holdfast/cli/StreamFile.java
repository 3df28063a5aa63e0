package holdfast.cli;

import com.github.luben.zstd.ZstdInputStream;

import holdfast.node.api.ApiException;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;

/** Opens recorded streams: files or standard input, compressed with zstd or not. */
final class StreamFile {
    private static final byte[] ZSTD_MAGIC = {(byte) 0x28, (byte) 0xb5, (byte) 0x2f, (byte) 0xfd};
    private static final int BUFFER_BYTES = 1 << 20;

    private StreamFile() {}

    /**
     * @param file a path, or {@code -} for standard input
     */
    static InputStream open(Surroundings surroundings, String file) {
        try {
            InputStream raw =
                    file.equals("-") ? surroundings.in() : openFile(surroundings.path(file));
            try {
                BufferedInputStream buffered = new BufferedInputStream(raw, BUFFER_BYTES);
                buffered.mark(ZSTD_MAGIC.length);
                byte[] first = buffered.readNBytes(ZSTD_MAGIC.length);
                buffered.reset();
                return Arrays.equals(first, ZSTD_MAGIC)
                        ? new BufferedInputStream(new ZstdInputStream(buffered), BUFFER_BYTES)
                        : buffered;
            } catch (IOException | RuntimeException e) {
                raw.close();
                throw e;
            }
        } catch (IOException e) {
            throw unreadable(file, e);
        }
    }

    private static InputStream openFile(Path path) throws IOException {
        if (Files.isDirectory(path)) {
            throw new IOException("it is a directory");
        }
        return Files.newInputStream(path);
    }

    static ApiException unreadable(String file, IOException e) {
        String reason =
                e instanceof NoSuchFileException
                        ? "there is no such file"
                        : "cannot read it: " + e.getMessage();
        return new ApiException(ApiException.Kind.BAD_REQUEST, file + ": " + reason, e);
    }
}
