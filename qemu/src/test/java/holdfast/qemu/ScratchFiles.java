package holdfast.qemu;

import holdfast.qemu.launch.QemuFiles;
import holdfast.qemu.launch.QemuProcess;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/** Files and processes of one test; closing ends and removes them all. */
public final class ScratchFiles implements AutoCloseable {
    private final Path directory;
    private final Path memory;
    private final List<QemuProcess> processes = new ArrayList<>();

    private ScratchFiles(Path directory, Path memory) {
        this.directory = directory;
        this.memory = memory;
    }

    public static ScratchFiles create() throws IOException {
        return new ScratchFiles(
                Files.createTempDirectory("hf-t"),
                Files.createTempDirectory(Path.of("/dev/shm"), "hf-t"));
    }

    public Path directory() {
        return directory;
    }

    /** A directory in memory. */
    public Path memory() {
        return memory;
    }

    /** Places for one QEMU; each name once. */
    public QemuFiles files(String name) {
        return new QemuFiles(directory.resolve(name), memory.resolve(name + ".ram"));
    }

    /** Ends this process when the test is over. */
    public QemuProcess owns(QemuProcess process) {
        processes.add(process);
        return process;
    }

    @Override
    public void close() throws IOException {
        processes.forEach(process -> process.kill(Duration.ofSeconds(10)));
        for (Path root : List.of(directory, memory)) {
            try (Stream<Path> files = Files.walk(root)) {
                for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                    Files.deleteIfExists(file);
                }
            }
        }
    }
}
