package holdfast.qemu.memory;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** A RAM file in a directory of its own under /dev/shm, removed at the end. */
final class TemporaryRam implements AutoCloseable {
    private final Path directory;
    private final MappedMemory memory;

    TemporaryRam(long bytes) throws Exception {
        directory = Files.createTempDirectory(Path.of("/dev/shm"), "hf-track-");
        try {
            memory = MappedMemory.create(directory.resolve("ram"), bytes);
        } catch (RuntimeException e) {
            Files.delete(directory);
            throw e;
        }
    }

    MappedMemory memory() {
        return memory;
    }

    @Override
    public void close() throws IOException {
        memory.close();
        memory.deleteFile();
        Files.delete(directory);
    }
}
