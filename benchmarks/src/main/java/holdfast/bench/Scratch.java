package holdfast.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.stream.Stream;

/**
 * Two directories of one measurement, removed with everything in them.
 *
 * @param files sockets, logs; its path is short
 * @param memory RAM files and device state
 */
record Scratch(Path files, Path memory) implements AutoCloseable {
    static Scratch create() throws IOException {
        Path files = Files.createTempDirectory(Path.of("/tmp"), "hfbench");
        return new Scratch(files, Files.createTempDirectory(Path.of("/dev/shm"), "hf-bench"));
    }

    @Override
    public void close() throws IOException {
        for (Path root : new Path[] {memory, files}) {
            try (Stream<Path> paths = Files.walk(root)) {
                for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
                    Files.deleteIfExists(path);
                }
            }
        }
    }
}
